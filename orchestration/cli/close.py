"""``podledger close``: read, split, check and publish a month."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from orchestration.cli.arguments import JsonOption, read_month, settings_in_use, usual_month
from orchestration.cli.console import print_json, print_summary, progress_line
from orchestration.close.ending import ending_at_once


def close(
    month: Annotated[
        str | None,
        typer.Argument(
            metavar="MONTH",
            help="Billing month, like 2026-10. Default: the last month that has ended, or"
            " the sample month if no inputs are set.",
        ),
    ] = None,
    method: Annotated[
        int | None,
        typer.Option(metavar="1|2|3", help="Version of the split, over PODLEDGER_METHOD."),
    ] = None,
    restate: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Why a month that is final is closed with other figures."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Close a month: read, split, check, publish. Exit code 0 only if published."""
    settings = settings_in_use(**({} if method is None else {"method": method}))
    when = usual_month(settings) if month is None else read_month(month)
    run_id = str(uuid.uuid4())
    with ending_at_once(run_id), progress_line() as progress:
        progress("Loading")
        from orchestration.cli.runner import close_month
        from orchestration.close.summary import summarize
        from orchestration.ledger.book import find_revision, latest

        publication = close_month(when, settings, progress, run_id=run_id, restate=restate)
        progress("Reading the published files back")
        summary = summarize(
            find_revision(settings.published, when, publication.revision, settings.remote),
            latest(settings.published, when.previous, settings.remote),
        )
    if as_json:
        print_json({**summary.as_json(), "is_new": publication.is_new})
        return
    if publication.is_reproduced:
        headline = (
            f"{when} is unchanged: another version of podledger made the figures of"
            f" revision {publication.revision} again, and they are the same"
        )
    elif not publication.is_new:
        headline = (
            f"{when} is unchanged: the same deliveries, inventory and method as revision"
            f" {publication.revision}, which stays"
        )
    elif publication.replaces is not None:
        headline = (
            f"{when} is published as revision {publication.revision}; it replaces revision"
            f" {publication.replaces}"
        )
    else:
        headline = f"{when} is published as revision {publication.revision}"
    print_summary(summary, headline)
