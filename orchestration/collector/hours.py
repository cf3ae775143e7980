"""The rows of one hour, in the contract's columns, out of a cluster's history.

Holds the arithmetic of an hour: seconds bound, time-weighted requests, shares of claims
that several pods hold. Exact until the end: seconds are whole, quantities are fractions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pyarrow as pa

from orchestration.collector.history import ClaimRecord, History, NodeRecord, PodRecord
from orchestration.collector.pods import BYTES_A_GIB
from orchestration.collector.quantities import HOUR, Resources, utc
from orchestration.inventory.gaps import Gap
from orchestration.inventory.sources.days import (
    DAY_NODE_HOURS,
    DAY_POD_HOURS,
    DAY_QUOTA_HOURS,
)
from orchestration.kubernetes.quotas import BASIC
from orchestration.kubernetes.workloads import Workload, topmost


@dataclass(frozen=True)
class Hour:
    """One hour of a cluster.

    Attributes:
        pod_hours: Rows of ``DAY_POD_HOURS``, by key.
        node_hours: Rows of ``DAY_NODE_HOURS``, by key.
        gaps: What the collector may have missed of it.
        without_node: ``namespace/name`` of pods whose node is unknown; they have no row.
        quota_hours: Rows of ``DAY_QUOTA_HOURS``, by key; None if quotas are not watched.
    """

    pod_hours: pa.Table
    node_hours: pa.Table
    gaps: tuple[Gap, ...]
    without_node: tuple[str, ...]
    quota_hours: pa.Table | None = None


@dataclass(frozen=True)
class _Instance:
    """An EC2 instance in the cluster, under one node name."""

    node: NodeRecord
    start: int
    end: int | None


def read_hour(
    history: History, cluster: str, hour: int, *, with_quotas: bool = False
) -> Hour:
    """Work out the rows of an hour.

    Args:
        history: What is known.
        cluster: Name of the cluster, for the rows.
        hour: Its start, seconds since 1970.
        with_quotas: Whether quotas are watched.
    """
    instances = _instances(history.nodes.values())
    shares = _Shares(history)
    pods, without_node = [], []
    for pod in history.pods.values():
        start, end = _clip(pod.bound_at, pod.ended_at, hour)
        if end <= start:
            continue
        instance = _instance_of(pod, instances[pod.node_name])
        if instance is None:
            without_node.append(f"{pod.namespace}/{pod.name}")
            continue
        if instance.end is not None:
            end = min(end, instance.end)
        if instance.node.state.instance_id is not None and end > start:
            pods.append(_pod_row(pod, instance, cluster, hour, start, end, shares))
    nodes = {
        instance.node.state.instance_id: _node_row(instance, cluster, hour)
        for group in instances.values()
        for instance in group
        if instance.node.state.instance_id is not None and _overlaps(instance, hour)
    }
    return Hour(
        pod_hours=_table(pods, DAY_POD_HOURS, ("instance_id", "pod_uid")),
        node_hours=_table(nodes.values(), DAY_NODE_HOURS, ("instance_id",)),
        gaps=tuple(
            sorted(
                gap
                for gap in history.gaps
                if gap.start < utc(hour + HOUR) and gap.end > utc(hour)
            )
        ),
        without_node=tuple(sorted(without_node)),
        quota_hours=_quota_table(history, cluster, hour) if with_quotas else None,
    )


def _pod_row(
    pod: PodRecord,
    instance: _Instance,
    cluster: str,
    hour: int,
    start: int,
    end: int,
    shares: _Shares,
) -> dict[str, Any]:
    seconds = end - start
    vcpu = memory = Fraction(0)
    devices: defaultdict[str, Fraction] = defaultdict(Fraction)
    for (since, request), until in zip(pod.requests, _ends(pod.requests), strict=True):
        weight = _overlap(since, until, start, end)
        vcpu += request.vcpu * weight
        memory += request.memory_gib * weight
        for name, count in request.devices.items():
            devices[name] += count * weight
    for name, device_seconds in shares.device_seconds(pod, start, end).items():
        devices[name] += device_seconds
    workload = _workload(pod)
    usage = pod.usage.get(hour)
    return {
        "cluster_name": cluster,
        "account_id": None,
        "region": instance.node.state.region,
        "node_name": pod.node_name,
        "instance_id": instance.node.state.instance_id,
        "usage_hour": utc(hour).replace(tzinfo=None),
        "namespace": pod.namespace,
        "pod_name": pod.name,
        "pod_uid": pod.uid,
        "workload_type": workload.kind,
        "workload_name": workload.name,
        "deployment": workload.deployment,
        "bound_seconds": seconds,
        "vcpu_requested": float(vcpu / seconds),
        "memory_requested_gib": float(memory / seconds),
        "vcpu_used": float(usage.vcpu / usage.samples) if usage else None,
        "memory_used_gib": float(usage.memory_gib / usage.samples) if usage else None,
        "accelerators_requested": _json(
            {name: float(total / seconds) for name, total in devices.items() if total}
        ),
        "accelerators_used": None,
        "labels": _json(pod.labels),
    }


def _workload(pod: PodRecord) -> Workload:
    """Its topmost controller: as its owners told, else by what the pod itself names.

    A bare ReplicaSet may bear any name: where owners were asked for, labels alone tell.
    """
    found = pod.workload
    if found is not None and found.kind not in ("ReplicaSet", "Job"):
        return Workload(found.kind, found.name, found.deployment)
    near = found or pod.controller
    if near is None:
        return Workload(None, None, None)
    return topmost(near.kind, near.name, pod.labels, guess_deployment=found is None)


def _node_row(instance: _Instance, cluster: str, hour: int) -> dict[str, Any]:
    state = instance.node.state
    return {
        "cluster_name": cluster,
        "node_name": state.name,
        "instance_id": state.instance_id,
        "usage_hour": utc(hour).replace(tzinfo=None),
        "instance_type": state.instance_type,
        "labels": _json(state.labels),
        "allocatable": _json(state.allocatable),
    }


def _quota_table(history: History, cluster: str, hour: int) -> pa.Table:
    """What namespaces may request: by a quota's mean over the hour, the smallest."""
    smallest: defaultdict[str, Resources] = defaultdict(dict)
    for quota in history.quotas.values():
        seconds: defaultdict[str, int] = defaultdict(int)
        total: defaultdict[str, Fraction] = defaultdict(Fraction)
        for (since, hard), until in zip(quota.steps, _ends(quota.steps), strict=True):
            if quota.ended_at is not None:
                until = _least(until, quota.ended_at)
            start, end = _clip(since, until, hour)
            if end <= start:
                continue
            for resource, size in hard.items():
                seconds[resource] += end - start
                total[resource] += size * (end - start)
        here = smallest[quota.namespace]
        for resource, summed in total.items():
            mean = summed / seconds[resource]
            here[resource] = min(mean, here.get(resource, mean))
    return _table(
        [
            {
                "cluster_name": cluster,
                "usage_hour": utc(hour).replace(tzinfo=None),
                "namespace": namespace,
                "vcpu_hard": _float(hard.get("cpu")),
                "memory_hard_gib": _float(hard.get("memory"), BYTES_A_GIB),
                "accelerators_hard": _json(
                    {name: float(one) for name, one in hard.items() if name not in BASIC}
                ),
            }
            for namespace, hard in smallest.items()
            if hard
        ],
        DAY_QUOTA_HOURS,
        ("namespace",),
    )


