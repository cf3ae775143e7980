"""The story of the sample month: clusters, nodes and workloads, as data.

Holds who runs what, where and when. Which pod landed on which node is in ``placement.py``,
what AWS bills for it in ``bill.py``, what Kubernetes knew of it in ``inventories.py``.
Times are seconds since the month began; ``docs/sample.md`` tells the story in prose.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestration.months import Month

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


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one make.

    Attributes:
        lives: For each node, the spans in which it ran; an instance that is stopped and
            started keeps its id.
        market: How it was bought; commitments apply to whatever On-Demand usage fits them.
        devices: Extended resources that the node advertises.
        labels: What discovery and the device plug-in say about the node's devices.
        is_in_cluster: Whether the instances ever became nodes.
    """

    cluster: Cluster
    name: str
    instance_type: str
    lives: tuple[tuple[Span, ...], ...]
    market: Literal["on-demand", "spot"] = "on-demand"
    devices: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    team: str = "platform"
    is_in_cluster: bool = True


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


def make_world(month: Month) -> World:
    """Tell the story for a month: the same month always the same."""
    calendar = _Calendar(month)
    groups = _node_groups(calendar)
    nodes = tuple(
        _node(month, group, number)
        for group in groups
        for number in range(len(group.lives))
    )
    return World(month, calendar.end, nodes, tuple(_workloads(calendar)))


def dice(month: Month, name: str) -> random.Random:
    """Chance that is the same for the same month and name."""
    return random.Random(f"{month} {name}")


def hex_id(month: Month, name: str, digits: int) -> str:
    """An id that is the same for the same month and name."""
    return hashlib.sha256(f"{month} {name}".encode()).hexdigest()[:digits]


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """A moment of the month's ``day``, counted from 1."""
    return (day - 1) * DAY + hour * HOUR + minute * 60 + second


class _Calendar:
    """Spans of one month."""

    def __init__(self, month: Month) -> None:
        self.month = month
        self.end = len(month.days) * DAY

    def always(self, count: int = 1) -> tuple[Span, ...]:
        return ((0, self.end),) * count

    def until_end(self, start: int) -> Span:
        return (start, self.end)

    def days(self, weekdays_only: bool = False) -> list[int]:
        """Days of the month, from 1, all or Monday to Friday."""
        return [
            day.day for day in self.month.days if not (weekdays_only and day.weekday() > 4)
        ]

    def daytime(self, name: str, opens: int, closes: int) -> tuple[Span, ...]:
        """Once every weekday, at about these hours, to the second."""
        chance = dice(self.month, name)
        return tuple(
            (
                at(day, opens) + chance.randrange(2400),
                at(day, closes) + chance.randrange(2400),
            )
            for day in self.days(weekdays_only=True)
        )

    def interrupted(
        self, name: str, start: int, end: int, mean_hours: float
    ) -> tuple[tuple[Span, ...], ...]:
        """Instances that follow each other as Spot takes them away, minutes apart."""
        chance = dice(self.month, name)
        lives: list[tuple[Span, ...]] = []
        while start < end - HOUR:
            hours = mean_hours * (0.4 + 1.2 * chance.random())
            stop = min(end, start + int(hours * HOUR))
            lives.append(((start, stop),))
            start = stop + chance.randrange(240, 2400)
        return tuple(lives)

    def autoscaled(self, name: str, least: int, most: int) -> tuple[Span, ...]:
        """Replicas that follow the day's traffic; the least of them run all month.

        The standing ones are replaced once, by a release in the second week.
        """
        chance = dice(self.month, name)
        release = at(9, 9) + chance.randrange(6 * HOUR)
        shifts: list[Span] = []
        for _ in range(least):
            turn = release + chance.randrange(600)
            shifts += [(0, turn), (turn + 20, self.end)]
        for number in range(least, most):
            needed = (number + 0.5) / most
            hours = [hour for hour in range(24) if TRAFFIC[hour] >= needed]
            for day in self.days():
                shifts.append(
                    (
                        at(day, hours[0]) + chance.randrange(2700),
                        min(self.end, at(day, hours[-1] + 1) + chance.randrange(2700)),
                    )
                )
        return tuple(shifts)

    def scheduled(
        self, name: str, hours: Sequence[int], minutes: int, days: Sequence[int] = ()
    ) -> tuple[Span, ...]:
        """A short run at each of these hours of each day, of about so many minutes."""
        chance = dice(self.month, name)
        shifts = []
        for day in days or self.days():
            for hour in hours:
                start = at(day, hour) + chance.randrange(90)
                length = int(60 * minutes * (0.7 + 0.6 * chance.random()))
                shifts.append((start, min(self.end, start + length)))
        return tuple(shifts)

    def burst(
        self,
        name: str,
        days: Sequence[int],
        opens: int,
        closes: int,
        count: int,
        minutes: int,
    ) -> tuple[Span, ...]:
        """Many short runs, spread over a window of some nights."""
        chance = dice(self.month, name)
        shifts = []
        for day in days:
            for _ in range(count):
                start = at(day, opens) + chance.randrange((closes - opens) * HOUR)
                length = int(60 * minutes * (0.4 + 1.2 * chance.random()))
                shifts.append((start, start + length))
        return tuple(sorted(shifts))


