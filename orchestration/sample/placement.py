"""Which pod of the sample month ran on which node, and when.

Holds a small scheduler: a pod goes to the first node of its groups that has room for it,
waits where none has, and is made again on another node when its own goes away.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestration.bill.catalogue import InstanceType
from orchestration.lake.months import Month
from orchestration.sample.world import GPU, Node, Span, Workload, World, hex_id

_JOIN_SECONDS = 75
"""From the start of an instance until it takes pods."""

_RESCHEDULE_SECONDS = 35
_SHORTEST_SECONDS = 60

_KUBELET_SHARE = 0.04
"""Part of a node's vCPUs and memory that the kubelet and the system keep."""


@dataclass(frozen=True)
class Pod:
    """One pod on one node; ``span`` is from being bound to having ended."""

    workload: Workload
    node: Node
    name: str
    uid: str
    span: Span


def place(world: World, catalogue: Mapping[str, InstanceType]) -> list[Pod]:
    """Place all workloads, in their order, and what every node runs first of all."""
    rooms = {
        node.instance_id: _Room(node, catalogue[node.group.instance_type])
        for node in world.nodes
        if node.group.is_in_cluster
    }
    pods: list[Pod] = []
    for workload in world.workloads:
        candidates = [room for room in rooms.values() if _may_run(workload, room.node)]
        candidates.sort(key=lambda room: _preference(workload, room.node))
        placed: list[Pod] = []
        for room, span in _homes(workload, candidates):
            room.take(workload, span)
            placed.append(_pod(world.month, workload, room.node, span, placed))
        pods += placed
    return pods


class _Room:
    """What a node still has room for, at any time."""

    def __init__(self, node: Node, kind: InstanceType) -> None:
        self.node = node
        self.spans = [
            (start + _JOIN_SECONDS if start else 0, end) for start, end in node.spans
        ]
        self._capacity = {
            "cpu": float(kind.vcpu) * (1 - _KUBELET_SHARE),
            "memory": float(kind.memory_gib) * (1 - _KUBELET_SHARE),
            **node.group.devices,
        }
        self._taken: list[tuple[Span, dict[str, float]]] = []

    def stay(self, start: int) -> int | None:
        """Until when the node runs that runs at this time."""
        return next((end for begin, end in self.spans if begin <= start < end), None)

    def fits(self, workload: Workload, span: Span) -> bool:
        wanted = _wanted(workload)
        others = [
            entry
            for entry in self._taken
            if entry[0][0] < span[1] and entry[0][1] > span[0]
        ]
        moments = {span[0], *(other[0][0] for other in others if other[0][0] > span[0])}
        return all(
            amount
            + sum(
                taken.get(resource, 0.0)
                for (start, end), taken in others
                if start <= moment < end
            )
            <= self._capacity.get(resource, 0.0) + 1e-9
            for moment in moments
            for resource, amount in wanted.items()
        )

    def take(self, workload: Workload, span: Span) -> None:
        self._taken.append((span, _wanted(workload)))

    def changes(self) -> Iterator[int]:
        """When there may be room again."""
        yield from (start for start, _ in self.spans)
        yield from (end for (_, end), _ in self._taken)


def _wanted(workload: Workload) -> dict[str, float]:
    wanted = {"cpu": workload.vcpu, "memory": workload.memory_gib, **workload.requests}
    return {resource: float(amount) for resource, amount in wanted.items() if amount}


def _homes(workload: Workload, rooms: Sequence[_Room]) -> Iterator[tuple[_Room, Span]]:
    """Nodes for a workload's pods and their successors; take each before the next."""
    if workload.kind == "DaemonSet":
        yield from ((room, span) for room in rooms for span in room.spans)
    for start, end in workload.shifts:
        while end - start >= _SHORTEST_SECONDS:
            found = _first_fit(workload, (start, end), rooms)
            if found is not None:
                yield found
                start = found[1][1] + _RESCHEDULE_SECONDS
                continue
            later = [
                moment
                for room in rooms
                for moment in room.changes()
                if start < moment < end
            ]
            if not later:
                break
            start = min(later)


def _first_fit(
    workload: Workload, wanted: Span, rooms: Sequence[_Room]
) -> tuple[_Room, Span] | None:
    """The first node with room from the start on, for as long as the node runs."""
    for room in rooms:
        end = min(room.stay(wanted[0]) or 0, wanted[1])
        span = (wanted[0], end)
        if end - wanted[0] >= _SHORTEST_SECONDS and room.fits(workload, span):
            return room, span
    return None


def _may_run(workload: Workload, node: Node) -> bool:
    if workload.cluster is not node.group.cluster:
        return False
    if workload.groups == ("nvidia",):
        return GPU in node.group.devices and not node.group.is_auto_mode
    if workload.groups == ("*",):
        return not node.group.is_auto_mode
    return node.group.name in workload.groups


def _preference(workload: Workload, node: Node) -> int:
    if workload.kind == "DaemonSet":
        return 0
    return workload.groups.index(node.group.name)


def _pod(
    month: Month, workload: Workload, node: Node, span: Span, placed: Sequence[Pod]
) -> Pod:
    """Name a pod as its controller would, after the workload's earlier ones."""
    path = f"{workload.cluster.name}/{workload.namespace}/{workload.name}"
    digits = hex_id(month, f"pod {path}/{len(placed)}", 32)
    # Members of a set keep their number and get a new uid when they are made again.
    ordinal = sum(pod.span[1] > span[0] for pod in placed)
    suffixes = {
        "DaemonSet": digits[:5],
        "Deployment": f"{hex_id(month, f'template {path}', 10)}-{digits[:5]}",
        "StatefulSet": str(ordinal),
        "Job": digits[:5],
        "CronJob": f"{minutes_since_1970(month, span[0])}-{digits[:5]}",
        "PyTorchJob": f"worker-{ordinal}",
        "RayCluster": f"worker-{digits[:5]}",
    }
    suffix = suffixes.get(workload.kind)
    name = f"{workload.name}-{suffix}" if suffix else workload.name
    return Pod(workload, node, name, str(uuid.UUID(hex=digits, version=4)), span)


def minutes_since_1970(month: Month, seconds: int) -> int:
    """What the CronJob controller puts into the names of its jobs."""
    return (int(month.start.timestamp()) + seconds) // 60