def _float(number: Fraction | None, unit: int = 1) -> float | None:
    return None if number is None else float(number / unit)


def _instances(nodes: Iterable[NodeRecord]) -> defaultdict[str, list[_Instance]]:
    """The instances behind each node name, in time order.

    A node object that was deleted and came back for the same instance is one instance.
    """
    records: defaultdict[tuple[str, str], list[NodeRecord]] = defaultdict(list)
    for node in nodes:
        records[node.state.name, node.state.instance_id or node.state.uid].append(node)
    by_name: defaultdict[str, list[_Instance]] = defaultdict(list)
    for (name, _), group in records.items():
        group.sort(key=lambda node: (node.state.created_at, node.state.uid))
        ends = [node.ended_at for node in group if node.ended_at is not None]
        by_name[name].append(
            _Instance(
                node=group[-1],
                start=group[0].state.created_at,
                end=max(ends) if len(ends) == len(group) else None,
            )
        )
    for group_of_name in by_name.values():
        group_of_name.sort(key=lambda instance: instance.start)
    return by_name


def _instance_of(pod: PodRecord, instances: Sequence[_Instance]) -> _Instance | None:
    """The instance that bore the node's name when the pod was bound.

    A static pod may be older than its node's object: then it is the first one.
    """
    earlier = [instance for instance in instances if instance.start <= pod.bound_at]
    if earlier:
        return earlier[-1]
    return instances[0] if instances else None


