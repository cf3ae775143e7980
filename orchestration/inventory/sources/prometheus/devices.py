"""Accelerators: what claims hold beside requests, and what was busy.

Holds ResourceClaims and fractions as devices of the pods that have them, and the measures
of dcgm-exporter and neuron-monitor as mean devices busy. A measure goes to the pod that its
labels name; where they name none, to the only pod on the node that holds devices. It never
decides whether a device is charged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.client import Series
from orchestration.inventory.sources.prometheus.gathering import (
    Asker,
    Floats,
    Integers,
    overlap,
    own,
)
from orchestration.inventory.sources.prometheus.pods import Nodes, Pods
from orchestration.kubernetes.accelerators import (
    MIG_COMPUTE_SLICES,
    NEURON_CORES_PER_DEVICE,
)
from orchestration.kubernetes.held import (
    RESERVATION_NAMESPACES,
    claimed_resource,
    held_accelerators,
)

_MIG_DEVICE = re.compile(r"-mig-(?P<profile>.+)")
_MIG_NAMED = re.compile(
    r"(?:\d+c)?(?P<slices>\d+)g(?P<gib>\d+)gb(?P<attributes>(?:-[a-z]+)*)(?:-\d+)*"
)
"""NVIDIA's driver names a slice ``gpu-0-mig-1g5gb-19-0``: a device's name has no dots."""

EXTENDED_CLAIM = "-extended-resources-"
"""After a pod's name: the scheduler's own claim for what the pod requests already."""

_MIG_PROFILE = re.compile(r"(\d+)g\.")


def add_claims(asker: Asker, pods: Pods, devices: dict[str, dict[int, Floats]]) -> None:
    """Add the devices of ResourceClaims to those requested, shared ones in equal parts."""
    hours = asker.window.starts
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for series in asker.ask(queries.CLAIM_HOLDERS):
        name = series.labels.get("resourceclaim", "")
        for row in pods.rows({"uid": series.labels.get("consumer_uid", "")}):
            if not name.startswith(f"{pods.name[row]}{EXTENDED_CLAIM}"):
                holders[own(series.labels, "namespace"), name].add(row)
    held: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = {}
    for series in asker.ask(queries.CLAIM_DEVICES):
        labels = series.labels
        claim = (own(labels, "namespace"), labels.get("resourceclaim", ""))
        driver, device = labels.get("driver", ""), labels.get("device", "")
        resource = claimed_resource(driver, mig_profile(device))
        units = held.setdefault(claim, {}).setdefault(resource, set())
        units.add((labels.get("pool", ""), device))
    for claim, resources in sorted(held.items()):
        rows = sorted(holders.get(claim, ()))
        if not rows:
            continue
        parts = _parts(pods.start[rows], pods.end[rows], hours)
        for resource, units in sorted(resources.items()):
            for row, part in zip(rows, parts, strict=True):
                here = devices.setdefault(resource, {}).setdefault(
                    row, np.zeros(len(hours))
                )
                here += len(units) * part


def add_fractions(asker: Asker, pods: Pods, devices: dict[str, dict[int, Floats]]) -> None:
    """Add what run:ai and KAI give by annotation, and take it from their reservations.

    Where no fraction is told, the annotations may be in no metric, and the devices stay
    with the reservation pods.
    """
    is_told = False
    for series in asker.ask(queries.FRACTIONS):
        annotations = {
            name.removeprefix("annotation_").replace("_", "-"): value
            for name, value in series.labels.items()
            if name.startswith("annotation_")
        }
        for row in pods.rows(series.labels):
            held = held_accelerators({}, pods.namespace[row], {}, annotations)
            for resource, quantity in held.items():
                is_told = True
                here = np.full(asker.window.count, quantity)
                devices.setdefault(resource, {})[row] = here
    if is_told:
        for rows in devices.values():
            for row in [r for r in rows if pods.namespace[r] in RESERVATION_NAMESPACES]:
                del rows[row]


def mig_profile(device: str) -> str | None:
    """The MIG profile that the name of a DRA device tells; None for what is no slice.

    Drivers before 25.12 number profiles (``gpu-0-mig-19-4-1``) and tell their size nowhere
    in metrics: the number stays, a profile that no rule knows and a control names.
    """
    found = _MIG_DEVICE.search(device)
    if found is None:
        return None
    named = _MIG_NAMED.fullmatch(found["profile"])
    if named is None:
        return found["profile"]
    attributes = named["attributes"].replace("-", "+")
    return f"{named['slices']}g.{named['gib']}gb{attributes}"


def _parts(start: Floats, end: Floats, hours: Integers) -> Floats:
    """Mean part of a claim that each of its pods has while bound, by hour.

    The claim is divided equally among those that are bound, second by second.
    """
    start, end = np.rint(start)[:, None], np.rint(end)[:, None]
    edges = np.unique(np.concatenate([start.ravel(), end.ravel(), hours, hours + 3600]))
    is_bound = (start <= edges[:-1]) & (end >= edges[1:])
    each = is_bound * np.diff(edges) / np.maximum(is_bound.sum(axis=0), 1)
    is_within = (hours <= edges[:-1, None]) & (edges[1:, None] <= hours + 3600)
    bound = overlap(start, end, hours, hours + 3600)
    return np.asarray(each @ is_within / np.maximum(bound, 1))


def find_busy_devices(
    asker: Asker,
    pods: Pods,
    nodes: Nodes,
    devices: dict[str, dict[int, Floats]],
    share: Floats,
) -> dict[int, Floats]:
    """Mean devices busy while bound by hour, for the pods that hold any.

    An exporter names a pod, and a runtime of Neuron is seen, only while its containers
    exist: before, the pod held its devices idle. A device whose pod no label names was
    measured all the hour, while the pod may have been bound in a part of it only.

    Args:
        asker: Asks.
        pods: Of the window.
        nodes: Of the window.
        devices: What pods hold.
        share: Part of their bound time that pods' containers existed; NaN: not known.

    Returns:
        By entry of a pod; NaN where not measured.
    """
    holders = {row for rows in devices.values() for row in rows}
    if not holders:
        return {}
    hours = asker.window.starts
    seconds = pods.bound(hours)
    bound = seconds > 0
    active = np.where(np.isfinite(share), share, 1.0)
    on_hour = overlap(
        nodes.first_seen[:, None], nodes.last_seen[:, None], hours, hours + 3600
    )
    busy: dict[int, Floats] = {}

    def add(
        rows: Sequence[int], positions: Integers, values: Floats, part: Floats = active
    ) -> None:
        for row in rows:
            here = busy.setdefault(row, np.full(asker.window.count, np.nan))
            mean = values * part[row, positions]
            here[positions] = np.nan_to_num(here[positions]) + mean

    on_node: dict[int, list[int]] = defaultdict(list)
    for row in sorted(holders):
        on_node[int(pods.node[row])].append(row)

    def add_to_only_holder(
        node: int, positions: Integers, values: Floats, most: float | None = None
    ) -> None:
        """Add a node's measure; ``most``: of a device that was measured all the hour."""
        here = np.array(on_node.get(node, ()), np.int64)
        if not here.size:
            return
        is_bound = bound[here][:, positions]
        is_only = is_bound.sum(axis=0) == 1
        only = here[is_bound.argmax(axis=0)]
        for row in np.unique(only[is_only]):
            mine = is_only & (only == row)
            at, found = positions[mine], values[mine]
            if most is None:
                add([int(row)], at, found)
                continue
            while_bound = np.maximum(on_hour[node, at] / seconds[row, at], 1.0)
            add([int(row)], at, np.minimum(found * while_bound, most), np.ones_like(active))

    for labels, positions, values, most in _gpu_measures(asker):
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
            add_to_only_holder(node, positions, values, most)
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
) -> Iterator[tuple[dict[str, str], Integers, Floats, float]]:
    """Busy parts of devices and slices, and the most: engine activity, else utilisation."""
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


def _weighed(
    series: Series, scale: float
) -> tuple[dict[str, str], Integers, Floats, float]:
    """A slice's activity is a part of the slice: its compute slices of seven count."""
    part = 1.0
    profile = _MIG_PROFILE.match(series.labels.get("GPU_I_PROFILE", ""))
    if profile:
        part = min(int(profile[1]) / MIG_COMPUTE_SLICES, 1.0)
    return series.labels, series.positions, series.values * scale * part, part
