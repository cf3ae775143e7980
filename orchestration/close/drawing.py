"""Draws one chart of stacked days, as SVG, in a process of its own.

Run as ``python -m orchestration.close.drawing`` by ``charts.py``, which says what is drawn:
a JSON object on standard input. The picture is written to standard output.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import altair as alt

_WIDTH, _HEIGHT = 760, 260
_INK, _PALE_INK, _RULE = "#333940", "#555b63", "#eceef0"


def draw(figure: dict[str, Any]) -> str:
    """Draw days from the left to the right, and names in them from the bottom up."""
    chart = (
        alt.Chart({"values": figure["values"]})
        .mark_bar()
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, ticks=False)),
            y=alt.Y(
                "usd:Q",
                title=figure["title"],
                axis=alt.Axis(format=",.0f", ticks=False, labelPadding=6),
            ),
            color=alt.Color(
                "name:N",
                title=None,
                scale=alt.Scale(domain=figure["names"], range=figure["colours"]),
            ),
            order=alt.Order("layer:Q"),
        )
        .properties(width=_WIDTH, height=_HEIGHT)
        .configure(font="Helvetica, Arial, DejaVu Sans, sans-serif", background="white")
        .configure_view(strokeWidth=0)
        .configure_axis(
            domain=False,
            gridColor=_RULE,
            labelColor=_PALE_INK,
            titleColor=_PALE_INK,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=_INK, symbolType="square", labelLimit=220)
    )
    svg = io.StringIO()
    chart.save(svg, format="svg")
    return svg.getvalue()


if __name__ == "__main__":
    sys.stdout.write(draw(json.load(sys.stdin)))
