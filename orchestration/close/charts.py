"""Charts of a month as SVG, for where a picture says it faster than a table.

Holds looks only; what is drawn comes from ``overview.py``. Altair is imported where it is
used: it takes most of a second, and most who import this room draw nothing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from orchestration.close.overview import OTHERS, UNALLOCATED, DayCost

_WIDTH, _HEIGHT = 760, 260

_COLOURS = ("#2f5d8c", "#5b9bb8", "#8fc1b5", "#d9a441", "#c4673a", "#8a4f7d")
"""Of the dearest namespaces, dearest first; told apart by eyes of every kind."""

_GREYS = {OTHERS: "#b8bcc2", UNALLOCATED: "#e3e5e8"}
_INK, _PALE_INK, _RULE = "#333940", "#555b63", "#eceef0"


def daily_costs(days: Sequence[DayCost], basis: str) -> str:
    """Draw what every day cost, the dearest namespaces apart.

    Args:
        days: In the order in which they are to be told, what is grey after the rest.
        basis: The cost basis of what is drawn.

    Returns:
        An SVG document.
    """
    import altair as alt

    names = list(dict.fromkeys(one.name for one in days))
    colours = dict(zip(names, _COLOURS, strict=False)) | _GREYS
    values = [
        {
            "day": f"{one.day:%d}",
            "name": one.name,
            "usd": float(one.cost_usd),
            "layer": names.index(one.name),
        }
        for one in days
    ]
    chart = (
        alt.Chart({"values": values})
        .mark_bar()
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, ticks=False)),
            y=alt.Y(
                "usd:Q",
                title=f"USD a day, {basis.replace('_', ' ')}",
                axis=alt.Axis(format=",.0f", ticks=False, labelPadding=6),
            ),
            color=alt.Color(
                "name:N",
                title=None,
                scale=alt.Scale(domain=names, range=[colours[name] for name in names]),
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