_PREPARATION_NIGHTS = (3, 10, 17, 24)
_LAUNCH = at(23, 17, 42, 30)
"""When the last On-Demand p5 is given back; its capacity reservation stays."""


def _node_groups(calendar: _Calendar) -> list[NodeGroup]:
    always = (calendar.always()[0],)
    nvidia = {"nvidia.com/gpu.present": "true"}

    def gpu_labels(product: str, count: int, gib: int, **more: str) -> dict[str, str]:
        return {
            **nvidia,
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.count": str(count),
            "nvidia.com/gpu.memory": str(gib),
            **{f"nvidia.com/{key.replace('_', '.')}": value for key, value in more.items()},
        }

    h100 = gpu_labels("NVIDIA-H100-80GB-HBM3", 8, 81559)
    a10g = gpu_labels("NVIDIA-A10G-SHARED", 1, 23028, gpu_replicas="4")
    l4 = gpu_labels("NVIDIA-L4", 1, 23034)
    neuron = {"aws.amazon.com/neuron.present": "true"}
    spot_renders = calendar.interrupted("g4ad", at(1, 5, 12, 8), calendar.end, 260)
    spot_sweeps = calendar.interrupted("g6 a", at(5, 7, 3, 40), at(26, 18, 20), 150)
    spot_sweeps += calendar.interrupted("g6 b", at(5, 7, 3, 52), at(26, 18, 20), 170)
    nights = tuple(
        life
        for day in _PREPARATION_NIGHTS
        for number in range(3)
        for life in calendar.interrupted(
            f"m5 {day} {number}", at(day, 20, 5 + number), at(day + 1, 4, 30), 12
        )
    )
    repaired = ((0, at(12, 6, 41, 17)), calendar.until_end(at(12, 11, 6, 2)))
    return [
        NodeGroup(
            ATLAS,
            "p5-committed",
            "p5.48xlarge",
            (always,) * 5 + (repaired,),
            devices={GPU: 8},
            labels=h100,
            team="foundation",
        ),
        NodeGroup(
            ATLAS,
            "p5-launch",
            "p5.48xlarge",
            (((at(3, 8, 30, 12), _LAUNCH),),),
            devices={GPU: 8},
            labels=h100,
            team="alignment",
        ),
        NodeGroup(
            ATLAS,
            "p4d-standby",
            "p4d.24xlarge",
            ((calendar.until_end(at(9, 8, 12, 30)),),),
            devices={GPU: 8},
            labels=gpu_labels("NVIDIA-A100-SXM4-40GB", 8, 40960),
            team="vision",
        ),
        NodeGroup(
            ATLAS,
            "trn1",
            "trn1.32xlarge",
            (((at(5, 9, 14, 3), at(17, 12, 50, 44)),),) * 2,
            devices={NEURON_DEVICE: 16, NEURON_CORE: 32},
            labels=neuron,
            team="speech",
        ),
        NodeGroup(ATLAS, "system", "m5.2xlarge", (always,) * 3),
        NodeGroup(ATLAS, "preparation", "m5.4xlarge", nights, "spot", team="data"),
        NodeGroup(HARBOR, "general", "m5.4xlarge", (always,) * 3),
        NodeGroup(
            HARBOR,
            "g5-shared",
            "g5.2xlarge",
            (always,) * 3,
            devices={GPU: 4},
            labels=a10g,
            team="search",
        ),
        NodeGroup(
            HARBOR,
            "g6-base",
            "g6.2xlarge",
            (always,) * 4,
            devices={GPU: 1},
            labels=l4,
            team="assistant",
        ),
        NodeGroup(
            HARBOR,
            "g6-peak",
            "g6.2xlarge",
            tuple(calendar.daytime(f"g6-peak {n}", 6 + n, 21 - n) for n in range(4)),
            devices={GPU: 1},
            labels=l4,
            team="assistant",
        ),
        *(
            NodeGroup(
                HARBOR,
                f"g6f-{size}",
                f"g6f.{size}",
                (always,),
                devices={GPU: 1},
                labels=gpu_labels(f"NVIDIA-L4-{mib}M", 1, mib),
                team=team,
            )
            for size, mib, team in (
                ("large", 2861, "speech"),
                ("xlarge", 2861, "search"),
                ("2xlarge", 5722, "vision"),
                ("4xlarge", 11444, "vision"),
            )
        ),
        NodeGroup(
            HARBOR,
            "inf2-small",
            "inf2.8xlarge",
            (always,) * 2,
            devices={NEURON_DEVICE: 1, NEURON_CORE: 2},
            labels=neuron,
            team="assistant",
        ),
        NodeGroup(
            HARBOR,
            "inf2-large",
            "inf2.24xlarge",
            (always,),
            devices={NEURON_DEVICE: 6, NEURON_CORE: 12},
            labels=neuron,
            team="assistant",
        ),
        NodeGroup(
            HARBOR,
            "g4ad-render",
            "g4ad.4xlarge",
            spot_renders,
            "spot",
            devices={AMD_GPU: 1},
            labels={"amd.com/gpu.present": "true"},
            team="vision",
        ),
        NodeGroup(HARBOR, "bastion", "t3.medium", (always,), is_in_cluster=False),
        NodeGroup(
            LAB,
            "p4d-mig",
            "p4d.24xlarge",
            (always,) * 2,
            devices={GPU: 4, MIG_1G: 8, MIG_2G: 3, MIG_3G: 4},
            labels=gpu_labels(
                "NVIDIA-A100-SXM4-40GB", 8, 40960, mig_strategy="mixed", mig_capable="true"
            ),
            team="biology",
        ),
        NodeGroup(
            LAB,
            "g5-notebooks",
            "g5.12xlarge",
            (always,) * 2,
            devices={GPU: 16},
            labels=gpu_labels("NVIDIA-A10G-SHARED", 4, 23028, gpu_replicas="4"),
            team="research",
        ),
        NodeGroup(
            LAB,
            "g6-sweep",
            "g6.12xlarge",
            spot_sweeps,
            "spot",
            devices={GPU: 4},
            labels=gpu_labels("NVIDIA-L4", 4, 23034),
            team="research",
        ),
        NodeGroup(LAB, "system", "m5.2xlarge", (always,) * 3),
        NodeGroup(
            LAB,
            "g5-lost",
            "g5.xlarge",
            ((calendar.until_end(at(6, 13, 27, 51)),),),
            team="research",
            is_in_cluster=False,
        ),
    ]


