"""A closed world in small: a lake with its provenance and a warehouse with its marts.

Money is chosen so that it adds up: a node-hour of each payer's two days, split among two
pods, with idle accelerators unallocated and tax in the remainder.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.close.catalogue import controls_of
from orchestration.distribution.policy_file import built_in
from orchestration.inventory.owners import OWNERSHIP
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import (
    BASES,
    BILL_FILES,
    BILL_LINES,
    INVENTORY_FILES,
    POD_COSTS,
    POLICY,
    UNALLOCATED_COSTS,
)
from orchestration.lake.settings import Settings
from orchestration.ledger.tables import (
    CHARGEBACK,
    CHARGES,
    CONTROLS,
    REMAINDER,
    SCAD,
    UNALLOCATED,
)

PAYERS = ("111122223333", "444455556666")
DAYS = (dt.date(2026, 10, 1), dt.date(2026, 10, 31))
SPLIT, UNUSED = Decimal("0.6000000001"), Decimal("0.1500000002")
IDLE, TAX = Decimal("0.2499999997"), Decimal("7.5")
PODS = (("training", "trainer-0"), ("serving", "chat-1"))
BILL = 2 * (2 * (SPLIT + UNUSED) + IDLE) + TAX
"""Bill of one payer in each basis: two days of two pods and an idle part, and tax."""


@dataclass
class ClosedWorld:
    """A home whose month is ready to be published; ``sql`` breaks it."""

    settings: Settings
    month: Month
    progress: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.home, self.settings.remote)

    def sql(self, *statements: str) -> None:
        with duckdb.connect(str(self.settings.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def set_bill(self, usd: Decimal) -> None:
        """Make the bill of each payer in the lake another one."""
        put_rows(
            self.lake,
            self.month,
            "raw/bill_lines",
            BILL_LINES,
            [
                {"bill_payer_account_id": payer, "line_item_unblended_cost": usd}
                for payer in PAYERS
            ],
        )

    def with_settings(self, **changes: object) -> Settings:
        return self.settings.model_copy(update=changes)


@pytest.fixture(scope="session")
def closed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world as it is built; each test works on a copy."""
    return build_world(
        tmp_path_factory.mktemp("closed") / "home", Month(2026, 10)
    ).settings.home


@pytest.fixture
def world(closed_home: Path, tmp_path: Path, october: Month) -> ClosedWorld:
    home = shutil.copytree(closed_home, tmp_path / "home")
    return ClosedWorld(Settings(home=home), october)


def build_world(home: Path, month: Month) -> ClosedWorld:
    settings = Settings(home=home)
    made = ClosedWorld(settings, month)
    _fill_lake(made.lake, month)
    settings.warehouse.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse)) as connection:
        _fill_warehouse(connection, month)
    return made


def _fill_lake(lake: Lake, month: Month) -> None:
    bill_files = [
        {
            "root": "/exports",
            "bill_export": f"cur2-{payer}",
            "layout": "cur2",
            "delivery_id": f"execution-{payer}",
            "source_file": f"data/BILLING_PERIOD=2026-10/cur2-{payer}-00001.parquet",
            "size_bytes": 1234,
            "sha256": "ab" * 32,
            "row_count": 5,
            "unblended_usd": BILL,
            "money_usd": BILL,
            "rounded_values": 0,
            "rounding_moved_usd": Decimal(0),
        }
        for payer in PAYERS
    ]
    inventory_files = [
        {
            "source": "/pods",
            "source_file": "pod_hours.parquet",
            "kind": "pod_hours",
            "size_bytes": 99,
            "sha256": "cd" * 32,
            "row_count": 8,
            "rows_in_month": 8,
        }
    ]
    bill_lines = [
        {"bill_payer_account_id": payer, "line_item_unblended_cost": BILL}
        for payer in PAYERS
    ]
    policy = built_in("separate")
    kept = {
        "name": policy.name,
        "sha256": policy.sha256,
        "text": policy.text,
        "needs_nodes": False,
    }
    for table, schema, rows in (
        ("policy", POLICY, [kept]),
        ("raw/bill_files", BILL_FILES, bill_files),
        ("raw/bill_lines", BILL_LINES, bill_lines),
        ("raw/inventory_files", INVENTORY_FILES, inventory_files),
        ("raw/ownership", OWNERSHIP, []),
        ("pod_costs", POD_COSTS, [{"method_version": 2}]),
        ("unallocated_costs", UNALLOCATED_COSTS, [{"method_version": 2}]),
    ):
        put_rows(lake, month, table, schema, rows)


