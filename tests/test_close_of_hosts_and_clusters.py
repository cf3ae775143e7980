"""Machines that the bill names only as a whole: Dedicated Hosts and HyperPod clusters.

What EC2 says of the hosts is in a file, what nodes a cluster has is in the inventory. The
month is closed from CUR 2.0 and from a legacy report.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.lake.settings import Settings
from tests.explain.following import require_all_accounts
from tests.purchases import (
    BUYER,
    OCTOBER,
    USER,
    Closed,
    hour,
    line,
    near,
    pod,
)
from tests.worlds import World, write_cur2, write_legacy, write_pods

BASES = ("unblended", "amortized", "net_amortized", "public_on_demand")
TYPE = "p5.48xlarge"
FIRST, SECOND, OTHER_TYPE, PLAIN, ELSEWHERE = (f"i-{n:017x}" for n in range(1, 6))
QUARTER, HALF, OTHER_HALF, UNSEEN = (f"i-{n:017x}" for n in range(11, 15))
GPU_HOST, FULL_HOST, CPU_HOST = (f"h-{n:017x}" for n in range(1, 4))
CLUSTER = f"arn:aws:sagemaker:us-west-2:{USER}:cluster/abc123def456"
PRICE = Decimal("63.296")


# ------------------------------------------------------------------------ hosts


def host(
    name: str, when: dt.datetime, cost: str, family: str = "g5", **more: Any
) -> dict[str, Any]:
    usual = {
        "usage_type": f"USW2-HostUsage:{family}",
        "family": "Dedicated Host",
        "instance_type": None,
    }
    arn = f"arn:aws:ec2:us-west-2:{USER}:dedicated-host/{name}"
    return line(arn, cost, when, **(usual | more))


def on_host(
    instance: str, when: dt.datetime, instance_type: str, **more: Any
) -> dict[str, Any]:
    return line(
        instance,
        "0",
        when,
        usage_type=f"USW2-HostBoxUsage:{instance_type}",
        instance_type=instance_type,
        **more,
    )


HOSTS = [
    # 48 of 192 vCPUs, for an hour, for half of one, and not at all.
    host(GPU_HOST, hour(3), "22.4"),
    on_host(QUARTER, hour(3), "g5.12xlarge"),
    host(GPU_HOST, hour(4), "11.2", usage="0.5"),
    on_host(QUARTER, hour(4), "g5.12xlarge", usage="0.5"),
    host(GPU_HOST, hour(5), "22.4"),
    # A host that a reservation pays for.
    host(GPU_HOST, hour(6), "0", type="DiscountedUsage", effective="16", public="22.4"),
    on_host(QUARTER, hour(6), "g5.12xlarge"),
    # Full, and shared with another account; beside it, one of the same family.
    host(FULL_HOST, hour(3), "22.4000000001"),
    on_host(HALF, hour(3), "g5.24xlarge"),
    on_host(OTHER_HALF, hour(3), "g5.24xlarge", account=BUYER),
    # EC2 did not see what ran here.
    host(CPU_HOST, hour(3), "5.06", "m5"),
    on_host(UNSEEN, hour(3), "m5.4xlarge"),
]
HOST_PODS = [
    *(pod(QUARTER, hour(n), f"quarter-{n}", 4.0) for n in (3, 4, 6)),
    pod(HALF, hour(3), "half", 4.0),
    pod(OTHER_HALF, hour(3), "other-half", 4.0),
    pod(UNSEEN, hour(3), "unseen", 0.0),
]


def hosts_file(folder: Path) -> Path:
    rows = [
        f"{GPU_HOST},{USER},us-west-2,g5,192,{QUARTER}",
        f"{FULL_HOST},{USER},us-west-2,g5,192,{HALF}",
        f"{FULL_HOST},{USER},us-west-2,g5,192,{OTHER_HALF}",
        f"{CPU_HOST},{USER},us-west-2,m5,96,",
    ]
    header = "host_id,account_id,region,instance_family,total_vcpus,instance_id"
    (folder / "dedicated_hosts.csv").write_text("\n".join((header, *rows)) + "\n")
    return folder


# --------------------------------------------------------------------- clusters


def cluster(
    when: dt.datetime,
    usage: str,
    cost: str,
    instance_type: str = TYPE,
    resource: str = CLUSTER,
    **more: Any,
) -> dict[str, Any]:
    return line(
        resource,
        cost,
        when,
        product_code="AmazonSageMaker",
        usage_type=f"USW2-Cluster:ml.{instance_type}",
        operation="RunInstance",
        family="ML Instance",
        instance_type=f"ml.{instance_type}",
        usage=usage,
        **more,
    )


def node(
    instance: str,
    when: dt.datetime,
    instance_type: str = f"ml.{TYPE}",
    region: str = "us-west-2",
) -> dict[str, Any]:
    is_of_cluster = instance_type.startswith("ml.")
    return {
        "cluster_name": "prod",
        "node_name": f"hyperpod-{instance}" if is_of_cluster else f"node-{instance}",
        "instance_id": instance,
        "usage_hour": f"{when:%Y-%m-%dT%H:%M:%SZ}",
        "instance_type": instance_type,
        "labels": {"topology.kubernetes.io/region": region},
        "allocatable": {},
    }


CLUSTERS = [
    cluster(hour(20), "2", "126.592"),
    cluster(hour(20), "1", "3.06", "g5.8xlarge"),
    line(PLAIN, "55.04", hour(20)),
    cluster(hour(21), "2", "100.0000000001"),
    # One node more than the inventory knows, and two that ran three quarters of the hour.
    cluster(hour(22), "3", "189.888"),
    cluster(hour(23), "1.5", "94.944"),
    # One node has a line of its own, the other is billed with its cluster.
    cluster(hour(24), "1", str(PRICE), resource=f"{CLUSTER}/{FIRST}"),
    cluster(hour(24), "1", "60"),
    # A cluster of one node in each of two accounts.
    cluster(hour(25), "1", "60", account=BUYER),
    cluster(hour(25), "1", str(PRICE)),
    # A type that the inventory has in this hour only in another Region.
    cluster(hour(26), "1", str(PRICE)),
]
NODES = [
    *(node(name, hour(n)) for name in (FIRST, SECOND) for n in range(20, 26)),
    node(OTHER_TYPE, hour(20), "ml.g5.8xlarge"),
    node(PLAIN, hour(20), TYPE),
    *(node(ELSEWHERE, hour(n), region="us-east-1") for n in range(20, 27)),
]
CLUSTER_PODS = [
    *(pod(name, hour(n), f"{name}-{n}") for name in (FIRST, SECOND) for n in range(20, 26)),
    pod(OTHER_TYPE, hour(20), "other-type", 1.0),
    pod(PLAIN, hour(20), "plain"),
]


def hosts_and_clusters(folder: Path, layout: str = "cur2") -> Settings:
    """Write the month into a folder; gives what it is closed with."""
    world = World(lines=HOSTS + CLUSTERS, pods=HOST_PODS + CLUSTER_PODS)
    (write_cur2 if layout == "cur2" else write_legacy)(world, folder / "bill")
    write_pods(world, folder / "pods")
    (folder / "pods/node_hours.ndjson").write_text(
        "".join(json.dumps(one) + "\n" for one in NODES)
    )
    return Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        reservations=hosts_file(folder),
        _env_file=None,
    )


@pytest.fixture(
    scope="module", params=["cur2", pytest.param("legacy", marks=pytest.mark.slow)]
)
def closed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Closed:
    settings = hosts_and_clusters(tmp_path_factory.mktemp("hosts"), request.param)
    return Closed(close_month(OCTOBER, settings, lambda _: None), settings)


def unallocated(closed: Closed, instance: str, when: dt.datetime) -> list[dict[str, Any]]:
    rows = pq.ParquetFile(closed.path / f"unallocated/{when:%Y-%m-%d}.parquet").read()
    return [
        row
        for row in rows.to_pylist()
        if row["split_line_item_parent_resource_id"] == instance
        and row["line_item_usage_start_date"] == when
    ]


def test_the_law_holds(closed):
    billed = sum(Decimal(one["unblended"]) for one in HOSTS + CLUSTERS)
    assert closed.totals("unblended")["bill"] == billed
    for basis in BASES:
        totals = closed.totals(basis)
        assert totals["bill"] == totals["pods"] + totals["remainder"]


@pytest.mark.parametrize("basis", BASES)
def test_an_instance_pays_its_part_of_a_host_and_the_rest_is_the_hosts_own(closed, basis):
    costs = closed.node_hours(basis)
    assert costs[QUARTER, hour(3)] == Decimal("5.6")
    assert costs[GPU_HOST, hour(3)] == Decimal("16.8")
    assert costs[QUARTER, hour(4)] == Decimal("2.8")
    assert costs[GPU_HOST, hour(4)] == Decimal("8.4")
    assert costs[GPU_HOST, hour(5)] == Decimal("22.4")
    assert (QUARTER, hour(5)) not in costs


def test_what_is_left_of_a_host_has_its_size_and_its_reason(closed):
    for n, devices in ((3, 6.0), (4, 3.0), (5, 8.0)):
        rows = unallocated(closed, GPU_HOST, hour(n))
        assert {row["reason"] for row in rows} == {"host_unused"}
        capacity = dict(
            closed.warehouse(
                "select usage_hour, accelerator_capacity_hours"
                f" from int_node_hours__weighed_v2 where instance_id = '{GPU_HOST}'"
            )
        )
        assert capacity[hour(n)] == devices


def test_a_reserved_hosts_effective_cost_is_shared_alike(closed):
    for basis, paid, left in (
        ("unblended", "0", "0"),
        ("amortized", "4", "12"),
        ("net_amortized", "4", "12"),
        ("public_on_demand", "5.6", "16.8"),
    ):
        costs = closed.node_hours(basis)
        assert costs[QUARTER, hour(6)] == Decimal(paid)
        assert costs[GPU_HOST, hour(6)] == Decimal(left)


def test_a_full_host_leaves_nothing_and_each_account_pays_for_its_own(closed):
    costs = closed.node_hours()
    assert costs[HALF, hour(3)] == Decimal("11.2000000001")
    assert costs[OTHER_HALF, hour(3)] == Decimal("11.2")
    assert not [key for key in costs if key[0] == FULL_HOST]
    accounts = dict(
        closed.warehouse(
            "select instance_id, usage_account_id from int_node_hours"
            f" where instance_id in ('{HALF}', '{OTHER_HALF}')"
        )
    )
    assert accounts == {HALF: USER, OTHER_HALF: BUYER}


def test_a_host_of_known_size_is_partly_empty_whoever_runs_on_it(closed):
    costs = closed.node_hours()
    assert near(costs[UNSEEN, hour(3)], Fraction("5.06") / 6)
    assert costs[UNSEEN, hour(3)] + costs[CPU_HOST, hour(3)] == Decimal("5.06")
    (told,) = closed.controls("dedicated_hosts_are_known")
    assert told["is_passed"]


@pytest.mark.parametrize("basis", BASES)
def test_the_nodes_of_a_cluster_share_its_line_by_type(closed, basis):
    costs = closed.node_hours(basis)
    assert costs[FIRST, hour(20)] == costs[SECOND, hour(20)] == PRICE
    assert costs[OTHER_TYPE, hour(20)] == Decimal("3.06")
    assert costs[PLAIN, hour(20)] == Decimal("55.04")
    shares = {costs[FIRST, hour(21)], costs[SECOND, hour(21)]}
    assert shares == {Decimal("50.0000000001"), Decimal("50")}


def test_nodes_that_the_inventory_lacks_leave_their_part_in_the_remainder(closed):
    costs = closed.node_hours()
    assert costs[FIRST, hour(22)] == costs[SECOND, hour(22)] == PRICE
    # The third of that hour, and the one whose node is in another Region.
    assert closed.remainder("other_services") == 2 * PRICE
    assert not [key for key in costs if key[0] == ELSEWHERE]
    (told,) = closed.controls("hyperpod_nodes_are_known")
    assert not told["is_passed"]
    assert told["actual_usd"] == 2 * PRICE


def test_nodes_that_ran_part_of_an_hour_offer_that_part(closed):
    costs = closed.node_hours()
    assert costs[FIRST, hour(23)] == costs[SECOND, hour(23)] == Decimal("47.472")
    usage = closed.warehouse(
        "select distinct usage_hours from int_node_hours where instance_id in"
        f" ('{FIRST}', '{SECOND}') and usage_hour = '{hour(23)}'"
    )
    assert [hours for (hours,) in usage] == [Decimal("0.75")]


def test_a_node_with_a_line_of_its_own_takes_no_part_in_its_clusters(closed):
    costs = closed.node_hours()
    assert costs[FIRST, hour(24)] == PRICE
    assert costs[SECOND, hour(24)] == 60


def test_clusters_of_two_accounts_have_as_many_nodes_as_each_is_billed_for(closed):
    costs = closed.node_hours()
    assert {costs[FIRST, hour(25)], costs[SECOND, hour(25)]} == {Decimal(60), PRICE}


def test_parts_of_hosts_and_clusters_are_explained_by_the_lines_that_they_are_on(closed):
    assert require_all_accounts(closed.settings, OCTOBER) > 20
