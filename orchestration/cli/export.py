"""``podledger export``: a published month in the forms of finance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.arguments import MonthArgument, read_month, settings_in_use
from orchestration.cli.console import progress_line
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import PROJECT_DIR

if TYPE_CHECKING:
    from orchestration.ledger.book import Revision

export = typer.Typer(
    help="Files for finance, out of a published month.", no_args_is_help=True
)

RevisionOption = Annotated[
    int | None, typer.Option(metavar="N", help="Revision; the newest by default.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File to write; the terminal by default."),
]


@export.command(epilog="Example: podledger export journal 2026-10 --out journal.csv")
def journal(
    month: MonthArgument,
    accounts: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Chart of accounts; config/accounts.example.csv is an example.",
        ),
    ] = PROJECT_DIR / "config" / "accounts.csv",
    basis: Annotated[
        str, typer.Option(metavar="BASIS", help="Cost basis; unblended is the invoice's.")
    ] = "unblended",
    revision: RevisionOption = None,
    out: OutOption = None,
) -> None:
    """Write a journal for the general ledger, balanced to the cent for each payer."""
    from orchestration.lake.schemas import BASES
    from orchestration.statements.accounts import read_accounts
    from orchestration.statements.exports import journal_csv, journal_lines

    if basis not in BASES:
        raise PodledgerError(
            f"{basis!r} is not a cost basis. Choose one of {', '.join(BASES)}."
        )
    chart = read_accounts(accounts)
    found = _revision(month, revision)
    _write(journal_csv(journal_lines(found, chart, basis)), found, out)


@export.command(epilog="Example: podledger export chargeback 2026-10 --out october.csv")
def chargeback(
    month: MonthArgument, revision: RevisionOption = None, out: OutOption = None
) -> None:
    """Write every charge of a month, by owner, workload, origin and rule."""
    from orchestration.statements.exports import chargeback_csv

    found = _revision(month, revision)
    _write(chargeback_csv(found), found, out)


def _revision(month: str, number: int | None) -> Revision:
    from orchestration.ledger.book import find_revision

    settings = settings_in_use()
    when = read_month(month)
    with progress_line() as progress:
        progress(f"Reading {when}")
        return find_revision(settings.published, when, number, settings.remote)


def _write(text: str, revision: Revision, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise PodledgerError(f"{out} cannot be written: {error.strerror}.") from error
    import datetime as dt

    from orchestration.ledger.status import status_of

    manifest = revision.manifest
    status = status_of(manifest, dt.datetime.now(dt.UTC)).name
    print(f"{out}: {manifest.month}, revision {revision.number}, {status}")
