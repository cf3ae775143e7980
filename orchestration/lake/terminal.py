"""Tables for a terminal: names at the left, figures at the right, no lines.

Holds looks only, for every command that prints figures.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

USUAL = 80
"""Columns that everything fits in; only long names take more, where there is more."""

INDENT = 2


class TextTable(Table):
    """A table whose cells are text: rich would take a name like ``[x]`` for markup."""

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """Add a row; cells may be styled texts, too."""
        super().add_row(
            *(Text(cell) if isinstance(cell, str) else cell for cell in cells), **how
        )


def figures_table(*figures: str, names: int = 1, is_wrapped: bool = False) -> TextTable:
    """A name, perhaps with its place beside it, and columns of figures.

    Args:
        figures: Headings of the columns of figures.
        names: Columns of names.
        is_wrapped: Whether long names go on in the next line, and are not cut.
    """
    table = TextTable(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for place in range(names):
        style = "dim" if place else ""
        table.add_column(
            "", ratio=1, overflow="ellipsis", no_wrap=not is_wrapped, style=style
        )
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def print_section(console: Console, title: str, table: Table) -> None:
    """Print a titled table, as narrow as the usual terminal where it fits."""
    console.print()
    console.print(Text(title, style="bold"))
    if not table.row_count:
        console.print(Text("  none", style="dim"))
        return
    natural = console.measure(table).maximum
    table.width = min(console.width - INDENT, max(natural, USUAL - INDENT))
    console.print(Padding(table, (0, 0, 0, INDENT), expand=False))


def print_indented(console: Console, text: str, style: str = "") -> None:
    """Print a paragraph below what it belongs to."""
    indented = Padding(Text(text, style=style), (0, 0, 0, 2 * INDENT), expand=False)
    console.print(indented, width=min(console.width, USUAL))
