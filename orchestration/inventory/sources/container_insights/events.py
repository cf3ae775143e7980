"""A performance event as a sample: what the agent saw of a pod, device or node at a moment.

Holds the reading of one line and the checks of its fields. The agent's JSON Schemas are the
contract: CPU in millicores, memory in bytes, utilisation in percent; ``PodName`` is the
owner's name, the pod's own stands in ``kubernetes.pod_name`` or ``FullPodName``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from orchestration.inventory.sources.container_insights.lines import Line
from orchestration.inventory.sources.fields import Fields
from orchestration.kubernetes.workloads import topmost
from orchestration.lake.cells import printed
from orchestration.lake.schemas import STRING

SAMPLES = pa.schema(
    [
        pa.field("kind", STRING),
        pa.field("t", pa.int64()),
        pa.field("cluster_name", STRING),
        pa.field("node_name", STRING),
        pa.field("instance_id", STRING),
        pa.field("instance_type", STRING),
        pa.field("namespace", STRING),
        pa.field("pod_name", STRING),
        pa.field("pod_uid", STRING),
        pa.field("part", STRING),
        pa.field("workload_type", STRING),
        pa.field("workload_name", STRING),
        pa.field("deployment", STRING),
        pa.field("labels", STRING),
        pa.field("is_over", pa.bool_()),
        pa.field("vcpu_requested", pa.float64()),
        pa.field("memory_requested_gib", pa.float64()),
        pa.field("vcpu_used", pa.float64()),
        pa.field("memory_used_gib", pa.float64()),
        pa.field("devices_requested", pa.float64()),
        pa.field("busy", pa.float64()),
    ]
)
"""One row an event. ``kind``: pod, container, gpu, neuron or node. ``t``: microseconds
since 1970, UTC. ``part``: the container, or the device or core. ``is_over``: the pod has
finished. ``busy``: share of the device or core at work, 0 to 1."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "Pod": ("ClusterName", "InstanceId", "NodeName", "Namespace", "kubernetes"),
    "Container": ("ClusterName", "InstanceId", "NodeName", "Namespace", "kubernetes"),
    "Node": ("ClusterName", "InstanceId", "NodeName"),
    "PodGPU": ("ClusterName", "InstanceId", "NodeName", "Namespace", "FullPodName"),
    "ContainerGPU": ("ClusterName", "InstanceId", "NodeName", "Namespace", "FullPodName"),
    "NodeGPU": ("ClusterName", "InstanceId", "NodeName"),
    "PodNeuronCore": ("ClusterName", "InstanceId", "FullPodName", "NeuronCore"),
    "NodeNeuron": ("ClusterName", "InstanceId", "NodeName"),
    "NodeNeuronCore": ("ClusterName", "InstanceId", "NodeName"),
}
"""Fields that an event of a type must have: those of the schemas' that a pod-hour needs.

The schemas require more (``AutoScalingGroupName``, ``Sources``, ``CloudWatchMetrics``),
which agents leave out on nodes of no group and in newer versions, and nothing here reads.
"""

_POD_REQUIRED = ("pod_id", "pod_name", "namespace_name")
_NEURON = re.compile(r"(Pod|Container|Node)(?:AWS|Aws)?Neuron(Core)?")
_FILTERED_PREFIXES = ("Pod", "Container", "Node")

FILTER_PATTERN = (
    "{ " + " || ".join(f'($.Type = "{prefix}*")' for prefix in _FILTERED_PREFIXES) + " }"
)
"""What CloudWatch is asked for: the events that may be of use, and few others."""

_MILLICORES = 1000
_BYTES_A_GIB = 2**30
_MICROSECONDS_A_MILLISECOND = 1000
_PERCENT = 100
_OVER = frozenset({"Succeeded", "Failed"})

_REMEDY = (
    "This is not a performance event as the CloudWatch agent writes it: export the log"
    " group again, or leave out what is not the agent's."
)


@dataclass
class EventReader:
    """Reads lines as samples, and remembers what it left out.

    Attributes:
        cluster: Events of other clusters are left out; None takes all.
        clusters: Clusters of which there are events.
    """

    cluster: str | None
    clusters: set[str] = field(default_factory=set)

    def samples(self, lines: Iterable[Line]) -> Iterator[dict[str, Any]]:
        """Samples of those events that say something of pods or nodes, in order.

        Yields:
            Rows of ``SAMPLES``; fields that are missing are null.

        Raises:
            PodledgerError: A line is not valid JSON, or a field is missing or of another
                type.
        """
        for line in lines:
            sample = self._sample(line)
            if sample is not None:
                yield sample

    def _sample(self, line: Line) -> dict[str, Any] | None:
        event = Fields.of(_parsed(line), line.place, _REMEDY)
        event_type = event.text("Type") or ""
        neuron = _NEURON.fullmatch(event_type)
        known = f"{neuron[1]}Neuron{neuron[2] or ''}" if neuron else event_type
        if known == "ContainerNeuronCore":
            known = "PodNeuronCore"
        if known not in REQUIRED or _is_of_no_instance(event):
            return None
        event.require(*REQUIRED[known])
        cluster = event.text("ClusterName") or ""
        self.clusters.add(cluster)
        if self.cluster not in (None, cluster):
            return None
        sample: dict[str, Any] = {
            "kind": "node",
            "t": _moment(event),
            "cluster_name": cluster,
            "node_name": event.text("NodeName"),
            "instance_id": _instance(event),
            "instance_type": event.text("InstanceType"),
        }
        if known in ("Pod", "Container"):
            sample |= _pod(event, known.lower())
        elif known in ("PodGPU", "ContainerGPU"):
            sample |= _gpu(event, known.removesuffix("GPU").lower())
        elif known == "PodNeuronCore":
            sample |= _neuron_core(event)
        return sample


