"""What pods used, from cAdvisor: means while bound, by hour.

Holds how counters and gauges of containers become one mean a pod-hour. cAdvisor does not
tell a pod's uid but in the path of its cgroup (label ``id``); where that was dropped, or is
a static pod's, its name decides.

In an hour, the growth of the counters between a pod's first and last sample gives its
rate. The rate stands for the part of the hour that the pod's containers existed: between
the first and the last sample of its life. Before, it was bound and used nothing (it pulled
its image); after, it had ended. When none of its node's pods has samples, nothing was
measured, which is neither use nor zero: a gap leaves the mean over the rest, or null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.gathering import (
    Asker,
    Floats,
    Integers,
    overlap,
)
from orchestration.inventory.sources.prometheus.pods import Pods

_HOUR = 3600.0
_EXTRAPOLATED_INTERVALS = 1.1
"""PromQL's increase() reaches to the window's edge if a sample was due by about then."""


@dataclass(frozen=True)
class Usage:
    """Means while bound by hour; NaN where not measured. Shapes (pods, hours).

    Attributes:
        vcpu: vCPUs.
        memory_gib: Working set.
        is_measured: Whether any pod at all was measured; shape (hours,).
    """

    vcpu: Floats
    memory_gib: Floats
    is_measured: NDArray[np.bool_]


def find_usage(asker: Asker, pods: Pods) -> Usage:
    """Ask what the pods used."""

    def rows_of(labels: dict[str, str]) -> Sequence[int]:
        uid = labels.get("uid", "").replace("_", "-")
        if uid:
            return pods.rows({"uid": uid})
        return pods.by_name.get((labels.get("namespace", ""), labels.get("pod", "")), ())

    size = len(pods)
    count = asker.grid(queries.CPU_SAMPLES, size, rows_of)
    last = asker.grid(queries.CPU_LAST, size, rows_of)
    # fmin of the negated maximum: where two series tell of one pod, the earlier stands.
    first = np.full_like(last, np.nan)
    for series in asker.ask(queries.CPU_FIRST):
        for row in rows_of(series.labels):
            here = first[row]
            here[series.positions] = np.fmin(here[series.positions], series.values)
    hours = asker.window.starts.astype(np.float64)
    share = _active_share(pods, first, last, count, hours, asker.step)

    increase = asker.grid(queries.CPU_INCREASE, size, rows_of)
    vcpu = increase / _reach(first, last, count, hours) * share
    # A pod without one sample in an hour of its node's used nothing then.
    vcpu = np.where((share == 0) & np.isnan(vcpu), 0.0, vcpu)
    memory = asker.grid(queries.MEMORY_SUM, size, rows_of)
    memory /= asker.grid(queries.MEMORY_SAMPLES, size, rows_of)
    memory = np.where((share == 0) & np.isnan(memory), 0.0, memory * share)
    return Usage(vcpu, memory / 2**30, np.logical_or.reduce(np.isfinite(count), axis=0))


def _reach(first: Floats, last: Floats, count: Floats, hours: Floats) -> Floats:
    """Seconds that increase() covers: from first to last sample, and what it adds."""
    begin = np.maximum(first, hours)
    between = last - begin
    with np.errstate(invalid="ignore", divide="ignore"):
        interval = between / (count - 1)
        edges = [begin - hours, hours + _HOUR - last]
        added = sum(
            np.where(edge < _EXTRAPOLATED_INTERVALS * interval, edge, interval / 2)
            for edge in edges
        )
        reach = between + added
        return np.where((count >= 2) & (between > 0), reach, np.nan)


def _active_share(
    pods: Pods, first: Floats, last: Floats, count: Floats, hours: Floats, step: int
) -> Floats:
    """Which part of its bound and measured time a pod's containers existed, by hour.

    NaN where nothing of the hour was measured, or the pod never was.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        intervals = (last - np.maximum(first, hours)) / (count - 1)
    is_timed = (count > 2) & (intervals > 0)
    # A life begins and ends between two looks, be they scrapes or steps of a subquery.
    interval = float(np.median(intervals[is_timed])) if is_timed.any() else 0.0
    slack = max(interval, step) / 2

    start, end = pods.start[:, None], pods.end[:, None]
    seen_from, seen_to = _node_extent(pods.node, first, last, hours)
    measured_from = np.maximum(np.maximum(seen_from - slack, hours), start)
    measured_to = np.minimum(np.minimum(seen_to + slack, hours + _HOUR), end)
    born = np.fmin.reduce(first, axis=1, initial=np.nan)[:, None] - slack
    died = np.fmax.reduce(last, axis=1, initial=np.nan)[:, None] + slack
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = measured_to - measured_from
        active = overlap(measured_from, measured_to, born, died)
        return np.where(measured > 0, active / measured, np.nan)


def _node_extent(
    node: Integers, first: Floats, last: Floats, hours: Floats
) -> tuple[Floats, Floats]:
    """First and last sample of any pod of each pod's node, by hour; NaN without."""
    size = int(node.max(initial=-1)) + 2
    seen_from = np.full((size, hours.size), np.nan)
    seen_to = np.full((size, hours.size), np.nan)
    np.fmin.at(seen_from, node, first)
    np.fmax.at(seen_to, node, last)
    return seen_from[node], seen_to[node]