def _overlaps(instance: _Instance, hour: int) -> bool:
    start, end = _clip(instance.start, instance.end, hour)
    return end > start


class _Shares:
    """Devices of claims, divided among the pods that hold them at the same time."""

    def __init__(self, history: History) -> None:
        self._pods = history.pods
        self._devices = history.devices
        self._claims: defaultdict[str, list[ClaimRecord]] = defaultdict(list)
        for claim in history.claims.values():
            for uid in {uid for _, _, consumers in claim.steps for uid in consumers}:
                self._claims[uid].append(claim)

    def device_seconds(self, pod: PodRecord, start: int, end: int) -> Resources:
        """What a pod held of its claims in an interval that it was bound in."""
        held: defaultdict[str, Fraction] = defaultdict(Fraction)
        for claim in self._claims[pod.uid]:
            if claim.name == pod.extended_claim:
                continue
            for (since, allocations, consumers), until in zip(
                claim.steps, _ends(claim.steps), strict=True
            ):
                if pod.uid not in consumers:
                    continue
                seconds = self._seconds_each(
                    consumers, max(since, start), _least(until, end)
                )
                for allocation in allocations:
                    device = self._devices.get(allocation.device)
                    name = device.resource if device else allocation.resource
                    held[name] += allocation.share(device) * seconds
        return held

    def _seconds_each(self, consumers: Sequence[str], start: int, end: int) -> Fraction:
        """Seconds of an interval, each divided by the pods that are bound in it."""
        lives = [
            (pod.bound_at, end if pod.ended_at is None else pod.ended_at)
            for pod in (self._pods.get(uid) for uid in consumers)
            if pod is not None
        ]
        edges = {start, end, *(edge for life in lives for edge in life)}
        moments = sorted(edge for edge in edges if start <= edge <= end)
        return sum(
            (
                Fraction(later - sooner, sum(life[0] <= sooner < life[1] for life in lives))
                for sooner, later in pairwise(moments)
            ),
            Fraction(0),
        )


def _ends(steps: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """When each step gives way to the next."""
    return [*(step[0] for step in steps[1:]), None]


def _clip(start: int, end: int | None, hour: int) -> tuple[int, int]:
    return max(start, hour), _least(end, hour + HOUR)


def _overlap(since: int, until: int | None, start: int, end: int) -> int:
    return max(0, _least(until, end) - max(since, start))


def _least(end: int | None, other: int) -> int:
    return other if end is None else min(end, other)


def _json(entries: dict[str, Any]) -> str:
    return json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _table(
    rows: Iterable[dict[str, Any]], schema: pa.Schema, key: tuple[str, ...]
) -> pa.Table:
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in key))
    return pa.Table.from_pylist(ordered, schema=schema)
