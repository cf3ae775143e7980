"""The whole house, from export to published files, against an oracle in exact fractions."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.worlds import PAYERS, WORLD, oracle, write_cur2

OCTOBER = Month(2026, 10)
TOLERANCE = Fraction(6, 10**10)
"""A part is a difference of two rounded points, twice: of the pool and within it."""


def close(home: Path, bill: list[Path], pods: list[Path], **more: Any) -> Publication:
    settings = Settings(
        bill=tuple(map(str, bill)), pods=tuple(map(str, pods)), home=home, **more
    )
    return close_month(OCTOBER, settings, lambda _: None)


@pytest.fixture(scope="session")
def as_cur2(closed_world: Publication) -> Publication:
    """The world as CUR 2.0, one export a payer, its pods as Parquet."""
    return closed_world


@pytest.fixture(scope="session")
def as_legacy(closed_legacy_world: Publication) -> Publication:
    """The same world as a legacy report, its pods shuffled and as NDJSON."""
    return closed_legacy_world


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def resource_of(usage_type: str) -> str:
    return {"Accelerator": "accelerator", "vCPU": "vcpu", "GB": "memory"}[
        usage_type.split("EKS-EC2-")[1].removesuffix("-Hours")
    ]


def test_every_part_is_what_the_definition_says(as_cur2):
    expected = oracle(WORLD).split
    found = set()
    for row in rows(as_cur2.path / "scad"):
        key = (
            row["split_line_item_parent_resource_id"],
            row["line_item_usage_start_date"],
            row["line_item_resource_id"].rsplit("/", 1)[1],
            resource_of(row["line_item_usage_type"]),
        )
        found.add(key)
        parts = expected.get(key)
        if parts is None:
            # A resource that none of the node-hour's pods claims: the row stays, at zero.
            assert not row["line_item_usage_amount"]
            parts = dict.fromkeys(("amortized", "public_on_demand"), (Fraction(0),) * 2)
        for basis, prefix in (
            ("amortized", ""),
            ("amortized", "net_"),
            ("public_on_demand", "public_on_demand_"),
        ):
            for part, name in zip(parts[basis], ("split_cost", "unused_cost"), strict=True):
                actual = Fraction(row[f"split_line_item_{prefix}{name}"])
                assert abs(actual - part) <= TOLERANCE, (key, basis, name)
    assert {key for key in expected if any(expected[key]["amortized"])} <= found


def test_every_node_hour_adds_up_exactly(as_cur2):
    node_hours: dict[tuple[str, dt.datetime], Decimal] = defaultdict(Decimal)
    for row in rows(as_cur2.path / "scad"):
        key = row["split_line_item_parent_resource_id"], row["line_item_usage_start_date"]
        node_hours[key] += row["split_line_item_split_cost"]
        node_hours[key] += row["split_line_item_unused_cost"]
    for row in rows(as_cur2.path / "unallocated"):
        key = row["split_line_item_parent_resource_id"], row["line_item_usage_start_date"]
        node_hours[key] += row["amortized_usd"]
    expected: dict[tuple[str, dt.datetime], Fraction] = defaultdict(Fraction)
    for (instance, hour, *_), parts in oracle(WORLD).split.items():
        expected[instance, hour] += sum(parts["amortized"])
    for (instance, hour, _), pool in oracle(WORLD).unallocated.items():
        expected[instance, hour] += pool["amortized"]
    assert {key: Fraction(usd) for key, usd in node_hours.items()} == expected


def test_the_law_of_the_month_holds_to_the_last_digit(as_cur2):
    manifest = json.loads((as_cur2.path / "manifest.json").read_text())
    for basis in ("unblended", "amortized", "public_on_demand"):
        bill = sum(payer[basis] for payer in oracle(WORLD).bill.values())
        totals = {name: Fraction(usd) for name, usd in manifest["totals"][basis].items()}
        assert totals["bill"] == bill
        assert totals["bill"] == (
            totals["pods_split"]
            + totals["pods_unused"]
            + totals["unallocated"]
            + totals["remainder"]
        )


def test_what_no_pod_claims_is_told_with_its_reason(as_cur2):
    with_pods = {(pod["instance_id"], pod["usage_hour"]) for pod in WORLD.pods}
    expected = oracle(WORLD).unallocated
    unallocated = rows(as_cur2.path / "unallocated")
    for row in unallocated:
        node_hour = (
            row["split_line_item_parent_resource_id"],
            row["line_item_usage_start_date"],
        )
        assert row["reason"] == ("unclaimed" if node_hour in with_pods else "no_pods")
        pool = expected[(*node_hour, row["resource"])]
        for basis, usd in pool.items():
            assert abs(Fraction(row[f"{basis}_usd"]) - usd) <= TOLERANCE
    assert len(unallocated) == len(expected)


def test_the_rest_of_the_bill_stands_by_category(as_cur2):
    remainder = pq.ParquetFile(as_cur2.path / "remainder.parquet").read().to_pylist()
    by_payer: dict[str, Fraction] = defaultdict(Fraction)
    for row in remainder:
        by_payer[row["bill_payer_account_id"]] += Fraction(row["amortized_usd"])
    assert by_payer == {p: usd["amortized"] for p, usd in oracle(WORLD).remainder.items()}
    assert {row["category"] for row in remainder} == {
        "tax",
        "credits",
        "refunds",
        "unused_commitments",
        "unused_capacity_reservations",
        "support",
        "ebs",
        "eks_fees",
        "data_transfer",
    }


def test_layout_format_and_order_of_the_input_leave_no_trace(as_cur2, as_legacy):
    """Legacy csv.gz with shuffled NDJSON gives the bytes of CUR 2.0 with Parquet."""
    for table in ("scad", "unallocated"):
        names = sorted(file.name for file in (as_cur2.path / table).iterdir())
        assert names == sorted(file.name for file in (as_legacy.path / table).iterdir())
        for name in names:
            left, right = (p.path / table / name for p in (as_cur2, as_legacy))
            assert left.read_bytes() == right.read_bytes(), f"{table}/{name}"
    left, right = (p.path / "remainder.parquet" for p in (as_cur2, as_legacy))
    assert left.read_bytes() == right.read_bytes()


def test_a_query_written_for_the_export_of_aws_runs_as_it_stands(as_cur2):
    warehouse = as_cur2.path.parents[2] / "warehouse" / "podledger.duckdb"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute(
            "SELECT aws_eks_cluster_name, aws_eks_namespace, aws_eks_workload_name,"
            " SUM(unblended_cost) AS total_cost FROM cur_table"
            " WHERE resource_type = 'EKS-Pod-Accelerator' GROUP BY 1, 2, 3"
            " ORDER BY total_cost DESC"
        ).fetchall()
    expected = sum(
        sum(parts["unblended"])
        for (*_, resource), parts in oracle(WORLD).split.items()
        if resource == "accelerator"
    )
    assert (
        abs(Fraction(sum(cost for *_, cost in found)) - expected)
        < len(WORLD.pods) * TOLERANCE
    )


def test_closing_again_changes_nothing_and_a_restated_bill_makes_the_next_revision(
    as_cur2, tmp_path
):
    original = as_cur2.path.parents[2]
    home = shutil.copytree(original, tmp_path / "home")
    first = home / as_cur2.path.relative_to(original)
    roots = [original.parent / payer for payer in PAYERS]
    pods = [original.parent / "pods"]
    digests = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    again = close(home, roots, pods)
    assert (again.revision, again.is_new) == (1, False)

    by_version_1 = close(home, roots, pods, method=1)
    assert (by_version_1.revision, by_version_1.replaces, by_version_1.is_new) == (
        2,
        1,
        True,
    )
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == digests
    expected = oracle(WORLD, method=1).split
    by_resource: dict[str, Fraction] = defaultdict(Fraction)
    for row in rows(by_version_1.path / "scad"):
        key = resource_of(row["line_item_usage_type"])
        by_resource[key] += Fraction(row["split_line_item_split_cost"])
        by_resource[key] += Fraction(row["split_line_item_unused_cost"])
    assert set(by_resource) == {"vcpu", "memory"}
    for resource, usd in by_resource.items():
        pods_pay = sum(sum(v["amortized"]) for k, v in expected.items() if k[3] == resource)
        assert abs(usd - pods_pay) <= len(expected) * TOLERANCE


def test_a_month_is_refused_when_bill_and_pods_are_not_both_given(tmp_path):
    write_cur2(WORLD, tmp_path / "bill")
    with pytest.raises(PodledgerError, match="PODLEDGER_PODS is not"):
        close_month(
            OCTOBER, Settings(bill=(str(tmp_path / "bill"),), home=tmp_path / "home"), print
        )
