"""What several commands take: a month, settings, and how a wrong one is refused."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from orchestration.lake.months import Month
    from orchestration.lake.settings import Settings

MonthArgument = Annotated[
    str, typer.Argument(metavar="MONTH", help="Billing month, like 2026-10.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object; money as exact strings.")
]

SAMPLE_MONTH = "2026-10"
"""The month of the sample, where nothing else is asked for."""


def read_month(text: str) -> Month:
    """Read a billing month, like 2026-10.

    Raises:
        PodledgerError: It is none.
    """
    from orchestration.lake.months import Month

    return Month.parse(text)


def usual_month(settings: Settings) -> Month:
    """The month that one would close today: the one before this, or the sample's."""
    from orchestration.lake.months import Month

    if not (settings.bill or settings.pods):
        return Month.parse(SAMPLE_MONTH)
    today = dt.datetime.now(dt.UTC)
    return Month(today.year, today.month).previous


def settings_in_use(**chosen: object) -> Settings:
    """The deployment's settings, with what was chosen on the command line.

    Raises:
        PodledgerError: A setting is not usable.
    """
    from pydantic import ValidationError

    from orchestration.lake.settings import Settings

    try:
        return Settings(**chosen)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        wrong = "; ".join(
            f"PODLEDGER_{'_'.join(str(part) for part in one['loc']).upper()} is"
            f" {one['input']!r}: {one['msg']}"
            for one in error.errors()
        )
        raise PodledgerError(
            f"The settings are not usable: {wrong}. Correct the environment, the .env file"
            " or the option; .env.example lists every setting."
        ) from error
