"""Reservations, Savings Plans and the Capacity Block of the sample month.

Holds the commitments as data and the one calculation of what they cover: which seconds of
which node's hours each covers, in AWS's order (reservations, then plans of one family, then
plans of any), and what is left unused. The billing lines that follow are in
``instances.py`` and ``fargate.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from orchestration.lake.months import Month
from orchestration.sample.lines import Integers, for_seconds, usd
from orchestration.sample.nodes import BLOCK
from orchestration.sample.world import (
    ATLAS,
    DESK,
    HARBOR,
    HOUR,
    LAB,
    MANAGEMENT,
    Cluster,
    Node,
    Span,
    World,
    hex_id,
    moment,
)

HOURS_A_YEAR = 8760


@dataclass(frozen=True)
class Reservation:
    """Reserved Instances of one type, for a year.

    Attributes:
        half_units: Twice the instances reserved: smaller ones that add up count too.
        upfront_usd: Paid once an instance.
        recurring_usd: Paid each hour an instance, used or not.
        since: Hour of the month since which it applies; above 0, it was bought then.
    """

    name: str
    cluster: Cluster
    instance_type: str
    half_units: int
    option: str
    upfront_usd: str
    recurring_usd: str
    since: int = 0

    @property
    def amortized_rate(self) -> int:
        """The upfront fee an instance-hour."""
        return usd(self.upfront_usd) // HOURS_A_YEAR

    @property
    def recurring_rate(self) -> int:
        """The recurring fee an instance-hour."""
        return usd(self.recurring_usd)


@dataclass(frozen=True)
class SavingsPlan:
    """A commitment to spend so much an hour, for discounted rates.

    Attributes:
        rates_usd: By Region and instance type.
        groups: Node groups in the order in which it pays most; others are not reached.
    """

    name: str
    account_id: str
    usage_type: str
    offering: str
    commitment_usd: str
    groups: tuple[tuple[Cluster, str], ...]
    rates_usd: Mapping[tuple[str, str], str]

    @property
    def commitment(self) -> int:
        """Money an hour."""
        return usd(self.commitment_usd)

    def rate(self, node: Node) -> int:
        """Money an instance-hour."""
        group = node.group
        return usd(self.rates_usd[group.cluster.region, group.instance_type])


RESERVATIONS = (
    # Five m5.xlarge that AWS applies to two and a half m5.2xlarge.
    Reservation("atlas system", ATLAS, "m5.2xlarge", 5, "No Upfront", "0", "0.242"),
    # One more than runs: bought for a third node that was never launched.
    Reservation("lab p4d", LAB, "p4d.24xlarge", 6, "Partial Upfront", "66000", "7.528"),
    Reservation("lab system", LAB, "m5.2xlarge", 5, "All Upfront", "2265", "0", since=57),
)

SAVINGS_PLANS = (
    SavingsPlan(
        "p5",
        MANAGEMENT,
        "EC2SP:p5.3yrNoUpfront",
        "EC2InstanceSavingsPlans",
        "190",
        ((ATLAS, "p5-committed"), (ATLAS, "p5-launch")),
        {("us-east-1", "p5.48xlarge"): "30.82241"},
    ),
    SavingsPlan(
        "g6",
        MANAGEMENT,
        "USW2-EC2SP:g6.1yrNoUpfront",
        "EC2InstanceSavingsPlans",
        "4.1",
        ((HARBOR, "g6-base"), (HARBOR, "g6-peak")),
        {("us-west-2", "g6.2xlarge"): "0.64522"},
    ),
    SavingsPlan(
        "compute",
        MANAGEMENT,
        "ComputeSP:1yrNoUpfront",
        "ComputeSavingsPlans",
        "6",
        (
            (HARBOR, "g5-shared"),
            (HARBOR, "general"),
            (ATLAS, "system"),
            (HARBOR, "inf2-large"),
        ),
        {
            ("us-west-2", "g5.2xlarge"): "0.87264",
            ("us-west-2", "m5.4xlarge"): "0.56064",
            ("us-east-1", "m5.2xlarge"): "0.28032",
            ("us-west-2", "inf2.24xlarge"): "4.73816",
        },
    ),
)


FARGATE_PLAN = SavingsPlan(
    "fargate",
    DESK.account_id,
    "ComputeSP:1yrNoUpfront",
    "ComputeSavingsPlans",
    "0.12",
    (),
    {},
)
"""Not shared with other accounts: it covers Fargate, and there is nothing else there."""


@dataclass(frozen=True)
class CapacityBlock:
    """Instances for some days, paid for in advance, with an hour's price.

    Attributes:
        account_id: Who bought it; the account of the cluster uses it.
        group: The node group whose instances run in it.
    """

    account_id: str
    cluster: Cluster
    group: str
    instance_type: str
    count: int
    span: Span
    hourly_usd: str

    @property
    def fee_usd(self) -> Decimal:
        """What the whole block costs."""
        hours = Decimal(self.span[1] - self.span[0]) / HOUR
        return Decimal(self.hourly_usd) * hours * self.count

    def reservation_id(self, month: Month) -> str:
        """Its id as a capacity reservation."""
        return f"cr-0{hex_id(month, f'capacity block {self.group}', 16)}"

    def arn(self, month: Month) -> str:
        """Its name in the bill."""
        return capacity_reservation_arn(
            self.cluster, self.account_id, self.reservation_id(month)
        )


CAPACITY_BLOCKS = (
    CapacityBlock(
        account_id=MANAGEMENT,
        cluster=ATLAS,
        group="p5-block",
        instance_type="p5.48xlarge",
        count=2,
        span=BLOCK,
        hourly_usd="31.464",
    ),
)


def write_capacity_blocks(path: Path, month: Month) -> None:
    """Write what the month's Capacity Blocks hold: no line of a bill tells it."""
    lines = [
        "capacity_reservation_id,account_id,region,instance_type,instance_count,"
        "starts_at,ends_at"
    ]
    for block in CAPACITY_BLOCKS:
        start, end = (moment(month, at) for at in block.span)
        lines.append(
            f"{block.reservation_id(month)},{block.account_id},{block.cluster.region},"
            f"{block.instance_type},{block.count},"
            f"{start:%Y-%m-%dT%H:%M:%SZ},{end:%Y-%m-%dT%H:%M:%SZ}"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def capacity_reservation_arn(cluster: Cluster, account_id: str, name: str) -> str:
    """How a bill names capacity that is kept in a cluster's Region."""
    return f"arn:aws:ec2:{cluster.region}:{account_id}:capacity-reservation/{name}"


@dataclass(frozen=True)
class Covered:
    """Seconds of a node that a commitment covers, by hour of the month."""

    node: Node
    seconds: Integers


@dataclass(frozen=True)
class Coverage:
    """What commitments cover, and what they leave.

    Attributes:
        reserved: Of each reservation, nodes with seconds covered.
        unused_reserved: Of each reservation, seconds that nothing used, by hour.
        planned: Of each Savings Plan, nodes with seconds covered.
        on_demand: By instance id, seconds that nothing covers, by hour.
    """

    reserved: tuple[tuple[Covered, ...], ...]
    unused_reserved: tuple[Integers, ...]
    planned: tuple[tuple[Covered, ...], ...]
    on_demand: Mapping[str, Integers]


def seconds_by_hour(world: World, node: Node) -> Integers:
    """Seconds of each hour of the month in which an instance ran."""
    edges = np.arange(world.hours + 1, dtype=np.int64) * HOUR
    seconds = np.zeros(world.hours, np.int64)
    for start, end in node.spans:
        seconds += np.clip(edges[1:], start, end) - np.clip(edges[:-1], start, end)
    return seconds


def apply_commitments(world: World) -> Coverage:
    """Cover On-Demand usage of the month, commitment by commitment."""
    nodes = [node for node in world.nodes if node.group.market == "on-demand"]
    left = {node.instance_id: seconds_by_hour(world, node) for node in nodes}

    def cover(node: Node, at_most: Integers) -> Covered:
        seconds = np.minimum(left[node.instance_id], at_most)
        left[node.instance_id] = left[node.instance_id] - seconds
        return Covered(node, seconds)

    reserved, unused = [], []
    for reservation in RESERVATIONS:
        pool = np.full(world.hours, reservation.half_units * HOUR // 2, np.int64)
        pool[: reservation.since] = 0
        covered = []
        for node in _matching(nodes, reservation):
            covered.append(cover(node, pool))
            pool = pool - covered[-1].seconds
        reserved.append(tuple(covered))
        unused.append(pool)

    planned = []
    for plan in SAVINGS_PLANS:
        budget = np.full(world.hours, plan.commitment, np.int64)
        covered = []
        for group in plan.groups:
            for node in nodes:
                if (node.group.cluster, node.group.name) == group:
                    covered.append(cover(node, budget * HOUR // plan.rate(node)))
                    budget = budget - for_seconds(plan.rate(node), covered[-1].seconds)
        planned.append(tuple(covered))
    return Coverage(tuple(reserved), tuple(unused), tuple(planned), left)


def _matching(nodes: Sequence[Node], reservation: Reservation) -> list[Node]:
    return [
        node
        for node in nodes
        if node.group.cluster is reservation.cluster
        and node.group.instance_type == reservation.instance_type
    ]
