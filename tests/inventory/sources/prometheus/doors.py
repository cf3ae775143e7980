"""A small month whose truth is known, as three kinds of sources see it.

Holds two clusters over four hours of one day, once for each door, with one bill, and their
writing as files, as samples of a Prometheus and as events of Container Insights. ``prod``
has whole GPUs and none; ``lab`` has what events cannot tell: MIG, and a device that is
time-sliced.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.inventory.sources.container_insights import agent
from tests.inventory.sources.prometheus.world import (
    GIB,
    Container,
    Pod,
    at,
    line,
    pod_lines,
    uid,
)
from tests.worlds import World

DAY = 24
FIRST, LAST = DAY + 8, DAY + 12
"""Hours of the month: the second day, 08:00 to 12:00 UTC."""

STEP = 60
"""Seconds between two samples, of all three agents."""

DOORS = ("files", "prometheus", "events")

PAYER, ACCOUNT = "111111111111", "222222222222"


@dataclass(frozen=True)
class Node:
    """An instance that runs all the while."""

    cluster: str
    name: str
    instance_id: str
    instance_type: str
    hourly_usd: str
    labels: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, float] = field(default_factory=dict)


def _nodes(door: str) -> tuple[Node, ...]:
    mark = f"{DOORS.index(door):016x}"
    return (
        Node(f"{door}-prod", f"cpu.{door}", f"i-{mark}a", "m5.2xlarge", "0.384"),
        Node(
            f"{door}-prod",
            f"gpu.{door}",
            f"i-{mark}b",
            "g5.12xlarge",
            "5.672",
            allocatable={"nvidia.com/gpu": 4},
        ),
        Node(
            f"{door}-lab",
            f"sliced.{door}",
            f"i-{mark}c",
            "g5.xlarge",
            "1.006",
            {
                "nvidia.com/gpu.product": "NVIDIA-A10G-SHARED",
                "nvidia.com/gpu.replicas": "4",
            },
            {"nvidia.com/gpu": 4},
        ),
        Node(
            f"{door}-lab",
            f"mig.{door}",
            f"i-{mark}d",
            "p4d.24xlarge",
            "21.957642",
            {"nvidia.com/mig.strategy": "mixed"},
            {"nvidia.com/mig-1g.5gb": 14, "nvidia.com/mig-3g.20gb": 14},
        ),
    )


NODES = tuple(node for door in DOORS for node in _nodes(door))
BY_NAME = {node.name: node for node in NODES}
UNSEEN = next(node for node in NODES if node.name == "cpu.prometheus")
"""Runs an hour longer than its server watches."""


def _pod(
    number: int,
    node: Node,
    start: int,
    end: int,
    size: tuple[float, float, float, float],
    **devices: float,
) -> Pod:
    """A pod of one container: vCPUs and GiB requested, vCPUs and GiB in use."""
    vcpu, gib, vcpu_used, gib_used = size
    container = Container(
        requests=[(0, vcpu, gib, devices)], vcpu=vcpu_used, gib=gib_used, start=start
    )
    return Pod(
        uid(number),
        f"pod-{number % 100}",
        node.name,
        start,
        end,
        [container],
        namespace=node.cluster,
        owner=("StatefulSet", f"set-{number % 100}"),
        labels={"team": f"team-{number % 100 % 3}"},
    )


def _pods(door: str) -> tuple[Pod, ...]:
    first = 100 * DOORS.index(door)
    cpu, gpu, sliced, mig = _nodes(door)

    def pod(
        number: int,
        node: Node,
        start: int,
        end: int,
        size: tuple[float, float, float, float],
        **devices: float,
    ) -> Pod:
        return _pod(first + number, node, start, end, size, **devices)

    return (
        pod(1, cpu, at(FIRST), at(LAST), (2, 8, 1.5, 6)),
        pod(2, cpu, at(FIRST, 20, 10), at(LAST - 1, 40, 35), (1, 4, 2.25, 3)),
        pod(3, cpu, at(FIRST + 1, 5, 20), at(FIRST + 1, 50, 5), (4, 2, 0.5, 5)),
        pod(4, gpu, at(FIRST), at(LAST), (12, 64, 10, 70), nvidia_com_gpu=2),
        pod(5, gpu, at(FIRST, 30, 15), at(LAST), (8, 32, 9, 16), nvidia_com_gpu=1),
        pod(6, gpu, at(FIRST + 2), at(FIRST + 3), (4, 16, 1, 8)),
        pod(7, sliced, at(FIRST), at(LAST), (1, 4, 0.5, 2), nvidia_com_gpu=1),
        pod(8, sliced, at(FIRST, 45), at(LAST), (1, 2, 1, 2), nvidia_com_gpu=2),
        pod(9, mig, at(FIRST), at(LAST), (8, 64, 4, 32), nvidia_com_mig_3g_20gb=2),
        pod(10, mig, at(FIRST + 1, 15), at(LAST), (4, 8, 4, 8), nvidia_com_mig_1g_5gb=7),
    )


PODS = tuple(pod for door in DOORS for pod in _pods(door))
RESOURCES = {
    "nvidia_com_gpu": "nvidia.com/gpu",
    "nvidia_com_mig_1g_5gb": "nvidia.com/mig-1g.5gb",
    "nvidia_com_mig_3g_20gb": "nvidia.com/mig-3g.20gb",
}


def bill() -> World:
    """The instances at their On-Demand prices, and a line that is none of them."""
    lines = [
        {
            "payer": PAYER,
            "account": ACCOUNT,
            "type": "Usage",
            "start": _hour(hour),
            "usage": "1",
            "resource_id": node.instance_id,
            "usage_type": f"BoxUsage:{node.instance_type}",
            "operation": "RunInstances",
            "product_code": "AmazonEC2",
            "family": "Compute Instance",
            "instance_type": node.instance_type,
            "unblended": node.hourly_usd,
            "public": node.hourly_usd,
            "carries": True,
        }
        for node in NODES
        for hour in range(FIRST, LAST + (node is UNSEEN))
    ]
    tax = {"type": "Tax", "resource_id": None, "unblended": "1.11", "carries": False}
    return World(lines=[*lines, lines[0] | tax])


def _hour(hour: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at(hour), dt.UTC).replace(tzinfo=None)


# ---------------------------------------------------------------- as files


def write_files(root: Path, *clusters: str) -> None:
    """Write the truth of clusters as NDJSON: pods, and the labels of nodes."""
    root.mkdir(parents=True)
    pods, nodes = [], []
    for hour in range(FIRST, LAST):
        pods += [
            _pod_hour(pod, hour)
            for pod in PODS
            if BY_NAME[pod.node].cluster in clusters
            and pod.scheduled < at(hour + 1)
            and pod.gone > at(hour)
        ]
        nodes += [
            _node(node, hour) | {"labels": node.labels, "allocatable": node.allocatable}
            for node in NODES
            if node.cluster in clusters
        ]
    for name, rows in (("pod_hours", pods), ("node_hours", nodes)):
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (root / f"{name}.ndjson").write_text(text)


def _node(node: Node, hour: int) -> dict[str, Any]:
    return {
        "cluster_name": node.cluster,
        "node_name": node.name,
        "instance_id": node.instance_id,
        "instance_type": node.instance_type,
        "usage_hour": f"{_hour(hour):%Y-%m-%dT%H:%M:%SZ}",
    }


def _pod_hour(pod: Pod, hour: int) -> dict[str, Any]:
    (container,) = pod.containers
    ((_, vcpu, gib, devices),) = container.requests
    node = _node(BY_NAME[pod.node], hour)
    del node["instance_type"]
    return node | {
        "namespace": pod.namespace,
        "pod_name": pod.name,
        "pod_uid": pod.uid,
        "workload_type": pod.owner[0],
        "workload_name": pod.owner[1],
        "bound_seconds": min(pod.gone, at(hour + 1)) - max(pod.scheduled, at(hour)),
        "vcpu_requested": vcpu,
        "memory_requested_gib": gib,
        "vcpu_used": container.vcpu,
        "memory_used_gib": container.gib,
        "accelerators_requested": {RESOURCES[n]: count for n, count in devices.items()},
        "labels": pod.labels,
    }


# ---------------------------------------------------------------- as a Prometheus has them


def open_metrics() -> Iterator[str]:
    """The clusters of one server, parted by the label ``cluster``."""
    nodes = [node for node in NODES if node.cluster.startswith("prometheus-")]
    for moment in range(at(FIRST), at(LAST), STEP):
        for node in nodes:
            yield from (_of(node, text) for text in _node_lines(node, moment))
        for pod in PODS:
            node = BY_NAME[pod.node]
            if node in nodes and pod.scheduled <= moment < pod.gone:
                yield from (_of(node, text) for text in pod_lines(pod, moment))
                yield from (_of(node, text) for text in _use_lines(pod, moment))
    yield "# EOF\n"


def _of(node: Node, text: str) -> str:
    return text.replace("{", f'{{cluster="{node.cluster}",', 1)


def _node_lines(node: Node, moment: int) -> Iterator[str]:
    key = {"node": node.name}
    provider = {"provider_id": f"aws:///us-east-1a/{node.instance_id}"}
    yield line("kube_node_info", key | provider, 1, moment)
    names = {"node.kubernetes.io/instance-type": node.instance_type} | node.labels
    labels = {
        "label_" + name.replace(".", "_").replace("/", "_").replace("-", "_"): value
        for name, value in names.items()
    }
    yield line("kube_node_labels", key | labels, 1, moment)
    for resource, count in node.allocatable.items():
        name = resource.replace(".", "_").replace("/", "_").replace("-", "_")
        labels = key | {"resource": name, "unit": "integer"}
        yield line("kube_node_status_allocatable", labels, count, moment)


def _use_lines(pod: Pod, moment: int) -> Iterator[str]:
    (container,) = pod.containers
    labels = {
        "namespace": pod.namespace,
        "pod": pod.name,
        "container": container.name,
        "id": f"/kubepods/pod{pod.uid}/1",
        "instance": pod.node,
    }
    used = container.vcpu * (moment - pod.scheduled)
    yield line("container_cpu_usage_seconds_total", labels, round(used, 3), moment)
    memory = container.gib * GIB
    yield line("container_memory_working_set_bytes", labels, memory, moment)


# ---------------------------------------------------------------- as events


def events(cluster: str) -> Iterator[dict[str, Any]]:
    """What the CloudWatch agent of a cluster tells of pods and their GPUs."""
    for second in range(at(FIRST), at(LAST), STEP):
        moment = dt.datetime.fromtimestamp(second, dt.UTC)
        for pod in PODS:
            node = BY_NAME[pod.node]
            if node.cluster != cluster or not pod.scheduled <= second < pod.gone:
                continue
            (container,) = pod.containers
            ((_, vcpu, gib, devices),) = container.requests
            where = {
                "ClusterName": cluster,
                "InstanceId": node.instance_id,
                "InstanceType": node.instance_type,
                "NodeName": node.name,
            }
            who = {
                "host": node.name,
                "labels": pod.labels,
                "namespace_name": pod.namespace,
                "pod_id": pod.uid,
                "pod_name": pod.name,
                "pod_owners": [{"owner_kind": pod.owner[0], "owner_name": pod.owner[1]}],
            }
            yield agent.pod(
                moment,
                kubernetes=who,
                pod_cpu_request=vcpu * 1000,
                pod_cpu_usage_total=container.vcpu * 1000,
                pod_memory_request=gib * GIB,
                pod_memory_working_set=container.gib * GIB,
                **where,
            )
            if devices:
                yield agent.gpu(
                    moment,
                    FullPodName=pod.name,
                    Namespace=pod.namespace,
                    pod_gpu_request=devices["nvidia_com_gpu"],
                    **where,
                )
