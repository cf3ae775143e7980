"""What the world of the sample month consists of: accounts, clusters, nodes, workloads.

Holds the kinds of things and what all rooms of the sample agree on. What there is of each
is in ``story.py``; ``docs/sample.md`` tells it in prose. Times are seconds since the month
began.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestration.lake.months import Month

HOUR = 3600
DAY = 24 * HOUR

Span = tuple[int, int]
"""Half-open interval of seconds since the month began."""

Kind = Literal[
    "DaemonSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "PyTorchJob",
    "RayCluster",
    "Pod",
]
"""The topmost controller of a workload's pods; ``Pod`` is one that nothing controls."""

TRAFFIC = tuple(
    percent / 100
    for percent in (
        *(34, 28, 24, 22, 23, 28, 38, 52, 68, 81, 90, 95),
        *(97, 100, 99, 96, 92, 88, 83, 76, 68, 58, 49, 41),
    )
)
"""Requests by hour of the day, UTC, as a share of the busiest hour."""

GPU = "nvidia.com/gpu"
MIG_1G, MIG_2G, MIG_3G = (
    f"nvidia.com/mig-{profile}" for profile in ("1g.5gb", "2g.10gb", "3g.20gb")
)
AMD_GPU = "amd.com/gpu"
NEURON_DEVICE = "aws.amazon.com/neurondevice"
NEURON_CORE = "aws.amazon.com/neuroncore"


@dataclass(frozen=True)
class Cluster:
    """An EKS cluster, in one account and Region.

    Attributes:
        usage_prefix: What AWS puts before usage types of the Region.
        price_factor: The Region's On-Demand prices over those of us-east-1, in hundredths.
    """

    name: str
    payer_id: str
    account_id: str
    region: str
    zones: tuple[str, ...]
    usage_prefix: str
    location: str
    domain: str
    network: str
    price_factor: int = 100


MANAGEMENT = "111122223333"
TRAINING = "123456789012"
INFERENCE = "210987654321"
APPLICATIONS = "321098765432"
RESEARCH = "444455556666"

ATLAS = Cluster(
    name="atlas",
    payer_id=MANAGEMENT,
    account_id=TRAINING,
    region="us-east-1",
    zones=("us-east-1a", "us-east-1d"),
    usage_prefix="",
    location="US East (N. Virginia)",
    domain="ec2.internal",
    network="10.10",
)
HARBOR = Cluster(
    name="harbor",
    payer_id=MANAGEMENT,
    account_id=INFERENCE,
    region="us-west-2",
    zones=("us-west-2a", "us-west-2b", "us-west-2c"),
    usage_prefix="USW2-",
    location="US West (Oregon)",
    domain="us-west-2.compute.internal",
    network="10.20",
)
LAB = Cluster(
    name="lab",
    payer_id=RESEARCH,
    account_id=RESEARCH,
    region="eu-west-1",
    zones=("eu-west-1a", "eu-west-1b"),
    usage_prefix="EU-",
    location="EU (Ireland)",
    domain="eu-west-1.compute.internal",
    network="10.30",
    price_factor=111,
)
CLUSTERS = (ATLAS, HARBOR, LAB)

DESK = Cluster(
    name="desk",
    payer_id=MANAGEMENT,
    account_id=APPLICATIONS,
    region="us-east-1",
    zones=(),
    usage_prefix="",
    location="US East (N. Virginia)",
    domain="ec2.internal",
    network="10.40",
)
"""A cluster without nodes: all its pods run on Fargate, and nobody keeps an inventory."""


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one make.

    Attributes:
        lives: For each node, the spans in which it ran; an instance that is stopped and
            started keeps its id.
        market: How it was bought; commitments apply to whatever On-Demand usage fits them.
            Instances of a Capacity Block were paid for with the block.
        devices: Extended resources that the node advertises.
        labels: What discovery and the device plug-in say about the node's devices.
        is_in_cluster: Whether the instances ever became nodes.
        is_auto_mode: Whether EKS runs the instances, for a fee. What DaemonSets do on other
            nodes is part of its image.
        has_own_chance: Whether what its pods use is drawn apart from all others of the
            cluster: a group that came later moves no figure of those before it.
    """

    cluster: Cluster
    name: str
    instance_type: str
    lives: tuple[tuple[Span, ...], ...]
    market: Literal["on-demand", "spot", "capacity-block"] = "on-demand"
    devices: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    team: str = "platform"
    is_in_cluster: bool = True
    is_auto_mode: bool = False
    has_own_chance: bool = False


@dataclass(frozen=True)
class Node:
    """One EC2 instance."""

    group: NodeGroup
    instance_id: str
    name: str
    zone: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Use:
    """What a pod uses: means while it is bound, in vCPUs, GiB and physical devices.

    Attributes:
        devices: None where nothing measures the devices.
        follows_traffic: Whether vCPUs and devices are of the busiest hour, and less before
            and after.
    """

    vcpu: float
    memory_gib: float
    devices: float | None = None
    follows_traffic: bool = False


@dataclass(frozen=True)
class Workload:
    """Pods of one controller.

    Attributes:
        groups: Node groups that its pods may run on, in order of preference.
        shifts: When each of its pods wants to run.
        requests: Extended resource -> quantity of one pod.
    """

    cluster: Cluster
    namespace: str
    name: str
    kind: Kind
    groups: tuple[str, ...]
    shifts: tuple[Span, ...]
    use: Use
    vcpu: float = 0.0
    memory_gib: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """Everything that ran in the month."""

    month: Month
    seconds: int
    nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...]

    @property
    def hours(self) -> int:
        """Clock hours of the month."""
        return self.seconds // HOUR


def dice(month: Month, name: str) -> random.Random:
    """Chance that is the same for the same month and name."""
    return random.Random(f"{month} {name}")


def hex_id(month: Month, name: str, digits: int) -> str:
    """An id that is the same for the same month and name."""
    return hashlib.sha256(f"{month} {name}".encode()).hexdigest()[:digits]


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """A moment of the month's ``day``, counted from 1."""
    return (day - 1) * DAY + hour * HOUR + minute * 60 + second


def moment(month: Month, seconds: int) -> dt.datetime:
    """The instant so many seconds into the month."""
    return month.start + dt.timedelta(seconds=seconds)