def put_rows(
    lake: Lake, month: Month, table: str, schema: pa.Schema, rows: list[dict[str, object]]
) -> None:
    with lake.replace(table, month) as folder:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "00000.parquet")


def _fill_warehouse(connection: duckdb.DuckDBPyConnection, month: Month) -> None:
    for table in (SCAD, UNALLOCATED, REMAINDER, CHARGEBACK, CHARGES, CONTROLS):
        named = {"usage_date": "DATE"} if table.day_column else {}
        columns = ", ".join(f"{n} {type_}" for n, type_ in (named | table.columns).items())
        connection.execute(f"create table {table.mart} (billing_month date, {columns})")
    connection.execute(
        "create table rpt_month_totals (billing_month date, payer_account_id varchar,"
        " cost_basis varchar, bill_usd decimal(38, 10), pods_split_usd decimal(38, 10),"
        " pods_unused_usd decimal(38, 10), unallocated_usd decimal(38, 10),"
        " remainder_usd decimal(38, 10))"
    )
    connection.execute(
        "create table int_bases__known (billing_month date, payer_account_id varchar,"
        " cost_basis varchar, is_known boolean, missing_columns varchar,"
        " missing_in varchar)"
    )
    insert = _inserter(connection, dt.date(month.year, month.month, 1))
    for payer in PAYERS:
        for day in DAYS:
            for namespace, pod in PODS:
                line = _split_line(payer, day, namespace, pod)
                insert(SCAD.mart, {"usage_date": day, **line})
                insert(CHARGEBACK.mart, _daily_cost(payer, day, namespace, pod))
                whom = {
                    "product_region_code": "us-east-1",
                    "cluster_name": "ml",
                    "namespace": namespace,
                    "workload_type": "Deployment",
                    "workload_name": pod.rpartition("-")[0],
                    "labels": {"team": "chat"},
                }
                insert(CHARGES.mart, _charge(payer, day, "direct", "split", SPLIT, whom))
            insert(
                CHARGES.mart,
                _charge(payer, day, "unassigned", "unused", len(PODS) * UNUSED),
            )
            insert(CHARGES.mart, _charge(payer, day, "unassigned", "unallocated", IDLE))
            insert(UNALLOCATED.mart, {"usage_date": day, **_idle_line(payer, day)})
        insert(CHARGES.mart, _charge(payer, None, "unassigned", "remainder", TAX))
        insert(
            REMAINDER.mart,
            {
                "bill_payer_account_id": payer,
                "line_item_usage_account_id": payer,
                "category": "tax",
                "line_item_line_item_type": "Tax",
                **{f"{basis}_usd": TAX for basis in BASES},
            },
        )
        for basis in BASES:
            insert(
                "int_bases__known",
                {"payer_account_id": payer, "cost_basis": basis, "is_known": True},
            )
            insert(
                "rpt_month_totals",
                {
                    "payer_account_id": payer,
                    "cost_basis": basis,
                    "bill_usd": BILL,
                    "pods_split_usd": 4 * SPLIT,
                    "pods_unused_usd": 4 * UNUSED,
                    "unallocated_usd": 2 * IDLE,
                    "remainder_usd": TAX,
                },
            )
            for rule in controls_of(method=2):
                insert(
                    CONTROLS.mart,
                    {
                        "control": rule.name,
                        "payer_account_id": payer,
                        "cost_basis": basis,
                        "expected_usd": BILL,
                        "actual_usd": BILL,
                        "residual_usd": Decimal(0),
                        "is_passed": True,
                        "severity": rule.severity,
                        "evidence": "8 pod-hours",
                    },
                )