def _labels(team: str, model: str = "", name: str = "") -> dict[str, str]:
    given = {"team": team, "model": model, "app.kubernetes.io/name": name}
    return {key: value for key, value in given.items() if value}


def _workloads(calendar: _Calendar) -> list[Workload]:
    return [
        *_system_workloads(calendar),
        *_atlas_workloads(calendar),
        *_harbor_workloads(calendar),
        *_lab_workloads(calendar),
    ]


def _system_workloads(calendar: _Calendar) -> list[Workload]:
    """What every cluster runs; the pods of a DaemonSet live as their nodes do."""
    workloads = []
    for cluster in CLUSTERS:
        workloads += [
            Workload(
                cluster,
                "kube-system",
                "kube-proxy",
                "DaemonSet",
                ("*",),
                (),
                Use(0.006, 0.03),
                0.1,
                0.0,
                labels={"k8s-app": "kube-proxy"},
            ),
            Workload(
                cluster,
                "kube-system",
                "aws-node",
                "DaemonSet",
                ("*",),
                (),
                Use(0.011, 0.07),
                0.05,
                0.0,
                labels={"k8s-app": "aws-node"},
            ),
            Workload(
                cluster,
                "gpu-operator",
                "dcgm-exporter",
                "DaemonSet",
                ("nvidia",),
                (),
                Use(0.02, 0.31),
                0.1,
                0.25,
                labels=_labels("platform", name="dcgm-exporter"),
            ),
            Workload(
                cluster,
                "kube-system",
                "coredns",
                "Deployment",
                ("system", "general"),
                calendar.always(2),
                Use(0.02, 0.05),
                0.1,
                0.07,
                labels={"k8s-app": "kube-dns"},
            ),
            Workload(
                cluster,
                "monitoring",
                "prometheus",
                "StatefulSet",
                ("system", "general"),
                calendar.always(),
                Use(0.9, 11.2),
                1.0,
                12.0,
                labels=_labels("platform", name="prometheus"),
            ),
            Workload(
                cluster,
                "karpenter",
                "karpenter",
                "Deployment",
                ("system", "general"),
                calendar.always(2),
                Use(0.08, 0.6),
                1.0,
                1.0,
                labels=_labels("platform", name="karpenter"),
            ),
        ]
    return workloads


