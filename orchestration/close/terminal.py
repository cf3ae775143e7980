"""A summary on a terminal: calm tables that fit 80 columns and read from the top.

Holds looks only. The figures are ``summary.py``'s; they are rounded to cents here, and
exact in the files and in ``--json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.close.controls import CATALOGUE, Control
from orchestration.close.figures import cents
from orchestration.close.summary import BASIS, Spender, Summary
from orchestration.schemas import BASES

_TITLES = {
    "unblended": "unblended",
    "amortized": "amortized",
    "net_amortized": "net amort.",
    "public_on_demand": "on-demand",
}
_WIDEST = 110
"""Columns that a table takes at most: further apart, a line is hard to follow."""


def print_summary(console: Console, summary: Summary, headline: str) -> None:
    """Print a summary.

    Args:
        console: Where to.
        summary: The month.
        headline: The first line: what happened, or what is shown.
    """
    manifest = summary.manifest
    console.print()
    console.print(Text(headline, style="bold"))
    console.print(
        Text(
            f"Split by version {manifest.method_version} of the method. Amounts are USD,"
            f" rounded to cents; below the law, {BASIS}.",
            style="dim",
        )
    )
    _print_section(console, "The law of the month", _law(summary))
    _print_section(
        console,
        f"Namespaces, {_shown(len(summary.namespaces), summary.namespace_count)}",
        _spenders(summary, summary.namespaces),
    )
    _print_section(
        console,
        f"Workloads, {_shown(len(summary.workloads), summary.workload_count)}",
        _spenders(summary, summary.workloads),
    )
    _print_section(console, "Unallocated node cost", _unallocated(summary))
    _print_section(console, "Remainder of the bill", _remainder(summary))
    _print_controls(console, summary.controls)
    console.print()
    console.print(Text("Published in", style="dim"))
    console.print(f"  {summary.path}", soft_wrap=True, highlight=False, markup=False)
    console.print()


def _print_section(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    if table.row_count:
        table.width = min(console.width - 2, _WIDEST)
        console.print(Padding(table, (0, 0, 0, 2)))
    else:
        console.print(Text("  none", style="dim"))


def _table(*names: str, figures: Sequence[str]) -> Table:
    """A table without lines: names left, figures right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for name in names:
        table.add_column(name, ratio=1, overflow="ellipsis", no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _law(summary: Summary) -> Table:
    table = _table("", figures=[_TITLES[basis] for basis in BASES])
    totals = [summary.manifest.totals[basis] for basis in BASES]
    for title, name, style in (
        ("bill", "bill", "bold"),
        ("  pods, split", "pods_split", ""),
        ("  pods, unused", "pods_unused", ""),
        ("  unallocated", "unallocated", ""),
        ("  remainder", "remainder", ""),
        ("difference", "difference", "dim"),
    ):
        figures = [cents(getattr(total, name)) for total in totals]
        table.add_row(title, *figures, style=style)
    return table


def _spenders(summary: Summary, spenders: Iterable[Spender]) -> Table:
    spenders = list(spenders)
    has_devices = any(one.accelerator_hours for one in spenders)
    table = _table(
        "",
        figures=[
            *(["device-h"] if has_devices else []),
            "split",
            "unused",
            "cost",
            "of pods",
        ],
    )
    for one in spenders:
        devices = [f"{one.accelerator_hours:,.0f}" if one.accelerator_hours else ""]
        table.add_row(
            _name(one),
            *(devices if has_devices else []),
            cents(one.split_usd),
            cents(one.unused_usd),
            cents(one.cost_usd),
            _share(one.cost_usd, summary.totals.pods),
        )
    return table


def _name(one: Spender) -> Text:
    place = f"{one.cluster_name or '?'} / {one.namespace or '?'}"
    if one.workload_type is None and one.workload_name is None:
        return Text(place)
    kind = f" {one.workload_type}" if one.workload_type else ""
    return Text.assemble(one.workload_name or "?", (f"{kind}, {place}", "dim"))


def _unallocated(summary: Summary) -> Table:
    table = _table("", figures=["cost", "of bill"])
    for row in summary.unallocated:
        reason = row.reason.replace("_", " ")
        name = Text.assemble(row.resource, (f", {reason}", "dim"))
        table.add_row(name, cents(row.cost_usd), _share(row.cost_usd, summary.totals.bill))
    return table


def _remainder(summary: Summary) -> Table:
    table = _table("", figures=["unblended", BASIS, "of bill"])
    for row in summary.remainder:
        table.add_row(
            row.category.replace("_", " "),
            cents(row.unblended_usd),
            cents(row.cost_usd),
            _share(row.cost_usd, summary.totals.bill),
        )
    return table


def _print_controls(console: Console, controls: Sequence[Control]) -> None:
    """What passed in one line, what did not in full."""
    names = list(dict.fromkeys(control.control for control in controls))
    failed = [control for control in controls if not control.is_passed]
    failed_names = list(dict.fromkeys(control.control for control in failed))
    console.print()
    console.print(Text("Controls", style="bold"))
    passed = len(names) - len(failed_names)
    console.print(Text(f"  {passed} of {len(names)} passed", style="green"))
    for name in failed_names:
        console.print(Text(f"  {CATALOGUE[name].severity}  {name}", style="yellow"))
        for control in failed:
            if control.control == name:
                _print_indented(console, control.finding)
        _print_indented(console, CATALOGUE[name].what_to_do, style="dim")


def _print_indented(console: Console, text: str, style: str = "") -> None:
    width = min(console.width, _WIDEST)
    console.print(Padding(Text(text, style=style), (0, 0, 0, 4)), width=width)


def _shown(shown: int, count: int) -> str:
    return f"{count:,} in all" if shown == count else f"the dearest {shown} of {count:,}"


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else ""
