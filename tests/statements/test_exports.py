"""Files for finance: they balance, have every digit, and hold no formula."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.close.publish import Publication
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES
from orchestration.lake.settings import PROJECT_DIR
from orchestration.ledger.book import Revision, find_revision
from orchestration.statements.accounts import read_accounts
from orchestration.statements.exports import (
    _cell,
    chargeback_csv,
    journal_csv,
    journal_lines,
)

EXAMPLE = PROJECT_DIR / "config" / "accounts.example.csv"
HEAD = "charge_type,team,account,cost_center\n"
ENDS = "bill,,2100,\nrounding,,6999,\n"


@pytest.fixture
def revision(closed_world: Publication) -> Revision:
    return find_revision(closed_world.path.parents[1], Month(2026, 10))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def accounts(tmp_path: Path, lines: str):
    path = tmp_path / "accounts.csv"
    path.write_text(HEAD + lines)
    return read_accounts(path)


def balance(lines: list[dict[str, str]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        assert bool(line["debit"]) != bool(line["credit"]), line
        found[line["payer_account_id"]] += Decimal(line["debit"] or 0)
        found[line["payer_account_id"]] -= Decimal(line["credit"] or 0)
    return dict(found)


@pytest.mark.parametrize("basis", BASES)
def test_a_journal_balances_for_each_payer_and_credits_its_bill(
    revision: Revision, basis: str
) -> None:
    lines = rows(journal_csv(journal_lines(revision, read_accounts(EXAMPLE), basis)))
    assert balance(lines).keys() == {row["payer_account_id"] for row in lines}
    assert set(balance(lines).values()) == {Decimal(0)}
    total = revision.manifest.totals[basis]
    assert total is not None
    billed = sum(Decimal(row["credit"]) for row in lines if row["account"] == "2100")
    assert abs(billed - total.bill) <= Decimal("0.005") * len(balance(lines))
    assert {row["account"] for row in lines} >= {"2100", "6499"}


def test_lines_are_the_charges_of_their_owner_to_the_cent(
    revision: Revision, tmp_path: Path
) -> None:
    """Each account's lines against the table of charges, which has every digit."""
    chart = accounts(tmp_path, "unassigned,*,1,\n*,*,2,CC-9\n" + ENDS)
    lines = rows(journal_csv(journal_lines(revision, chart, "amortized")))
    due: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in rows(chargeback_csv(revision)):
        account = "1" if row["charge_type"] == "unassigned" else "2"
        key = row["bill_payer_account_id"], account, row["team"]
        due[key] += Decimal(row["amortized_usd"])
    found = {
        (row["payer_account_id"], row["account"], row["team"]): Decimal(row["debit"])
        for row in lines
        if row["account"] in ("1", "2")
    }
    assert len(found) > 2
    assert found == {
        key: usd.quantize(Decimal("0.01")) for key, usd in due.items() if round(usd, 2)
    }
    centers = {row["cost_center"] for row in lines if row["account"] == "2"}
    assert centers == {"CC-9"}


def test_the_table_of_charges_adds_up_to_the_bill_in_every_basis(
    revision: Revision,
) -> None:
    found = rows(chargeback_csv(revision))
    for basis in BASES:
        total = revision.manifest.totals[basis]
        assert total is not None
        assert sum(Decimal(row[f"{basis}_usd"]) for row in found) == total.bill


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("*,*,6410,\n", "must have one line with charge_type bill"),
        (ENDS + "bill,,2101,\n*,*,1,\n", "those of lines 2, 4"),
        ("*,*,,\n" + ENDS, "line 2, account: it is empty"),
        ("directly,*,1,\n" + ENDS, "line 2, charge_type: 'directly' is not one of"),
        ("*,*,1\n" + ENDS, "line 2: it must have 4 cells"),
        ("*,*,1,,\n" + ENDS, "line 2: it must have 4 cells"),
    ],
)
def test_a_chart_that_cannot_be_meant_is_refused(
    tmp_path: Path, lines: str, told: str
) -> None:
    with pytest.raises(PodledgerError, match=told):
        accounts(tmp_path, lines)


def test_a_chart_with_other_columns_or_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    with pytest.raises(PodledgerError, match=r"accounts\.example\.csv"):
        read_accounts(path)
    path.write_text("account,team\n1,*\n")
    with pytest.raises(PodledgerError, match="line 1: the columns must be charge_type"):
        read_accounts(path)


def test_a_charge_without_an_account_is_refused(revision: Revision, tmp_path: Path) -> None:
    chart = accounts(tmp_path, "direct,*,1,\n" + ENDS)
    with pytest.raises(PodledgerError, match=r"no line for .* cost of"):
        journal_lines(revision, chart, "unblended")


@given(text=st.text())
def test_no_text_is_a_formula(text: str) -> None:
    assert not _cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert _cell(text).removeprefix("'") == text.removeprefix("'")


def test_amounts_are_numbers() -> None:
    assert _cell(Decimal("-1.5E-9")) == "-0.0000000015"
