"""A month with everything that a person must be told, and what stops a month."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.worlds import (
    START,
    World,
    a_pod_hour,
    an_instance_hour,
    write_cur2,
    write_pods,
)

OCTOBER = Month(2026, 10)
HOUR = START + dt.timedelta(days=3, hours=7)


def instance(
    instance_id: str, instance_type: str, cost: str, **more: Any
) -> dict[str, Any]:
    return an_instance_hour(instance_id, instance_type, cost, HOUR, **more)


def pod(instance_id: str, uid: str, vcpu: float = 1.0, **more: Any) -> dict[str, Any]:
    return a_pod_hour(instance_id, HOUR, uid, vcpu_requested=vcpu, **more)


def close(folder: Path, world: World) -> Publication:
    write_cur2(world, folder / "bill")
    write_pods(world, folder / "pods")
    settings = Settings(
        bill=(str(folder / "bill"),), pods=(str(folder / "pods"),), home=folder / "home"
    )
    return close_month(OCTOBER, settings, lambda _: None)


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The controls of a month that is odd in every way that does not stop it."""
    world = World(
        lines=[
            instance("i-plain", "m5.xlarge", "1.0"),
            # Newer than the catalogue: the bill says what it has.
            instance(
                "i-new", "zz9.huge", "5.0", product={"vcpu": "8", "memory": "1,952 GiB"}
            ),
            # A node of a cluster that sends no inventory.
            instance("i-lost", "m5.xlarge", "0.7", tags={"aws_eks_cluster_name": "dark"}),
            # AWS's own split of the first: its money is on the bill already.
            instance(
                "arn:aws:eks:us-east-1:2:pod/prod/ns/pod-a/a",
                "m5.xlarge",
                "0",
                operation="EKSPod-EC2",
                usage_type="EKS-EC2-vCPU-Hours",
                product_code="AmazonEKS",
                family=None,
                split_parent="i-plain",
                carries=False,
            ),
        ],
        pods=[
            pod("i-plain", "a"),
            # Millicores taken for cores.
            pod("i-plain", "slip", vcpu=500.0),
            pod("i-new", "b", accelerators_requested={"example.com/tpu": 1.0}),
            pod("i-of-another-payer", "c", bound_seconds=1800),
        ],
    )
    publication = close(tmp_path_factory.mktemp("odd"), world)
    rows = pq.ParquetFile(publication.path / "controls.parquet").read().to_pylist()
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["control"], []).append(row)
    return by_name


@pytest.mark.parametrize(
    ("control", "money", "told"),
    [
        ("pods_run_on_billed_instances", "0", "1 pod-hours (0.50 hours)"),
        ("cluster_nodes_have_an_inventory", "0.7", "like i-lost"),
        (
            "requests_fit_their_node",
            None,
            "ns/pod-slip on i-plain (m5.xlarge): 125.0 times",
        ),
        ("accelerator_requests_are_recognized", "0", "example.com/tpu"),
        ("instance_types_are_in_the_catalogue", "5.0", "zz9.huge"),
    ],
)
def test_what_is_odd_is_told_with_its_money(controls, control, money, told):
    (row,) = controls[control]
    assert not row["is_passed"]
    assert row["severity"] == "warning"
    assert told in row["evidence"]
    if money is not None:
        assert float(row["actual_usd"]) == float(money)


def test_the_split_rows_of_aws_are_left_out_and_counted(controls):
    (row,) = controls["split_rows_of_aws_are_left_out"]
    assert row["is_passed"]
    assert row["evidence"].startswith("1 rows")
    (bill,) = (
        row
        for row in controls["every_billed_dollar_lands_once"]
        if row["cost_basis"] == "unblended"
    )
    assert float(bill["expected_usd"]) == 6.7


def test_a_type_that_nobody_describes_stops_the_month_and_is_named(tmp_path):
    world = World(
        lines=[instance("i-x", "zz9.riddle", "5.0", product={"vcpu": "8"})],
        pods=[pod("i-x", "a")],
    )
    with pytest.raises(PodledgerError, match=r"zz9\.riddle.*catalogue refresh"):
        close(tmp_path, world)
    assert not (tmp_path / "home" / "published").exists()