def _atlas_workloads(calendar: _Calendar) -> list[Workload]:
    crash = at(11, 4, 51, 9)
    resumed = at(11, 5, 20, 30)
    pretrain = ((0, crash),) * 4 + (calendar.until_end(resumed),) * 4
    return [
        Workload(
            ATLAS,
            "foundation",
            "atlas-70b-pretrain",
            "PyTorchJob",
            ("p5-committed",),
            pretrain,
            Use(31.0, 610.0, 7.55),
            48,
            800,
            {GPU: 8},
            _labels("foundation", "atlas-70b", "pretrain"),
        ),
        Workload(
            ATLAS,
            "foundation",
            "atlas-8b-sft",
            "PyTorchJob",
            ("p5-committed",),
            ((at(2, 7, 30, 11), at(7, 18, 2, 40)),) * 2
            + ((at(14, 9, 1, 5), at(20, 22, 14, 9)),) * 2,
            Use(22.0, 420.0, 6.9),
            48,
            640,
            {GPU: 8},
            _labels("foundation", "atlas-8b", "sft"),
        ),
        Workload(
            ATLAS,
            "alignment",
            "reward-model",
            "PyTorchJob",
            ("p5-launch",),
            ((at(4, 10, 4, 59), at(10, 1, 33)), (at(13, 8, 0, 21), at(21, 23, 9, 50))),
            Use(18.0, 350.0, 6.1),
            40,
            512,
            {GPU: 8},
            _labels("alignment", "reward-3b", "reward-model"),
        ),
        Workload(
            ATLAS,
            "vision",
            "sightline-pretrain",
            "PyTorchJob",
            ("p5-committed",),
            ((at(8, 8, 12), at(13, 20, 45, 3)), (at(22, 9, 30, 44), at(27, 16, 5))),
            Use(20.0, 260.0, 3.3),
            32,
            400,
            {GPU: 4},
            _labels("vision", "sightline-2", "pretrain"),
        ),
        # No device, and much of the vCPUs of nodes that others bought for their devices:
        # what versions 2 and 3 of the split see differently.
        Workload(
            ATLAS,
            "data",
            "tokenize-corpus",
            "Job",
            ("p5-committed",),
            tuple(
                (at(day, 6, 10), at(day + 5, 19, 25)) for day in (2, 9, 16) for _ in "abc"
            ),
            Use(104.0, 350.0),
            112,
            400,
            labels=_labels("data", "atlas-70b", "tokenizer"),
        ),
        Workload(
            ATLAS,
            "speech",
            "conformer-train",
            "PyTorchJob",
            ("trn1",),
            ((at(5, 9, 40, 2), at(14, 18, 22, 7)),) * 2,
            Use(35.0, 150.0),
            64,
            256,
            {NEURON_DEVICE: 16},
            _labels("speech", "conformer-xl", "train"),
        ),
        Workload(
            ATLAS,
            "speech",
            "neuron-compile",
            "Job",
            ("trn1",),
            calendar.burst("compile", (15, 16), 6, 22, 12, 110),
            Use(14.5, 40.0),
            12,
            48,
            {NEURON_CORE: 4},
            _labels("speech", "conformer-xl", "compile"),
        ),
        Workload(
            ATLAS,
            "data",
            "corpus-shards",
            "Job",
            ("preparation",),
            calendar.burst("shards", _PREPARATION_NIGHTS, 20, 28, 120, 38),
            Use(3.4, 8.0),
            3.5,
            12,
            labels=_labels("data", name="corpus-shards"),
        ),
        Workload(
            ATLAS,
            "data",
            "checkpoint-sync",
            "CronJob",
            ("system",),
            calendar.scheduled("sync", (0, 6, 12, 18), 11),
            Use(0.7, 0.9),
            0.5,
            1,
            labels=_labels("foundation", "atlas-70b", "checkpoint-sync"),
        ),
        Workload(
            ATLAS,
            "platform",
            "mlflow",
            "Deployment",
            ("system",),
            calendar.autoscaled("mlflow", 1, 1),
            Use(0.3, 1.7, follows_traffic=True),
            1,
            2,
            labels=_labels("platform", name="mlflow"),
        ),
        # Neither controller, request nor label: somebody's kubectl run.
        Workload(
            ATLAS,
            "default",
            "debug-shell",
            "Pod",
            ("system",),
            ((at(8, 14, 3, 20), at(19, 9, 41)),),
            Use(0.04, 0.2),
        ),
    ]