def _inserter(
    connection: duckdb.DuckDBPyConnection, billing_month: dt.date
) -> Callable[[str, dict[str, object]], None]:
    def insert(table: str, row: dict[str, object]) -> None:
        named = {"billing_month": billing_month, **row}
        connection.execute(
            f"insert into {table} by name select"
            f" {', '.join(f'${name} as {name}' for name in named)}",
            named,
        )

    return insert


def _split_line(payer: str, day: dt.date, namespace: str, pod: str) -> dict[str, object]:
    start = dt.datetime.combine(day, dt.time(7))
    pod_arn = f"arn:aws:eks:us-east-1:{payer}:pod/ml/{namespace}/{pod}/u-{pod}"
    costs = {name: SPLIT if "split_cost" in name else UNUSED for name in SCAD.money_columns}
    return {
        "identity_time_interval": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "bill_payer_account_id": payer,
        "bill_billing_period_start_date": dt.datetime.combine(DAYS[0], dt.time()),
        "line_item_usage_account_id": payer,
        "line_item_usage_start_date": start,
        "line_item_usage_end_date": start + dt.timedelta(hours=1),
        "line_item_product_code": "AmazonEKS",
        "line_item_operation": "EKSPod-EC2",
        "line_item_usage_type": "EKS-EC2-vCPU-Hours",
        "line_item_resource_id": pod_arn,
        "line_item_usage_amount": 2.0,
        "product_region_code": "us-east-1",
        "resource_tags": {
            "aws_eks_cluster_name": "ml",
            "aws_eks_namespace": namespace,
            "aws_eks_workload_type": "Deployment",
            "aws_eks_workload_name": pod.rpartition("-")[0],
            "user_team": "chat",
        },
        "split_line_item_parent_resource_id": f"i-{payer}",
        "split_line_item_reserved_usage": 2.0,
        "split_line_item_actual_usage": 1.5,
        "split_line_item_split_usage": 2.0,
        "split_line_item_split_usage_ratio": 0.5,
        **costs,
    }


def _daily_cost(payer: str, day: dt.date, namespace: str, pod: str) -> dict[str, object]:
    parts = {"split": SPLIT, "unused": UNUSED, "total": SPLIT + UNUSED}
    return {
        "usage_date": day,
        "payer_account_id": payer,
        "usage_account_id": payer,
        "region_code": "us-east-1",
        "cluster_name": "ml",
        "namespace": namespace,
        "workload_type": "Deployment",
        "workload_name": pod.rpartition("-")[0],
        "deployment": None,
        "labels": {"team": "chat"},
        "vcpu_reserved_hours": 2.0,
        "vcpu_used_hours": 1.5,
        "vcpu_allocated_hours": 2.0,
        **{f"{basis}_{part}_usd": usd for basis in BASES for part, usd in parts.items()},
    }


def _charge(
    payer: str,
    day: dt.date | None,
    charge_type: str,
    origin: str,
    usd: Decimal,
    whom: dict[str, object] | None = None,
) -> dict[str, object]:
    return {
        "usage_date": day,
        "bill_payer_account_id": payer,
        "line_item_usage_account_id": payer,
        "charge_type": charge_type,
        "origin": origin,
        "reason": "no_rule" if charge_type == "unassigned" else None,
        "labels": {},
        **{f"{basis}_usd": usd for basis in BASES},
        **(whom or {}),
    }


def _idle_line(payer: str, day: dt.date) -> dict[str, object]:
    return {
        "bill_payer_account_id": payer,
        "line_item_usage_account_id": payer,
        "line_item_usage_start_date": dt.datetime.combine(day, dt.time(7)),
        "split_line_item_parent_resource_id": f"i-{payer}",
        "cluster_name": "ml",
        "resource": "accelerator",
        "reason": "unclaimed",
        **{f"{basis}_usd": IDLE for basis in BASES},
    }
