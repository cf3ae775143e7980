"""``podledger summary``: a published month, from its published files alone."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.arguments import (
    JsonOption,
    MonthArgument,
    read_month,
    settings_in_use,
)
from orchestration.cli.console import print_json, print_summary, progress_line


def summary(
    month: MonthArgument,
    revision: Annotated[
        int | None, typer.Option(metavar="N", help="Revision; the newest by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a published month, from its published files alone."""
    when = read_month(month)
    settings = settings_in_use()
    with progress_line() as progress:
        from orchestration.close.summary import summarize
        from orchestration.ledger.book import find_revision, latest

        found = find_revision(settings.published, when, revision, settings.remote)
        progress(f"Reading revision {found.number} of {when}")
        read = summarize(found, latest(settings.published, when.previous, settings.remote))
    if as_json:
        print_json(read.as_json())
    else:
        print_summary(read, f"{when}, revision {found.number}")