def _harbor_workloads(calendar: _Calendar) -> list[Workload]:
    return [
        # A demonstration that nobody looked at again: it holds its GPU all month.
        Workload(
            HARBOR,
            "speech",
            "asr-demo",
            "Deployment",
            ("g6-base",),
            calendar.always(),
            Use(0.003, 2.1, 0.0),
            4,
            16,
            {GPU: 1},
            _labels("speech", "whisperling-v1", "asr-demo"),
        ),
        Workload(
            HARBOR,
            "assistant",
            "chat-8b",
            "Deployment",
            ("g6-base", "g6-peak"),
            calendar.autoscaled("chat-8b", 2, 6),
            Use(4.1, 19.0, 0.83, follows_traffic=True),
            6,
            24,
            {GPU: 1},
            _labels("assistant", "chat-8b", "vllm"),
        ),
        Workload(
            HARBOR,
            "assistant",
            "eval-nightly",
            "CronJob",
            ("g6-base",),
            calendar.scheduled("eval", (2,), 44),
            Use(3.1, 14.0, 0.71),
            4,
            16,
            {GPU: 1},
            _labels("assistant", "chat-8b", "eval"),
        ),
        Workload(
            HARBOR,
            "search",
            "embed-v4",
            "Deployment",
            ("g5-shared",),
            calendar.autoscaled("embed-v4", 4, 8),
            Use(0.8, 4.4, 0.21, follows_traffic=True),
            1,
            5,
            {GPU: 1},
            _labels("search", "embed-v4", "triton"),
        ),
        # Time-slicing sets no limit: these take more of the device than their quarter.
        Workload(
            HARBOR,
            "search",
            "rerank-s",
            "Deployment",
            ("g5-shared",),
            calendar.autoscaled("rerank-s", 2, 3),
            Use(1.1, 3.8, 0.42, follows_traffic=True),
            1,
            4,
            {GPU: 1},
            _labels("search", "rerank-s", "triton"),
        ),
        Workload(
            HARBOR,
            "speech",
            "tts-mini",
            "Deployment",
            ("g6f-large",),
            calendar.always(),
            Use(0.7, 3.9, 0.06, follows_traffic=True),
            1,
            4,
            {GPU: 1},
            _labels("speech", "tts-mini", "triton"),
        ),
        Workload(
            HARBOR,
            "search",
            "embed-mini",
            "Deployment",
            ("g6f-xlarge",),
            calendar.always(),
            Use(1.3, 6.0, 0.09, follows_traffic=True),
            2,
            8,
            {GPU: 1},
            _labels("search", "embed-mini", "triton"),
        ),
        Workload(
            HARBOR,
            "vision",
            "ocr",
            "Deployment",
            ("g6f-2xlarge",),
            calendar.always(),
            Use(4.0, 14.0, 0.17, follows_traffic=True),
            5,
            20,
            {GPU: 1},
            _labels("vision", "ocr-2", "triton"),
        ),
        Workload(
            HARBOR,
            "vision",
            "caption",
            "Deployment",
            ("g6f-4xlarge",),
            calendar.always(),
            Use(6.5, 31.0, 0.33, follows_traffic=True),
            8,
            40,
            {GPU: 1},
            _labels("vision", "caption-1b", "vllm"),
        ),
        Workload(
            HARBOR,
            "assistant",
            "translate",
            "Deployment",
            ("inf2-small",),
            calendar.autoscaled("translate", 2, 3),
            Use(5.0, 18.0, follows_traffic=True),
            8,
            24,
            {NEURON_CORE: 1},
            _labels("assistant", "translate-3b", "neuron-serve"),
        ),
        Workload(
            HARBOR,
            "assistant",
            "guard",
            "Deployment",
            ("inf2-large",),
            calendar.autoscaled("guard", 1, 2),
            Use(12.0, 60.0, follows_traffic=True),
            24,
            96,
            {NEURON_DEVICE: 2},
            _labels("assistant", "guard-7b", "neuron-serve"),
        ),
        Workload(
            HARBOR,
            "vision",
            "render-thumbnails",
            "Deployment",
            ("g4ad-render",),
            calendar.always(2)[:1],
            Use(9.0, 30.0),
            10,
            40,
            {AMD_GPU: 1},
            _labels("vision", name="render-thumbnails"),
        ),
        Workload(
            HARBOR,
            "edge",
            "api-gateway",
            "Deployment",
            ("general",),
            calendar.autoscaled("api-gateway", 3, 6),
            Use(1.4, 1.6, follows_traffic=True),
            2,
            2,
            labels=_labels("edge", name="envoy"),
        ),
        # Asks for a fifth of what it uses.
        Workload(
            HARBOR,
            "search",
            "feature-loader",
            "Deployment",
            ("general",),
            calendar.autoscaled("feature-loader", 2, 2),
            Use(2.4, 6.2),
            0.5,
            2,
            labels=_labels("search", "rerank-s", "feature-loader"),
        ),
        Workload(
            HARBOR,
            "edge",
            "redis",
            "StatefulSet",
            ("general",),
            calendar.always(2),
            Use(0.5, 9.0),
            1,
            12,
            labels=_labels("edge", name="redis"),
        ),
        Workload(
            HARBOR,
            "edge",
            "log-rotate",
            "CronJob",
            ("general",),
            calendar.scheduled("logs", range(24), 4),
            Use(0.2, 0.1),
            0.1,
            0.25,
            labels=_labels("edge", name="log-rotate"),
        ),
    ]


