"""``podledger months``: how far each month is, or each revision of one."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from orchestration.cli.arguments import JsonOption, read_month, settings_in_use
from orchestration.cli.console import print_json, progress_line


def months(
    month: Annotated[
        str | None,
        typer.Argument(
            metavar="MONTH",
            help="Billing month, like 2026-10: show its revisions, and who published each,"
            " when and why. Default: the newest revision of every month.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every published month: status, bill, change, newest delivery, warnings."""
    settings = settings_in_use()
    with progress_line() as progress:
        from orchestration.ledger.book import published_months
        from orchestration.ledger.months import Line, lines_of

        now = dt.datetime.now(dt.UTC)
        rows: list[Line] = []
        for one in published_months(settings.published, settings.remote):
            if month is None or read_month(month) == one:
                progress(f"Reading {one}")
                lines = lines_of(settings.published, one, settings.remote, now)
                rows += lines if month else lines[-1:]
    if as_json:
        print_json({"months": [row.as_json() for row in rows]})
        return
    from rich.console import Console

    from orchestration.ledger.terminal import print_months, print_revisions

    if month is None:
        print_months(Console(highlight=False), rows)
    else:
        print_revisions(Console(highlight=False), read_month(month), rows)
