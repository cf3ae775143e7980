"""What pods used, from cAdvisor: means while bound, by hour.

Holds how counters and gauges of containers become one mean a pod-hour. cAdvisor does not
tell a pod's uid but in the path of its cgroup (label ``id``); where that was dropped, or is
a static pod's, its name decides.

In an hour, the growth of the counters between a pod's first and last sample gives its
rate. The rate stands for the part of the hour that the pod's containers existed: between
the first and the last sample of its life. Before, it was bound and used nothing (it pulled
its image); after, it had ended. When none of its node's pods has samples, nothing was
measured, which is neither use nor zero: a gap leaves the mean over the rest, or null. An
hour with a gap of more than a fifth between its samples has no use of vCPU.
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

_WATCHED_PART = 0.8
"""With less of an hour watched, how much of a counter's growth is the hour's is unknown."""


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
    life = _Life(
        hours=asker.window.starts.astype(np.float64),
        step=asker.step,
        count=asker.grid(queries.CPU_SAMPLES, size, rows_of),
        first_step=-asker.grid(queries.CPU_FIRST, size, rows_of, sign=-1),
        last_step=asker.grid(queries.CPU_LAST, size, rows_of),
    )
    share, is_watched = _active_share(pods, life)
    increase = asker.grid(queries.CPU_INCREASE, size, rows_of)
    vcpu = np.where(is_watched, increase / life.reach() * share, np.nan)
    memory = asker.grid(queries.MEMORY_SUM, size, rows_of)
    memory *= share / asker.grid(queries.MEMORY_SAMPLES, size, rows_of)
    # A pod without one sample in an hour of its node's used nothing then.
    is_idle = share == 0
    return Usage(
        np.where(is_idle & np.isnan(vcpu), 0.0, vcpu),
        np.where(is_idle & np.isnan(memory), 0.0, memory) / 2**30,
        np.logical_or.reduce(np.isfinite(life.count), axis=0),
    )


class _Life:
    """When pods had samples; arrays by pod and hour, Unix seconds, NaN without samples.

    Attributes:
        hours: Starts of the hours; shape (hours,).
        count: Samples in the hour.
        first, last: The hour's first and last, or its edge if samples go on beyond it.
        born, died: First and last of all; shape (pods, 1).
        interval: Seconds between two samples.
    """

    def __init__(
        self, hours: Floats, step: int, count: Floats, first_step: Floats, last_step: Floats
    ) -> None:
        ends = hours + _HOUR
        self.hours, self.count, self._step = hours, count, step
        # A step sees samples behind it as far as the trail; the truth is half a step off.
        first = first_step - step / 2
        last = last_step - queries.TRAIL_SECONDS + step / 2
        self.born = np.fmin.reduce(first, axis=1, initial=np.nan)[:, None]
        self.died = np.fmax.reduce(last, axis=1, initial=np.nan)[:, None]
        goes_on = last_step >= ends
        last = np.minimum(np.where(goes_on, ends, last), self.died)
        has_samples = np.isfinite(count)
        self.first = np.where(has_samples, np.maximum(first, hours), np.nan)
        self.last = np.where(has_samples, last, np.nan)
        is_whole = (self.first == hours) & (self.last == ends)
        whole = count[is_whole]
        # Some servers count the sample at the hour's very start, some do not.
        self.interval = (
            _HOUR / (float(np.median(whole)) - 0.5) if whole.size else float(step)
        )

    def reach(self) -> Floats:
        """Seconds that increase() covers: from first to last sample, and what it adds.

        Samples tell it best where none is missing: steps are coarser.
        """
        between = self.last - self.first
        added = sum(
            np.where(
                edge < _EXTRAPOLATED_INTERVALS * self.interval, edge, self.interval / 2
            )
            for edge in (self.first - self.hours, self.hours + _HOUR - self.last)
        )
        by_steps, by_samples = between + added, self.count * self.interval
        is_close = np.abs(by_samples - by_steps) <= 2 * self._step
        reach = np.where(is_close & (by_steps < _HOUR), by_samples, by_steps)
        return np.where((self.count >= 2) & (between > 0), reach, np.nan)


def _active_share(pods: Pods, life: _Life) -> tuple[Floats, NDArray[np.bool_]]:
    """Which part of its bound and measured time a pod's containers existed, by hour.

    Returns:
        The part, NaN where nothing of the hour was measured, or the pod never was; and
        whether the hour has no gap of note between its node's samples.
    """
    start, end = pods.start[:, None], pods.end[:, None]
    slack = life.interval / 2
    seen_from, seen_to, count = _node_extent(pods.node, life)
    measured_from = np.maximum(np.maximum(seen_from - slack, life.hours), start)
    measured_to = np.minimum(np.minimum(seen_to + slack, life.hours + _HOUR), end)
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = measured_to - measured_from
        active = overlap(measured_from, measured_to, life.born - slack, life.died + slack)
        share = np.where(measured > 0, active / measured, np.nan)
        is_watched = count * life.interval >= _WATCHED_PART * (seen_to - seen_from)
    return share, is_watched


def _node_extent(node: Integers, life: _Life) -> tuple[Floats, Floats, Floats]:
    """First, last and number of samples of each pod's node, by hour; NaN without."""
    shape = (int(node.max(initial=-1)) + 2, life.hours.size)
    seen_from, seen_to, count = (np.full(shape, np.nan) for _ in range(3))
    np.fmin.at(seen_from, node, life.first)
    np.fmax.at(seen_to, node, life.last)
    np.fmax.at(count, node, life.count)
    return seen_from[node], seen_to[node], count[node]
