"""What pods used, from cAdvisor: means while bound, by hour.

Holds how counters and gauges of containers become one mean a pod-hour. cAdvisor does not
tell a pod's uid but in the path of its cgroup (label ``id``); where that was dropped, or is
a static pod's, its name decides.

Use of vCPU is the growth of the counters between two samples over the time between these
samples: the last before the hour, else the first in it, and the last in it. Such a rate
stands for the part of the hour that the pod's containers existed: from the first to the
last sample of its life. Before, it was bound and used nothing (it pulled its image); after,
it had ended. One sample alone tells no use. Where a container came, went or started its
counter again within the hour, the server's ``increase()`` over each counter's life counts,
over the time that was measured. When none of its node's pods has samples, nothing was
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
_WATCHED_PART = 0.8
"""With less of an hour watched, how much of a counter's growth is the hour's is unknown."""


@dataclass(frozen=True)
class Usage:
    """Means while bound by hour; NaN where not measured. Shapes (pods, hours).

    Attributes:
        vcpu: vCPUs.
        memory_gib: Working set.
        share: Part of its bound and measured time that a pod's containers existed.
        is_measured: Whether any pod at all was measured; shape (hours,).
    """

    vcpu: Floats
    memory_gib: Floats
    share: Floats
    is_measured: NDArray[np.bool_]


def find_usage(asker: Asker, pods: Pods) -> Usage:
    """Ask what the pods used."""

    def rows_of(labels: dict[str, str]) -> Sequence[int]:
        uid = labels.get("uid", "").replace("_", "-")
        if uid:
            return pods.rows({"uid": uid})
        return pods.by_name.get((labels.get("namespace", ""), labels.get("pod", "")), ())

    size = len(pods)

    def grid(question: queries.Question) -> Floats:
        return asker.grid(question, size, rows_of)

    life = _Life(
        hours=asker.window.starts.astype(np.float64),
        step=asker.step,
        interval=_interval(grid(queries.CPU_INTERVAL), asker.step),
        count=grid(queries.CPU_SAMPLES),
        first_step=-asker.grid(queries.CPU_FIRST, size, rows_of, sign=-1),
        last_step=grid(queries.CPU_LAST),
        started=-asker.grid(queries.CPU_STARTED, size, rows_of, sign=-1),
        reached=grid(queries.CPU_REACHED),
    )
    active, measured, is_watched = _active_seconds(pods, life)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(measured > 0, active / measured, np.nan)
        is_steady = grid(queries.CPU_LEAST_SAMPLES) == life.count
        steady = grid(queries.CPU_GROWTH) / life.span * share
        vcpu = np.where(is_steady, steady, grid(queries.CPU_INCREASE) / measured)
    vcpu = np.where(is_watched & (measured > 0), vcpu, np.nan)
    memory = asker.grid(queries.MEMORY_SUM, size, rows_of)
    memory *= share / asker.grid(queries.MEMORY_SAMPLES, size, rows_of)
    # A pod without one sample in an hour of its node's used nothing then.
    is_idle = share == 0
    return Usage(
        np.where(is_idle & np.isnan(vcpu), 0.0, vcpu),
        np.where(is_idle & np.isnan(memory), 0.0, memory) / 2**30,
        share,
        np.logical_or.reduce(np.isfinite(life.count), axis=0),
    )


def _interval(intervals: Floats, step: int) -> float:
    """Seconds between two scrapes; the step if no counter grew, which then tells no use."""
    known = intervals[np.isfinite(intervals) & (intervals > 0)]
    return float(np.median(known)) if known.size else float(step)


class _Life:
    """When pods had samples; arrays by pod and hour, Unix seconds, NaN without samples.

    Attributes:
        hours: Starts of the hours; shape (hours,).
        count: Samples in the hour.
        first, last: The hour's first and last, or its edge if samples go on beyond it.
        born, died: First and last of all; shape (pods, 1).
        interval: Seconds between two samples.
        span: Seconds that the hour's growth took; NaN for less than two samples.
    """

    def __init__(
        self,
        hours: Floats,
        step: int,
        interval: float,
        count: Floats,
        first_step: Floats,
        last_step: Floats,
        started: Floats,
        reached: Floats,
    ) -> None:
        ends = hours + _HOUR
        self.hours, self.count, self.interval = hours, count, interval
        self._step = step
        has_samples = np.isfinite(count)
        started, reached = (
            np.where(
                has_samples & (times > edge - queries.TRAIL_SECONDS) & (times <= edge),
                times,
                np.nan,
            )
            for times, edge in ((started, hours), (reached, ends))
        )
        # A step sees samples behind it as far as the trail; the truth is half a step off.
        first = np.maximum(first_step - step / 2, hours)
        last = last_step - queries.TRAIL_SECONDS + step / 2
        goes_on = last_step >= ends
        seen_last = np.fmax.reduce(last, axis=1, initial=np.nan)[:, None]
        last = np.minimum(np.where(goes_on, ends, last), seen_last)
        self.span = self._span(started, reached, first, last)
        begin = np.where(np.isfinite(self.span), reached - self.span, np.nan)
        begin = np.where(np.isfinite(started) | np.isnan(begin), first, begin)
        end = np.where(np.isfinite(reached), reached, started + self.span)
        end = np.where(np.isfinite(end), end, last)
        begin, end = (np.where(has_samples, edge, np.nan) for edge in (begin, end))
        self.born = np.fmin.reduce(begin, axis=1, initial=np.nan)[:, None]
        self.died = np.fmax.reduce(end, axis=1, initial=np.nan)[:, None]
        self.first = np.maximum(begin, hours)
        self.last = np.where(goes_on & has_samples, np.minimum(ends, self.died), end)

    def _span(
        self, started: Floats, reached: Floats, first: Floats, last: Floats
    ) -> Floats:
        """Seconds between the two samples that the hour's growth lies between.

        Their times are known where samples go on beyond the hour's edge. At the end of a
        life, steps tell them too coarsely, and samples come at regular intervals: their
        number tells it, or, where some are missing, the intervals nearest to the steps.
        """
        has_start, has_end = np.isfinite(started), np.isfinite(reached)
        by_steps = np.where(has_end, reached, last) - np.where(has_start, started, first)
        near = np.rint(by_steps / self.interval)
        # The sample before the hour counts in it where it lies on the hour's very start.
        fewest = self.count - 1
        intervals = np.where(has_start, np.clip(near, fewest, self.count), fewest)
        slack = (2.0 - has_start - has_end) * self._step / 2 + 1
        is_close = np.abs(intervals * self.interval - by_steps) <= slack
        intervals = np.where(is_close, intervals, np.maximum(near, fewest))
        span = np.where(has_start & has_end, by_steps, intervals * self.interval)
        return np.where(span > 0, span, np.nan)


def _active_seconds(pods: Pods, life: _Life) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """How long a pod was bound and measured, and its containers existed, by hour.

    Returns:
        Seconds that its containers existed, NaN if the pod never was measured; seconds
        that it was bound and measured; and whether the hour has no gap of note between its
        node's samples.
    """
    start, end = pods.start[:, None], pods.end[:, None]
    slack = life.interval / 2
    seen_from, seen_to, count = _node_extent(pods.node, life)
    measured_from = np.maximum(np.maximum(seen_from - slack, life.hours), start)
    measured_to = np.minimum(np.minimum(seen_to + slack, life.hours + _HOUR), end)
    measured = measured_to - measured_from
    active = overlap(measured_from, measured_to, life.born - slack, life.died + slack)
    is_watched = count * life.interval >= _WATCHED_PART * (seen_to - seen_from)
    return active, measured, is_watched


def _node_extent(node: Integers, life: _Life) -> tuple[Floats, Floats, Floats]:
    """First, last and number of samples of each pod's node, by hour; NaN without."""
    shape = (int(node.max(initial=-1)) + 2, life.hours.size)
    seen_from, seen_to, count = (np.full(shape, np.nan) for _ in range(3))
    np.fmin.at(seen_from, node, life.first)
    np.fmax.at(seen_to, node, life.last)
    np.fmax.at(count, node, life.count)
    return seen_from[node], seen_to[node], count[node]
