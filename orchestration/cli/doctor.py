"""``podledger doctor``: whether a month could be closed here."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.arguments import read_month, settings_in_use, usual_month
from orchestration.cli.console import progress_line


def doctor(
    month: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH", help="Billing month; the one before this by default."
        ),
    ] = None,
) -> None:
    """Check whether a month can be closed here. Exit code 1: something is in the way."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    settings = settings_in_use()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    with progress_line() as progress:
        progress("Loading")
        from orchestration.cli.examination import examine

        when = read_month(month) if month else usual_month(settings)
        findings = list(examine(settings, when, progress))
    for finding in findings:
        mark = Text("ok", style="green") if finding.is_ok else Text("not ok", style="red")
        table.add_row(mark, Text(finding.topic, style="bold"), Text(finding.text))
    Console().print(table)
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)