def _lab_workloads(calendar: _Calendar) -> list[Workload]:
    def notebook(
        user: str, groups: tuple[str, ...], resource: str, busy: float, **sizes: float
    ) -> Workload:
        return Workload(
            LAB,
            "notebooks",
            f"jupyter-{user}",
            "StatefulSet",
            groups,
            calendar.daytime(f"jupyter {user}", 8, 18),
            Use(0.9, 7.5, busy),
            sizes.get("vcpu", 4),
            sizes.get("memory_gib", 24),
            {resource: 1},
            {**_labels("research", name="jupyter"), "hub.jupyter.org/username": user},
        )

    shared = (
        "ada",
        "bela",
        "chidi",
        "dora",
        "emre",
        "fatou",
        "goro",
        "hana",
        "ivo",
        "juno",
    )
    return [
        *(notebook(user, ("g5-notebooks",), GPU, 0.11) for user in shared),
        *(
            notebook(user, ("p4d-mig",), MIG_1G, 0.05, vcpu=2, memory_gib=16)
            for user in ("kofi", "lena", "mai", "nils", "olga")
        ),
        # Left on since last month.
        Workload(
            LAB,
            "notebooks",
            "jupyter-pavel",
            "StatefulSet",
            ("p4d-mig",),
            calendar.always(),
            Use(0.01, 3.0, 0.0),
            8,
            64,
            {MIG_3G: 1},
            {**_labels("research", name="jupyter"), "hub.jupyter.org/username": "pavel"},
        ),
        Workload(
            LAB,
            "biology",
            "protein-embed",
            "Deployment",
            ("p4d-mig",),
            calendar.autoscaled("protein-embed", 2, 4),
            Use(3.0, 20.0, 0.31, follows_traffic=True),
            6,
            48,
            {MIG_3G: 1},
            _labels("biology", "fold-lite", "triton"),
        ),
        Workload(
            LAB,
            "biology",
            "fold-batch",
            "Job",
            ("p4d-mig",),
            calendar.burst("fold", (4, 6, 11, 13, 18, 20, 25, 27), 1, 20, 22, 75),
            Use(3.3, 26.0, 0.24),
            4,
            32,
            {MIG_2G: 1},
            _labels("biology", "fold-lite", "fold-batch"),
        ),
        Workload(
            LAB,
            "biology",
            "diffusion-finetune",
            "PyTorchJob",
            ("p4d-mig",),
            ((at(3, 9, 17, 33), at(9, 2, 50)),) * 2
            + ((at(16, 8, 30), at(24, 21, 4, 12)),) * 2,
            Use(26.0, 280.0, 3.4),
            32,
            400,
            {GPU: 4},
            _labels("biology", "mol-diffusion", "finetune"),
        ),
        Workload(
            LAB,
            "research",
            "hyper-sweep",
            "RayCluster",
            ("g6-sweep",),
            ((at(5, 7, 20), at(26, 18, 15)),) * 5,
            Use(9.0, 36.0, 0.86),
            10,
            40,
            {GPU: 1},
            _labels("research", "sweep-7", "ray"),
        ),
        Workload(
            LAB,
            "notebooks",
            "hub",
            "Deployment",
            ("system",),
            calendar.always(),
            Use(0.1, 0.6),
            0.2,
            1,
            labels=_labels("platform", name="jupyterhub"),
        ),
        Workload(
            LAB,
            "notebooks",
            "volume-backup",
            "CronJob",
            ("system",),
            calendar.scheduled("backup", (1, 13), 26),
            Use(1.2, 1.9),
            1,
            2,
            labels=_labels("platform", name="volume-backup"),
        ),
        # Neither requests nor labels.
        Workload(
            LAB,
            "default",
            "slack-bot",
            "Deployment",
            ("system",),
            calendar.always(),
            Use(0.03, 0.15),
        ),
    ]


def _node(month: Month, group: NodeGroup, number: int) -> Node:
    name = f"{group.cluster.name} {group.name} {number}"
    address = int(hex_id(month, f"address {name}", 4), 16)
    host = f"{group.cluster.network}.{address >> 8}.{address & 255}".replace(".", "-")
    zones = group.cluster.zones
    return Node(
        group=group,
        instance_id=f"i-0{hex_id(month, f'instance {name}', 16)}",
        name=f"ip-{host}.{group.cluster.domain}",
        zone=zones[number % len(zones)],
        spans=group.lives[number],
    )


def moment(month: Month, seconds: int) -> dt.datetime:
    """The instant so many seconds into the month."""
    return month.start + dt.timedelta(seconds=seconds)
