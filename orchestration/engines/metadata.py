"""How figures become Dagster metadata, in one vocabulary for every room.

Holds spellings only: money exact as text and beside it, rounded to cents, as the number
that Dagster plots over the months; tables as Markdown; pictures inside it. Keys end in
their unit. What is worth showing is decided where the assets are.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import dagster as dg

from orchestration.lake.figures import UNKNOWN, cents, exact

Metadata = dict[str, dg.MetadataValue]


def money(**figures: Decimal | None) -> Metadata:
    """Amounts by name: ``bill_usd`` to the last digit, ``bill_usd_rounded`` to plot.

    None is an amount that the bill does not tell: it is said, and not plotted.
    """
    return {
        **{
            name: dg.MetadataValue.text(UNKNOWN if usd is None else exact(usd))
            for name, usd in figures.items()
        },
        **{
            f"{name}_rounded": dg.MetadataValue.float(float(round(usd, 2)))
            for name, usd in figures.items()
            if usd is not None
        },
    }


class Markdown(str):
    """Text that is Markdown already; every other text is shown as it is."""

    __slots__ = ()


def plain(text: str) -> Markdown:
    """Markdown that shows a text as it is, in one line: no name becomes markup or HTML."""
    return Markdown(_MARKUP.sub(r"\\\1", " ".join(text.split())))


_MARKUP = re.compile(r"([\\`*_\[\]<>&|~])")
"""Characters that mean something within a line of Markdown, tables included.
See https://github.github.com/gfm/#backslash-escapes"""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MetadataValue:
    """A Markdown table: amounts to cents and at the right, like every other number."""
    cells = list(rows)
    numeric = [
        bool(cells) and all(isinstance(row[place], int | float | Decimal) for row in cells)
        for place in range(len(header))
    ]
    lines: list[list[str]] = [
        [plain(name) for name in header],
        ["--:" if is_number else ":--" for is_number in numeric],
        *([_cell(value) for value in row] for row in cells),
    ]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def picture(svg: str, title: str) -> dg.MetadataValue:
    """An SVG inside Markdown, so that it is kept with the event and needs no server."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def column_schema(columns: Mapping[str, Mapping[str, str]]) -> dg.TableSchema:
    """Columns as dbt's manifest describes them: name, ``data_type``, ``description``."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                name, column.get("data_type") or "?", description=column.get("description")
            )
            for name, column in columns.items()
        ]
    )


def column_lineage(
    made_from: Mapping[str, Sequence[tuple[dg.AssetKey, str]]],
) -> dict[str, object]:
    """By column, the assets and their columns that its value is computed from.

    Twice: as Dagster's own, which its API and Dagster+ draw, and as the table that the
    open-source pages show.
    """
    rows = [
        (
            Markdown(f"`{column}`"),
            Markdown(", ".join(f"`{key.path[-1]}.{name}`" for key, name in origins)),
        )
        for column, origins in made_from.items()
    ]
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(asset_key=key, column_name=name)
                    for key, name in origins
                ]
                for column, origins in made_from.items()
            }
        ),
        "column_lineage": table(("column", "is made from"), rows),
    }


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return cents(value)
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, Markdown):
        return value
    return plain(str(value if value is not None else ""))
