"""``podledger verify``: what was published is what lies there."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.arguments import read_month, settings_in_use
from orchestration.cli.console import progress_line


def verify(
    month: Annotated[
        str | None,
        typer.Argument(
            metavar="MONTH",
            help="Billing month, like 2026-10. Default: every published one.",
        ),
    ] = None,
) -> None:
    """Check every published file, manifest and journal entry. Exit code 1: one differs."""
    settings = settings_in_use()
    found: list[str] = []
    with progress_line() as progress:
        from orchestration.ledger.book import published_months
        from orchestration.ledger.verification import problems

        months = published_months(settings.published, settings.remote)
        if month is not None:
            months = [read_month(month)]
        for one in months:
            progress(f"Verifying {one}")
            found += problems(settings.published, one, settings.remote)
    for problem in found:
        print(problem)
    if found:
        raise typer.Exit(1)
    if not months:
        print("No month is published yet.")
        return
    told = months[0].label if len(months) == 1 else f"All {len(months)} months"
    print(f"{told}: every file, manifest and journal entry is as it was published.")
