"""Which hours are looked at for a day, and which of them nobody watched.

Holds the gaps in what kube-state-metrics told, and the widening of a day over a gap that
touches midnight: a pod that is seen before and after it was bound all the while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from orchestration.inventory.sources.prometheus.client import Prober, Span
from orchestration.inventory.sources.prometheus.queries import Question

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS

PROBE_SECONDS = 60
"""A gap is told to the minute; servers bridge what is shorter than five."""

BRIDGED_SECONDS = 3 * DAY_SECONDS
"""The longest gap that a pod is taken to have lived through: windows stay small."""

_TOUCHES_SECONDS = 600
_PROBES_A_QUERY = 6 * HOUR_SECONDS // PROBE_SECONDS


@dataclass(frozen=True)
class Blank:
    """A time without any sample of kube-state-metrics.

    Attributes:
        start: Unix seconds of the last instant with samples.
        end: Of the first with samples again.
        is_open: Whether no sample came since, or none had come before.
    """

    start: int
    end: int
    is_open: bool

    @property
    def is_bridged(self) -> bool:
        """Whether pods on both its sides are looked at together."""
        return not self.is_open and self.end - self.start <= BRIDGED_SECONDS


@dataclass(frozen=True)
class Window:
    """Hours around a day that its facts are gathered from.

    Attributes:
        first: Unix seconds of the first hour's start.
        count: Hours.
    """

    first: int
    count: int

    @property
    def span(self) -> Span:
        """The ends of the hours, where looking back an hour sees each of them."""
        return Span(self.first + HOUR_SECONDS, HOUR_SECONDS, self.count)

    @property
    def starts(self) -> np.ndarray:
        """Starts of the hours, Unix seconds; shape (count,)."""
        return self.first + HOUR_SECONDS * np.arange(self.count)


def find_blanks(
    client: Prober, question: Question, ask: Callable[[Question], str], start: int, end: int
) -> list[Blank]:
    """Find where no instant has a value.

    Args:
        client: Where to ask.
        question: Has one value wherever there is any sample.
        ask: Spells a question for the server.
        start: Unix seconds to begin at.
        end: To end at, exclusive.
    """
    count = (end - start) // PROBE_SECONDS
    is_present = np.zeros(max(count, 0), bool)
    for first in range(0, count, _PROBES_A_QUERY):
        span = Span(
            start + first * PROBE_SECONDS,
            PROBE_SECONDS,
            min(_PROBES_A_QUERY, count - first),
        )
        for series in client.query(question.metric, ask(question), span):
            is_present[first + series.positions] = True
    present = start + PROBE_SECONDS * np.flatnonzero(is_present)
    if not present.size:
        return [Blank(start, end, is_open=True)]
    blanks = [
        Blank(int(before), int(after), is_open=False)
        for before, after in pairwise(present)
        if after - before > 2 * PROBE_SECONDS
    ]
    if present[0] - start > 2 * PROBE_SECONDS:
        blanks.insert(0, Blank(start, int(present[0]), is_open=True))
    if end - present[-1] > 3 * PROBE_SECONDS:
        blanks.append(Blank(int(present[-1]), end, is_open=True))
    return blanks


def day_window(day_start: int, blanks: Sequence[Blank]) -> Window:
    """The day with an hour around it, widened over gaps that reach its ends.

    Args:
        day_start: Unix seconds of midnight.
        blanks: Gaps of the days around.
    """
    edges = [day_start, day_start + DAY_SECONDS]
    low, high = edges[0] - HOUR_SECONDS, edges[1] + HOUR_SECONDS
    for edge in edges:
        for blank in blanks:
            is_near = (
                blank.start < edge + _TOUCHES_SECONDS
                and blank.end > edge - _TOUCHES_SECONDS
            )
            if is_near and blank.is_bridged:
                low = min(low, blank.start - _TOUCHES_SECONDS)
                high = max(high, blank.end + _TOUCHES_SECONDS)
    first = low // HOUR_SECONDS * HOUR_SECONDS
    return Window(first, -((first - high) // HOUR_SECONDS))
