"""Accelerators: what claims hold beside requests, and what was busy.

Holds ResourceClaims as devices of the pods they are reserved for, and the measures of
dcgm-exporter and neuron-monitor as mean devices busy. A measure goes to the pod that its
labels name; where they name none, to the only pod on the node that holds devices. It never
decides whether a device is charged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from orchestration.inventory.accelerators import (
    MIG_COMPUTE_SLICES,
    NEURON_CORES_PER_DEVICE,
)
from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.client import Series
from orchestration.inventory.sources.prometheus.gathering import (
    Asker,
    Floats,
    Integers,
    own,
)
from orchestration.inventory.sources.prometheus.pods import Nodes, Pods

_DRIVER_RESOURCES = {
    "gpu.nvidia.com": "nvidia.com/gpu",
    "gpu.amd.com": "amd.com/gpu",
    "neuron.aws.com": "aws.amazon.com/neuron",
}
"""DRA drivers whose whole devices count as those of a device plug-in."""

_MIG_PROFILE = re.compile(r"(\d+)g\.")


def add_claims(asker: Asker, pods: Pods, devices: dict[str, dict[int, Floats]]) -> None:
    """Add the devices of ResourceClaims to those requested, shared ones in equal parts."""
    hours = asker.window.count
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for series in asker.ask(queries.CLAIM_HOLDERS):
        claim = (own(series.labels, "namespace"), series.labels.get("resourceclaim", ""))
        holders[claim].update(pods.rows({"uid": series.labels.get("consumer_uid", "")}))
    held: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = {}
    for series in asker.ask(queries.CLAIM_DEVICES):
        labels = series.labels
        claim = (own(labels, "namespace"), labels.get("resourceclaim", ""))
        device = (labels.get("pool", ""), labels.get("device", ""))
        resource = _claimed_resource(labels.get("driver", ""), device[1])
        held.setdefault(claim, {}).setdefault(resource, set()).add(device)
    bound = pods.bound(asker.window.starts) > 0
    for claim, resources in sorted(held.items()):
        rows = sorted(holders.get(claim, ()))
        sharers = np.maximum(bound[rows].sum(axis=0), 1)
        for resource, units in sorted(resources.items()):
            for row in rows:
                here = devices.setdefault(resource, {}).setdefault(row, np.zeros(hours))
                here += np.where(bound[row], len(units) / sharers, 0.0)


def _claimed_resource(driver: str, device: str) -> str:
    """Parts of devices keep the driver's name: their size stands in no metric."""
    if driver in _DRIVER_RESOURCES and "mig" not in device:
        return _DRIVER_RESOURCES[driver]
    return f"{driver}/{'mig' if 'mig' in device else 'device'}"


def find_busy_devices(
    asker: Asker, pods: Pods, nodes: Nodes, devices: dict[str, dict[int, Floats]]
) -> dict[int, Floats]:
    """Mean devices busy by hour, for the pods that hold any; NaN where not measured."""
    holders = {row for rows in devices.values() for row in rows}
    if not holders:
        return {}
    bound = pods.bound(asker.window.starts) > 0
    busy: dict[int, Floats] = {}

    def add(rows: Sequence[int], positions: Integers, values: Floats) -> None:
        for row in rows:
            here = busy.setdefault(row, np.full(asker.window.count, np.nan))
            here[positions] = np.nan_to_num(here[positions]) + values

    on_node: dict[int, list[int]] = defaultdict(list)
    for row in sorted(holders):
        on_node[int(pods.node[row])].append(row)

    def add_to_only_holder(node: int, positions: Integers, values: Floats) -> None:
        here = np.array(on_node.get(node, ()), np.int64)
        if not here.size:
            return
        is_bound = bound[here][:, positions]
        is_only = is_bound.sum(axis=0) == 1
        only = here[is_bound.argmax(axis=0)]
        for row in np.unique(only[is_only]):
            mine = is_only & (only == row)
            add([int(row)], positions[mine], values[mine])

    for labels, positions, values in _gpu_measures(asker):
        rows = [
            row
            for row in pods.by_name.get((own(labels, "namespace"), own(labels, "pod")), ())
            if row in holders
        ]
        if rows:
            add(rows, positions, values)
            continue
        host = labels.get("Hostname") or labels.get("hostname", "")
        for node in nodes.by_name.get(host, ()):
            add_to_only_holder(node, positions, values)
    node_of_instance = {instance: row for row, instance in enumerate(nodes.instance_id)}
    for series in asker.ask(queries.NEURON):
        family = series.labels.get("instance_type", "").partition(".")[0]
        cores = NEURON_CORES_PER_DEVICE.get(family)
        instance = node_of_instance.get(series.labels.get("instance_id", ""))
        if cores and instance is not None:
            add_to_only_holder(instance, series.positions, series.values / cores)
    return busy


def _gpu_measures(
    asker: Asker,
) -> Iterator[tuple[dict[str, str], Integers, Floats]]:
    """Busy parts of each device or slice: engine activity, else utilisation."""
    engine: dict[tuple[tuple[str, str], ...], set[int]] = defaultdict(set)
    for series in asker.ask(queries.GPU_ENGINE):
        engine[tuple(sorted(series.labels.items()))].update(series.positions.tolist())
        yield _weighed(series, 1.0)
    for series in asker.ask(queries.GPU_UTIL):
        told = engine.get(tuple(sorted(series.labels.items())), set())
        is_new = np.array([int(at) not in told for at in series.positions], bool)
        if is_new.any():
            yield _weighed(
                Series(series.labels, series.positions[is_new], series.values[is_new]), 0.01
            )


def _weighed(series: Series, scale: float) -> tuple[dict[str, str], Integers, Floats]:
    """A slice's activity is a part of the slice: its compute slices of seven count."""
    profile = _MIG_PROFILE.match(series.labels.get("GPU_I_PROFILE", ""))
    if profile:
        scale *= min(int(profile[1]) / MIG_COMPUTE_SLICES, 1.0)
    return series.labels, series.positions, series.values * scale
