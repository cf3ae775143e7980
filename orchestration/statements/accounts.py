"""The chart of accounts: to which account and cost center a charge is posted.

Holds the reading of ``config/accounts.csv``. Its lines are read from the top, and the first
that matches a charge decides; ``*`` stands for any text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.lake.errors import PodledgerError

COLUMNS = ("charge_type", "team", "account", "cost_center")
BILL, ROUNDING = "bill", "rounding"
"""Lines of the file that no charge matches: what is credited, and cents that are left."""


@dataclass(frozen=True)
class Posting:
    """A line of the file.

    Attributes:
        line: Its number in the file, from 1.
        charge_type: direct, idle, shared or unassigned; ``*`` for any.
        team: The team; ``*`` for any, and for what has none.
        account: Account of the general ledger.
        cost_center: Cost center; empty: that of the charge's own label.
    """

    line: int
    charge_type: str
    team: str
    account: str
    cost_center: str

    def matches(self, charge_type: str, team: str) -> bool:
        """Whether a charge is posted by this line."""
        return fnmatchcase(charge_type, self.charge_type) and fnmatchcase(team, self.team)


@dataclass(frozen=True)
class Accounts:
    """The file, as it was understood."""

    path: Path
    postings: Sequence[Posting]
    bill: Posting
    rounding: Posting

    def of(self, charge_type: str, team: str | None) -> Posting:
        """How a charge is posted.

        Raises:
            PodledgerError: No line matches it.
        """
        for posting in self.postings:
            if posting.matches(charge_type, team or ""):
                return posting
        raise PodledgerError(
            f"{self.path} has no line for {charge_type} cost of"
            f" {f'team {team!r}' if team else 'no team'}. Add one, or end the file with a"
            " line that matches the rest: *,*,<account>,<cost center>."
        )


def read_accounts(path: Path) -> Accounts:
    """Read the chart of accounts.

    Raises:
        PodledgerError: The file is missing, lacks or adds a column, or a line of it cannot
            be meant.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        told = getattr(error, "strerror", None) or error
        raise PodledgerError(
            f"The chart of accounts {path} cannot be read: {told}."
            " config/accounts.example.csv is an example."
        ) from error
    if names != COLUMNS:
        raise PodledgerError(
            f"{path}, line 1: the columns must be {', '.join(COLUMNS)}, and are"
            f" {', '.join(names) or 'none'}."
        )
    postings = [_posting(path, line, row) for line, row in rows]
    return Accounts(
        path=path,
        postings=[one for one in postings if one.charge_type not in (BILL, ROUNDING)],
        bill=_only(path, postings, BILL, "the account that the AWS bill is credited to"),
        rounding=_only(path, postings, ROUNDING, "the account of cents that are left"),
    )


def _posting(path: Path, line: int, row: dict[str, str | None]) -> Posting:
    if None in row or None in row.values():
        raise PodledgerError(f"{path}, line {line}: it must have {len(COLUMNS)} cells.")
    cells = {name: (row[name] or "").strip() for name in COLUMNS}
    kinds = (*CHARGE_TYPES, "*", BILL, ROUNDING)
    if cells["charge_type"] not in kinds:
        raise PodledgerError(
            f"{path}, line {line}, charge_type: {cells['charge_type']!r} is not one of"
            f" {', '.join(kinds)}."
        )
    if not cells["account"]:
        raise PodledgerError(f"{path}, line {line}, account: it is empty. Fill it in.")
    return Posting(line, **cells)


def _only(path: Path, postings: Iterable[Posting], kind: str, what: str) -> Posting:
    found = [one for one in postings if one.charge_type == kind]
    if len(found) != 1:
        lines = ", ".join(str(one.line) for one in found)
        raise PodledgerError(
            f"{path} must have one line with charge_type {kind}, {what}, and has"
            f" {f'those of lines {lines}' if found else 'none'}."
        )
    return found[0]
