"""Months and revisions on a terminal; ``--json`` has them exact."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from orchestration.lake.figures import cents
from orchestration.lake.months import Month
from orchestration.lake.terminal import figures_table, print_indented, print_section
from orchestration.ledger.months import Line

_STYLES = {"open": "dim", "provisional": "yellow", "final": "green", "restated": "green"}


def print_months(console: Console, lines: Sequence[Line]) -> None:
    """Print the newest revision of every month."""
    table = figures_table("status", "revision", "bill, USD", "change", "warnings")
    for line in lines:
        manifest = line.revision.manifest
        table.add_row(
            manifest.month,
            Text(line.status.name, style=_STYLES[line.status.name]),
            f"{manifest.revision}",
            cents(line.bill_usd),
            _change(line),
            f"{len(manifest.warnings)}" if manifest.warnings else "",
        )
    print_section(console, "Published months", table)
    for line in lines:
        if line.status.reasons:
            print_indented(
                console,
                f"{line.revision.manifest.month} is {line.status.name}:"
                f" {'; '.join(line.status.reasons)}.",
                style="dim",
            )
    console.print()


def print_revisions(console: Console, month: Month, lines: Sequence[Line]) -> None:
    """Print every revision of a month, with its entry in the journal."""
    console.print()
    console.print(Text(f"Revisions of {month}", style="bold"))
    for line in lines:
        manifest = line.revision.manifest
        change = f" ({_change(line)})" if line.change_usd else ""
        console.print()
        console.print(
            Text.assemble(
                f"  {manifest.revision}  ",
                (line.status.name, _STYLES[line.status.name]),
                f"  bill {cents(line.bill_usd)} USD{change}",
            )
        )
        for text in _told(line):
            print_indented(console, text, style="dim")
    console.print()


def _told(line: Line) -> list[str]:
    manifest, entry = line.revision.manifest, line.entry
    told = [f"{reason[:1].upper()}{reason[1:]}." for reason in line.status.reasons]
    if entry:
        told.append(
            f"Published {entry.published_at[:16].replace('T', ' ')} UTC by {entry.by}."
        )
        if entry.reason:
            told.append(f"Reason: {entry.reason}.")
    told.append(f"Newest delivery: {line.newest_delivery}.")
    if manifest.policy:
        told.append(f"Policy: {manifest.policy.name} ({manifest.policy.sha256[:12]}).")
    if manifest.warnings:
        told.append(f"Warnings: {', '.join(manifest.warnings)}.")
    return told


def _change(line: Line) -> str:
    if line.change_usd is None:
        return ""
    return f"+{cents(line.change_usd)}" if line.change_usd > 0 else cents(line.change_usd)
