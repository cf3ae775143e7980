"""A month beside the one before, in the roll-ups: exact, and in two parts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from orchestration.engines.dbt.project import manifest_of_project
from orchestration.lake.schemas import BASES

UNIT = Decimal("0.0000000001")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two teams in September, and two in October, of which one is new."""
    with duckdb.connect(str(tmp_path / "podledger.duckdb")) as connection:
        money = ", ".join(f"{basis}_usd decimal(38, 10)" for basis in BASES)
        connection.execute(
            "create table fct_charges (billing_month date, bill_payer_account_id varchar,"
            f" labels map(varchar, varchar), charge_type varchar, {money})"
        )
        hours = ", ".join(
            f"{resource}_allocated_hours decimal(38, 12)"
            for resource in ("accelerator", "vcpu", "memory")
        )
        connection.execute(
            "create table int_pod_costs__daily (billing_month date, payer_account_id"
            f" varchar, labels map(varchar, varchar), {hours})"
        )
        yield connection


def charge(
    warehouse: duckdb.DuckDBPyConnection, month: str, team: str, kind: str, usd: str
) -> None:
    amounts = ", ".join(f"{usd}::decimal(38, 10)" for _ in BASES)
    warehouse.execute(
        f"insert into fct_charges select date '{month}-01', 'payer',"
        f" map {{'team': '{team}'}}, '{kind}', {amounts}"
    )


def run(warehouse: duckdb.DuckDBPyConnection, month: str, team: str, hours: str) -> None:
    warehouse.execute(
        f"insert into int_pod_costs__daily select date '{month}-01', 'payer',"
        f" map {{'team': '{team}'}}, {hours}, 1, 1"
    )


def by_team(
    warehouse: duckdb.DuckDBPyConnection, month: str = "2026-10"
) -> dict[str, tuple[Decimal, ...]]:
    sql = manifest_of_project()["nodes"]["model.podledger.rpt_month_by_team"]
    rows = warehouse.execute(
        "select team, amortized_total_usd, previous_usd, change_usd, change_percent,"
        f" volume_change_usd, price_change_usd from ({sql['compiled_code']})"
        f" where billing_month = date '{month}-01'"
    ).fetchall()
    return {team: tuple(figures) for team, *figures in rows}


def test_a_change_is_split_into_volume_and_price(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    charge(warehouse, "2026-09", "red", "direct", "70")
    charge(warehouse, "2026-09", "red", "idle", "30")
    run(warehouse, "2026-09", "red", "10")
    charge(warehouse, "2026-10", "red", "direct", "180")
    run(warehouse, "2026-10", "red", "15")
    # At September's 10 USD an hour, 5 hours more are 50; the rest is the dearer hour.
    assert by_team(warehouse) == {
        "red": tuple(map(Decimal, ("180", "100", "80", "80.00", "50", "30")))
    }


def test_the_parts_of_a_change_add_up_to_it(warehouse: duckdb.DuckDBPyConnection) -> None:
    charge(warehouse, "2026-09", "red", "direct", "100")
    run(warehouse, "2026-09", "red", "3")
    charge(warehouse, "2026-10", "red", "direct", "50")
    run(warehouse, "2026-10", "red", "1")
    total, before, change, percent, volume, price = by_team(warehouse)["red"]
    assert (total, before, change, percent) == (50, 100, -50, Decimal("-50.00"))
    assert volume + price == change
    assert abs(volume - Decimal(-200) / 3) <= UNIT


def test_without_a_month_before_or_accelerators_there_is_nothing_to_split(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    charge(warehouse, "2026-10", "new", "shared", "5")
    charge(warehouse, "2026-09", "plain", "direct", "4")
    charge(warehouse, "2026-10", "plain", "direct", "5")
    run(warehouse, "2026-10", "plain", "0")
    assert by_team(warehouse) == {
        "new": (Decimal(5), None, None, None, None, None),
        "plain": (Decimal(5), Decimal(4), Decimal(1), Decimal("25.00"), None, None),
    }


def test_who_is_gone_has_a_row_of_zero_and_no_month_begins_before_its_charges(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    charge(warehouse, "2026-08", "old", "direct", "7")
    charge(warehouse, "2026-09", "gone", "direct", "3")
    run(warehouse, "2026-09", "gone", "2")
    charge(warehouse, "2026-10", "here", "direct", "5")
    found = by_team(warehouse)
    assert found == {
        "gone": (Decimal(0), Decimal(3), Decimal(-3), Decimal("-100.00"), None, None),
        "here": (Decimal(5), None, None, None, None, None),
    }
    assert by_team(warehouse, "2026-11") == {}
