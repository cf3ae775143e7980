"""Files for finance, out of a published month: a journal for the general ledger, and every
charge as a table.

Amounts of the journal are cents, and balance; those of the table have every digit. Text
that a spreadsheet would take for a formula is quoted.
See https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES
from orchestration.ledger.book import Revision, bring
from orchestration.ledger.tables import CHARGES
from orchestration.statements.accounts import Accounts

_CENT = Decimal("0.01")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class JournalLine:
    """A line of the general ledger; debit or credit is empty, in USD and cents."""

    period: str
    payer_account_id: str
    account: str
    cost_center: str
    team: str
    description: str
    debit: Decimal | None
    credit: Decimal | None
    currency: str = "USD"


def journal_lines(revision: Revision, accounts: Accounts, basis: str) -> list[JournalLine]:
    """The month's charges as journal lines, which balance to the cent for each payer.

    Each payer's bill is one credit. What rounding leaves has a line of its own.

    Args:
        revision: One of the ledger's.
        accounts: The chart of accounts.
        basis: Cost basis of the amounts.

    Raises:
        PodledgerError: The revision has no charges, the basis is not known, or a charge has
            no account.
    """
    sums: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    bills: dict[str, Decimal] = defaultdict(Decimal)
    for payer, charge_type, team, cost_center, usd in _by_owner(revision, basis):
        posting = accounts.of(charge_type, team)
        center = posting.cost_center or cost_center or ""
        sums[payer, posting.account, center, team or ""] += usd
        bills[payer] += usd
    month = revision.manifest.month
    lines = []
    for payer in sorted(bills):
        name = f"AWS {month} {basis} r{revision.number}"
        left = -_cents(bills[payer])
        for key in sorted(key for key in sums if key[0] == payer):
            usd = _cents(sums[key])
            left += usd
            if usd:
                _, account, center, team = key
                text = f"{name}, {team or 'no team'}"
                lines.append(_line(month, payer, account, center, team, text, usd))
        if left:
            one = accounts.rounding
            text = f"{name}, rounding"
            lines.append(_line(month, payer, one.account, one.cost_center, "", text, -left))
        one = accounts.bill
        text = f"{name}, bill"
        usd = -_cents(bills[payer])
        lines.append(_line(month, payer, one.account, one.cost_center, "", text, usd))
    return lines


def journal_csv(lines: Iterable[JournalLine]) -> str:
    """Journal lines as CSV."""
    names = [field.name for field in fields(JournalLine)]
    return _csv(names, map(astuple, lines))


def chargeback_csv(revision: Revision) -> str:
    """Every charge of the month as CSV, by owner, workload, origin and rule, in each basis.

    Raises:
        PodledgerError: The revision has no charges.
    """
    names = [
        *("billing_month", "bill_payer_account_id", "line_item_usage_account_id"),
        *("team", "cost_center", "model", "cluster_name", "namespace", "workload_type"),
        *("workload_name", "charge_type", "origin", "origin_detail", "rule", "reason"),
    ]
    labels = {name: f"labels['{name}']" for name in ("team", "cost_center", "model")}
    month = revision.manifest.month
    chosen = [f"'{month}'", *(labels.get(name, name) for name in names[1:])]
    keys = ", ".join(f"{what} as {name}" for what, name in zip(chosen, names, strict=True))
    money = [f"{basis}_usd" for basis in BASES]
    # A sum of a column with nulls would pass for the whole.
    sums = ", ".join(
        f"case when count(*) = count({name}) then sum({name}) end as {name}"
        for name in money
    )
    rows = _query(revision, f"select {keys}, {sums} from charges group by all order by all")
    return _csv([*names, *money], rows)


def _by_owner(
    revision: Revision, basis: str
) -> Iterator[tuple[str, str, str | None, str | None, Decimal]]:
    rows = _query(
        revision,
        "select bill_payer_account_id, charge_type, labels['team'] as team,"
        f" labels['cost_center'] as cost_center, sum({basis}_usd),"
        f" count(*) - count({basis}_usd)"
        " from charges group by all order by all",
    )
    for payer, charge_type, team, cost_center, usd, nulls in rows:
        if nulls:
            raise PodledgerError(
                f"The {basis} cost of payer {payer} is not in its export, so there is no"
                " journal of it. Choose another --basis."
            )
        yield payer, charge_type, team, cost_center, usd


def _query(revision: Revision, sql: str) -> list[tuple[Any, ...]]:
    manifest = revision.manifest
    if manifest.policy is None:
        raise PodledgerError(
            f"Revision {revision.number} of {manifest.month} was published before there"
            " were policies. Close the month again."
        )
    bring(revision, [file for file in manifest.files if file.part == CHARGES.name])
    path = parquet(revision.path / f"{CHARGES.name}.parquet")
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        return connection.execute(f"with charges as (from {path}) {sql}").fetchall()


def _line(
    month: str,
    payer: str,
    account: str,
    center: str,
    team: str,
    text: str,
    usd: Decimal,
) -> JournalLine:
    """A debit, or of a negative amount a credit."""
    debit, credit = (usd, None) if usd > 0 else (None, -usd)
    return JournalLine(month, payer, account, center, team, text, debit, credit)


def _cents(usd: Decimal) -> Decimal:
    return usd.quantize(_CENT, ROUND_HALF_EVEN)


def _csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula; amounts are numbers, whole."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
