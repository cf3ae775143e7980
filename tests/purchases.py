"""A month that has every way to buy GPUs, each with an instance type of its own.

It has what is billed beside nodes, too: volumes, load balancers, clusters.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from orchestration.bill.reservations import RESERVATION_COLUMNS
from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.worlds import (
    World,
    a_pod_hour,
    an_instance_hour,
    write_cur2,
    write_legacy,
    write_pods,
)

OCTOBER = Month(2026, 10)
PAYER, BUYER, USER = "111111111111", "222222222222", "333333333333"
UNIT = Fraction(1, 10**10)
TYPE = "p5.48xlarge"
DAY = dt.datetime(2026, 10, 5)  # noqa: DTZ001 - exports have no zones, all is UTC


def arn(block: str) -> str:
    return f"arn:aws:ec2:us-west-2:{BUYER}:capacity-reservation/{block}"


def line(resource: str | None, cost: str, hour: dt.datetime, **more: Any) -> dict[str, Any]:
    usual = {"account": USER, "usage_type": f"USW2-BoxUsage:{TYPE}"}
    return an_instance_hour(resource, TYPE, cost, hour, **(usual | more))


def fee(
    block: str, instance_type: str, cost: str, start: dt.datetime, kind: str = "Fee"
) -> dict[str, Any]:
    return line(
        arn(block),
        cost,
        start,
        account=BUYER,
        type=kind,
        usage_type=f"USW2-CapacityBlock:{instance_type}",
        instance_type=instance_type,
        family="",
        capacity_arn=arn(block),
        capacity_status="Reserved",
        capacity_type="EC2 Capacity Block for ML",
    )


def in_block(
    instance: str,
    block: str,
    instance_type: str,
    when: dt.datetime,
    cost: str = "0",
    **more: Any,
) -> dict[str, Any]:
    return line(
        instance,
        cost,
        when,
        usage_type=f"USW2-CapacityBlockUsage:{instance_type}",
        instance_type=instance_type,
        capacity_arn=arn(block),
        capacity_status="Used",
        capacity_type="EC2 Capacity Block for ML",
        **more,
    )


def pod(instance: str, hour: dt.datetime, uid: str, gpus: float = 8.0) -> dict[str, Any]:
    return a_pod_hour(
        instance,
        hour,
        uid,
        node_name=f"node-{instance}",
        namespace="train",
        vcpu_requested=4.0,
        memory_requested_gib=16.0,
        accelerators_requested={"nvidia.com/gpu": gpus},
        labels={"team": "research"},
    )


class Closed:
    """A closed month, read as a user would."""

    def __init__(self, published: Publication, settings: Settings) -> None:
        self.path, self.settings = published.path, settings
        self._node_hours: dict[str, dict[tuple[str, dt.datetime], Decimal]] = {}

    def warehouse(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def node_hours(
        self, basis: str = "amortized"
    ) -> dict[tuple[str, dt.datetime], Decimal]:
        """What pods and unallocated rows of each node-hour come to."""
        if basis in self._node_hours:
            return self._node_hours[basis]
        costs: dict[tuple[str, dt.datetime], Decimal] = defaultdict(Decimal)
        for path in sorted((self.settings.home / "lake/pod_costs").glob("*/*.parquet")):
            for row in pq.ParquetFile(path).read().to_pylist():
                costs[row["instance_id"], row["usage_hour"]] += sum(
                    row[f"{resource}_{basis}_{part}_usd"]
                    for resource in ("accelerator", "vcpu", "memory")
                    for part in ("split", "unused")
                )
        for path in sorted((self.path / "unallocated").glob("*.parquet")):
            for row in pq.ParquetFile(path).read().to_pylist():
                key = (
                    row["split_line_item_parent_resource_id"],
                    row["line_item_usage_start_date"],
                )
                costs[key] += row[f"{basis}_usd"]
        self._node_hours[basis] = dict(costs)
        return self._node_hours[basis]

    def remainder(self, category: str, basis: str = "amortized") -> Decimal:
        rows = pq.ParquetFile(self.path / "remainder.parquet").read().to_pylist()
        return sum(
            (row[f"{basis}_usd"] for row in rows if row["category"] == category), Decimal(0)
        )

    def controls(self, name: str) -> list[dict[str, Any]]:
        rows = pq.ParquetFile(self.path / "controls.parquet").read().to_pylist()
        return [row for row in rows if row["control"] == name]

    def totals(self, basis: str) -> dict[str, Decimal]:
        """The law of the published month: bill, node-hours (pods), remainder."""
        totals = json.loads((self.path / "manifest.json").read_text())["totals"][basis]
        usd = {name: Decimal(text) for name, text in totals.items()}
        return {
            "bill": usd["bill"],
            "pods": usd["pods_split"] + usd["pods_unused"] + usd["unallocated"],
            "remainder": usd["remainder"],
        }

    def bill(self, basis: str) -> Decimal:
        ((usd,),) = self.warehouse(
            f"select sum(bill_usd) from rpt_month_totals where cost_basis = '{basis}'"
        )
        return usd


def blocks_file(folder: Path, *blocks: tuple[str, str, int, str, str]) -> Path:
    """Capacity Blocks as a user writes them: id, type, instances, start, end."""
    path = folder / "capacity_blocks.csv"
    rows = [
        f"{block},{BUYER},us-west-2,{instance_type},{count},{start},{end}"
        for block, instance_type, count, start, end in blocks
    ]
    path.write_text(
        "capacity_reservation_id,account_id,region,instance_type,instance_count,"
        "starts_at,ends_at\n" + "\n".join(rows) + "\n"
    )
    return path


def hour(number: int) -> dt.datetime:
    return DAY + dt.timedelta(hours=number)


def near(actual: Decimal, expected: Fraction, units: int = 1) -> bool:
    return abs(Fraction(actual) - expected) <= units * UNIT


def host_line(host: str, cost: str, family: str) -> dict[str, Any]:
    return line(
        f"arn:aws:ec2:us-west-2:{USER}:dedicated-host/{host}",
        cost,
        hour(3),
        usage_type=f"USW2-HostUsage:{family}",
        family="Dedicated Host",
        instance_type=None,
    )


def on_host(instance: str, instance_type: str) -> dict[str, Any]:
    return line(
        instance,
        "0",
        hour(3),
        usage_type=f"USW2-HostBoxUsage:{instance_type}",
        instance_type=instance_type,
    )


def hyperpod(resource: str, instance_type: str, cost: str, usage: str) -> dict[str, Any]:
    return line(
        resource,
        cost,
        hour(20),
        product_code="AmazonSageMaker",
        usage_type=f"USW2-Cluster:ml.{instance_type}",
        operation="RunInstance",
        family="ML Instance",
        instance_type=f"ml.{instance_type}",
        usage=usage,
    )


SIZED, UNSIZED, UNUSED, PAID_OS, REFUNDED, TWIN, OTHER_TWIN, FEELESS = (
    f"cr-{number:017x}" for number in range(8)
)
(
    A,
    B,
    SEEN_A,
    SEEN_B,
    OS,
    BACK,
    TWIN_A,
    TWIN_B,
    FREE,
    AUTO,
    HOSTED,
    LARGE,
    SMALL,
    HYPER,
) = (f"i-{number:017x}" for number in range(14))
FULL_HOST, EMPTY_HOST, SHARED_HOST = (f"h-{number:017x}" for number in range(3))
CLUSTER = f"arn:aws:sagemaker:us-west-2:{USER}:cluster/abc123def456"
NOON = ("2026-10-05T12:00:00Z", "2026-10-05T14:00:00Z")

LINES = [
    # Two instances for four hours from 11:30, of which one runs three and a half.
    fee(SIZED, TYPE, "3020.736", hour(11)),
    in_block(A, SIZED, TYPE, hour(11), usage="0.5"),
    *(in_block(A, SIZED, TYPE, hour(n)) for n in (12, 13, 14)),
    in_block(B, SIZED, TYPE, hour(12)),
    fee(UNSIZED, "p4d.24xlarge", "100", hour(11)),
    *(
        in_block(i, UNSIZED, "p4d.24xlarge", hour(n))
        for i in (SEEN_A, SEEN_B)
        for n in (12, 13, 14)
    ),
    fee(UNUSED, "trn1.32xlarge", "70.5", hour(11)),
    fee(PAID_OS, "p5en.48xlarge", "96", hour(12)),
    in_block(OS, PAID_OS, "p5en.48xlarge", hour(12), cost="2.5"),
    fee(REFUNDED, "p4de.24xlarge", "96", hour(12)),
    fee(REFUNDED, "p4de.24xlarge", "-32", hour(13), kind="Refund"),
    *(in_block(BACK, REFUNDED, "p4de.24xlarge", hour(n)) for n in (12, 13)),
    fee(TWIN, "g6e.48xlarge", "100", hour(12)),
    fee(OTHER_TWIN, "g6e.48xlarge", "300", hour(12)),
    *(in_block(TWIN_A, TWIN, "g6e.48xlarge", hour(n)) for n in (12, 13)),
    *(in_block(TWIN_B, OTHER_TWIN, "g6e.48xlarge", hour(n)) for n in (12, 13)),
    in_block(FREE, FEELESS, "trn1.2xlarge", hour(12)),
    line(
        AUTO,
        "55.04",
        hour(3),
        usage_type="USW2-BoxUsage:g5.48xlarge",
        instance_type="g5.48xlarge",
    ),
    line(
        AUTO,
        "6.6048",
        hour(3),
        product_code="AmazonEKS",
        usage_type="USW2-EKS-Auto:g5.48xlarge",
        operation="EKSAutoUsage",
        family="",
        instance_type="g5.48xlarge",
    ),
    host_line(FULL_HOST, "60.544", "p5"),
    host_line(EMPTY_HOST, "60.544", "p5"),
    on_host(HOSTED, TYPE),
    host_line(SHARED_HOST, "5.06", "m5"),
    on_host(LARGE, "m5.4xlarge"),
    on_host(SMALL, "m5.2xlarge"),
    hyperpod(f"{CLUSTER}/{HYPER}", TYPE, "63.296", "1"),
    hyperpod(CLUSTER, "p4d.24xlarge", "126.592", "2"),
]
CLAIM = {
    "user_kubernetes_io_created_for_pvc_name": "weights",
    "user_kubernetes_io_created_for_pvc_namespace": "serve",
    "user_kubernetes_io_cluster_prod_eu": "owned",
}
ALB, NLB = (
    f"arn:aws:elasticloadbalancing:us-west-2:{USER}:loadbalancer/{kind}/k8s/1"
    for kind in ("app", "net")
)
EKS_CLUSTER = f"arn:aws:eks:us-west-2:{USER}:cluster/prod-eu"
RESERVED = "cr-0000000000000face"


def beside(resource: str | None, cost: str, usage_type: str, **more: Any) -> dict[str, Any]:
    """A line that no node carries."""
    return line(
        resource,
        cost,
        hour(1),
        usage_type=f"USW2-{usage_type}",
        operation="",
        family="",
        instance_type=None,
        **more,
    )


LINES += [
    beside("vol-claimed", "1.25", "EBS:VolumeUsage.gp3", tags=CLAIM),
    beside("vol-claimed", "0.75", "EBS:VolumeP-IOPS.gp3", tags=CLAIM),
    beside("vol-bare", "2.5", "EBS:VolumeUsage.gp3"),
    beside(
        ALB,
        "0.5",
        "LoadBalancerUsage",
        product_code="AWSELB",
        tags={
            "user_elbv2_k8s_aws_cluster": "prod-eu",
            "user_ingress_k8s_aws_stack": "shop/front",
        },
    ),
    beside(
        NLB,
        "0.375",
        "LoadBalancerUsage",
        product_code="AWSELB",
        tags={
            "user_elbv2_k8s_aws_cluster": "prod-eu",
            "user_service_k8s_aws_stack": "shop/api",
        },
    ),
    beside(None, "0.125", "NatGateway-Bytes", tags={"user_kubernetes_cluster": "prod-eu"}),
    beside(EKS_CLUSTER, "0.1", "AmazonEKS-Hours:perCluster", product_code="AmazonEKS"),
    beside(
        f"arn:aws:ec2:us-west-2:{USER}:capacity-reservation/{RESERVED}",
        "98.32",
        "UnusedBox:p5.48xlarge",
        tags={"user_team": "vision"},
        capacity_arn=f"arn:aws:ec2:us-west-2:{USER}:capacity-reservation/{RESERVED}",
        capacity_status="Unused",
        capacity_type="On Demand Capacity Reservation",
    ),
]
PODS = [
    *(pod(A, hour(n), f"a{n}") for n in (11, 12, 13, 14)),
    pod(B, hour(12), "b"),
    pod(SEEN_A, hour(12), "seen"),
    pod(AUTO, hour(3), "auto"),
    pod(HOSTED, hour(3), "hosted"),
    pod(LARGE, hour(3), "large", 0.0),
    pod(HYPER, hour(20), "hyper"),
]


def close_purchases(folder: Path, layout: str) -> Closed:
    """Close the month from CUR 2.0 or from a legacy report."""
    settings = purchases(folder, layout)
    return Closed(close_month(OCTOBER, settings, lambda _: None), settings)


def purchases(folder: Path, layout: str = "cur2") -> Settings:
    """Write the month of purchases into a folder; gives what it is closed with."""
    world = World(lines=LINES, pods=PODS)
    (write_cur2 if layout == "cur2" else write_legacy)(world, folder / "bill")
    write_pods(world, folder / "pods")
    reservations = folder / "reservations"
    reservations.mkdir()
    start, end = "2026-10-05T11:30:00Z", "2026-10-05T15:30:00Z"
    (reservations / "capacity_reservations.csv").write_text(
        f"{','.join(RESERVATION_COLUMNS)}\n{SIZED},capacity-block,{BUYER},us-west-2,{TYPE},2,"
        f'{start},{end},expired,"{{""team"": ""llm""}}"\n'
    )
    return Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        reservations=reservations,
        capacity_blocks=blocks_file(
            folder,
            (SIZED, TYPE, 2, start, end),
            (PAID_OS, "p5en.48xlarge", 1, *NOON),
            (REFUNDED, "p4de.24xlarge", 1, *NOON),
            (TWIN, "g6e.48xlarge", 1, *NOON),
            (OTHER_TWIN, "g6e.48xlarge", 1, *NOON),
        ),
        _env_file=None,
    )
