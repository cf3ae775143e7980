"""The semantic layer: MetricFlow answers on DuckDB what the roll-ups say."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from orchestration.close.publish import Publication
from orchestration.engines.dbt.project import manifest_path
from orchestration.lake.settings import DBT_PROJECT_DIR

MF = Path(sys.executable).with_name("mf")
CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def home(closed_world: Publication) -> Path:
    manifest_path()
    return closed_world.path.parents[2]


def asked(home: Path, answer: Path, metrics: str, group_by: str) -> list[dict[str, str]]:
    """What MetricFlow's command answers, in its rows."""
    done = subprocess.run(
        [
            *(str(MF), "query", "--metrics", metrics, "--group-by", group_by),
            *("--csv", str(answer), "--order", group_by),
        ],
        cwd=DBT_PROJECT_DIR,
        env={
            **os.environ,
            "PODLEDGER_HOME": str(home),
            "DBT_PROFILES_DIR": str(DBT_PROJECT_DIR),
            "DO_NOT_TRACK": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with answer.open() as file:
        return list(csv.DictReader(file))


def test_costs_of_each_basis_and_kind_are_those_of_the_roll_up(
    home: Path, tmp_path: Path
) -> None:
    columns = {
        "unblended_cost": "unblended_total_usd",
        "amortized_cost": "amortized_total_usd",
        "net_amortized_cost": "net_amortized_total_usd",
        "public_on_demand_cost": "public_on_demand_total_usd",
        "direct_cost": "amortized_direct_usd",
        "idle_cost": "amortized_idle_usd",
        "shared_cost": "amortized_shared_usd",
        "unassigned_cost": "amortized_unassigned_usd",
    }
    payer = "workload__payer_account_id"
    told = asked(home, tmp_path / "answer.csv", ",".join(columns), payer)
    sums = ", ".join(f"sum({column})" for column in columns.values())
    with duckdb.connect(str(home / "warehouse/podledger.duckdb"), read_only=True) as read:
        rows = read.execute(
            f"select payer_account_id, {sums} from rpt_month_by_workload group by 1"
            " order by 1"
        ).fetchall()
    assert [row[payer] for row in told] == [row[0] for row in rows]
    assert len(rows) == 2
    for answer, (_, *amounts) in zip(told, rows, strict=True):
        for name, usd in zip(columns, amounts, strict=True):
            assert abs(Decimal(answer[name]) - usd) < CENT, name


def test_ratios_are_of_the_sums(home: Path, tmp_path: Path) -> None:
    told = asked(
        home,
        tmp_path / "answer.csv",
        "idle_share,accelerator_hours,cost_per_accelerator_hour",
        "metric_time__month",
    )
    with duckdb.connect(str(home / "warehouse/podledger.duckdb"), read_only=True) as read:
        ((idle, cost, hours),) = read.execute(
            "select sum(amortized_idle_usd), sum(amortized_total_usd),"
            " sum(accelerator_allocated_hours)::decimal(38, 9) from rpt_month_by_workload"
        ).fetchall()
    (row,) = told
    assert abs(Decimal(row["idle_share"]) - idle / cost) < Decimal("0.0001")
    assert abs(Decimal(row["accelerator_hours"]) - hours) < CENT
    assert abs(Decimal(row["cost_per_accelerator_hour"]) - cost / hours) < CENT
    assert hours > 0