def _pod(event: Fields, kind: str) -> dict[str, Any]:
    """A pod or one of its containers: who it is, its requests and what it uses."""
    kubernetes = event.object("kubernetes")
    kubernetes.require(*_POD_REQUIRED)
    if kind == "container":
        kubernetes.require("container_name")
    labels = kubernetes.texts("labels")
    return {
        "kind": kind,
        "namespace": kubernetes.text("namespace_name"),
        "pod_name": kubernetes.text("pod_name"),
        "pod_uid": kubernetes.text("pod_id"),
        "part": kubernetes.text("container_name") or "",
        "labels": json.dumps(labels, sort_keys=True),
        "is_over": event.text("pod_status") in _OVER,
        **_workload(kubernetes, labels),
        "vcpu_requested": _scaled(event, f"{kind}_cpu_request", _MILLICORES),
        "memory_requested_gib": _scaled(event, f"{kind}_memory_request", _BYTES_A_GIB),
        "vcpu_used": _scaled(event, f"{kind}_cpu_usage_total", _MILLICORES),
        "memory_used_gib": _scaled(event, f"{kind}_memory_working_set", _BYTES_A_GIB),
    }


def _gpu(event: Fields, kind: str) -> dict[str, Any]:
    """A pod's GPUs: their number, or how busy one of them is."""
    counts = [event.quantity(f"pod_gpu_{name}") for name in ("request", "limit", "total")]
    busy = _scaled(event, f"{kind}_gpu_utilization", _PERCENT)
    return {
        "kind": "gpu",
        "namespace": event.text("Namespace"),
        "pod_name": event.text("FullPodName"),
        "part": event.text("GpuDevice") or event.text("UUID") or "",
        # Kubernetes takes a request that is left out for the limit.
        "devices_requested": max((n for n in counts if n is not None), default=None),
        "busy": None if busy is None else min(busy, 1.0),
    }


def _neuron_core(event: Fields) -> dict[str, Any]:
    """A NeuronCore that a pod holds, and how busy it is."""
    kind = "container" if "container_neuroncore_utilization" in event.values else "pod"
    busy = _scaled(event, f"{kind}_neuroncore_utilization", _PERCENT)
    return {
        "kind": "neuron",
        "namespace": event.text("Namespace"),
        "pod_name": event.text("FullPodName"),
        "part": f"{event.text('NeuronDevice') or ''}/{event.text('NeuronCore')}",
        "busy": None if busy is None else min(busy, 1.0),
    }


def _workload(kubernetes: Fields, labels: Mapping[str, str]) -> dict[str, str | None]:
    """The topmost controller that the event tells or that a name gives away.

    The agent itself goes from ReplicaSet to Deployment and from Job to CronJob. Where it
    did not, a ReplicaSet's name without its hash is its Deployment's (or its Rollout's).
    """
    owners = kubernetes.values.get("pod_owners") or []
    if not isinstance(owners, list):
        raise kubernetes.refused("pod_owners", f"is {printed(owners)}, no list")
    if not owners:
        return {"workload_type": None, "workload_name": None, "deployment": None}
    owner = Fields.of(
        owners[0], kubernetes.place, kubernetes.remedy, "kubernetes.pod_owners[0]."
    )
    told = topmost(owner.text("owner_kind"), owner.text("owner_name"), labels)
    return {
        "workload_type": told.kind,
        "workload_name": told.name,
        "deployment": told.deployment,
    }


def _is_of_no_instance(event: Fields) -> bool:
    """Pods that wait for a node, which one agent reports for all, and Fargate's."""
    node = event.text("NodeName") or ""
    return not event.text("InstanceId") and (
        node.startswith("fargate-")
        or event.text("LaunchType") == "fargate"
        or event.text("pod_status") == "Pending"
        or node == "pending"
    )


def _instance(event: Fields) -> str:
    instance = event.text("InstanceId")
    if instance is None or not instance.startswith("i-"):
        raise event.refused("InstanceId", f"is {printed(instance)}, no EC2 instance")
    return instance


def _moment(event: Fields) -> int:
    """Microseconds since 1970; the agent writes milliseconds as a number or as text."""
    aws = event.object("_aws")
    value = event.values.get("Timestamp", aws.values.get("Timestamp"))
    if value is None:
        raise event.refused("Timestamp", "is missing")
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) != len("1567096682364"):
        raise event.refused("Timestamp", f"is {printed(value)}, no milliseconds since 1970")
    return int(text) * _MICROSECONDS_A_MILLISECOND


def _scaled(event: Fields, name: str, divisor: int) -> float | None:
    value = event.quantity(name)
    return None if value is None else value / divisor


def _parsed(line: Line) -> object:
    """A line's JSON object; an exported line has the moment of its arrival before it."""
    text = line.text
    if not text.startswith("{"):
        _, _, text = text.partition(" ")
    try:
        event: object = json.loads(text)
    except ValueError as error:
        raise Fields({}, line.place, _REMEDY).refused(
            "the line", f"is not valid JSON ({error}): {printed(line.text)}"
        ) from None
    return event
