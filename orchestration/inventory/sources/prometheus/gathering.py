"""Answers as grids: a row a pod or node, a column an hour of the window.

Holds how series become rows of numpy arrays, and how a fact holds on through hours that
nobody watched. No metric is named here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestration.inventory.sources.prometheus.client import Prober, Series
from orchestration.inventory.sources.prometheus.names import label_name
from orchestration.inventory.sources.prometheus.queries import Question
from orchestration.inventory.sources.prometheus.window import Window

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Number = TypeVar("Number", np.float64, np.int64)


@dataclass(frozen=True)
class Asker:
    """Asks questions about one cluster and one window.

    Attributes:
        client: The server.
        selector: Matchers of the cluster.
        step: Seconds between instants of presence.
        window: The hours.
    """

    client: Prober
    selector: str
    step: int
    window: Window

    def spell(self, question: Question) -> str:
        """The PromQL of a question."""
        return question.expression(self.selector, self.step)

    def ask(self, question: Question) -> Iterator[Series]:
        """A question's series; positions are hours of the window."""
        return self.client.query(question.metric, self.spell(question), self.window.span)

    def grid(
        self,
        question: Question,
        size: int,
        rows_of: Callable[[dict[str, str]], Sequence[int]],
        sign: int = 1,
    ) -> Floats:
        """A question's answer by row and hour; NaN where there is none.

        Args:
            question: What to ask.
            size: Rows.
            rows_of: The rows that a series tells of; where two tell of one, the larger
                value stands.
            sign: Multiplies the values: with -1, the smaller one stands, negated.
        """
        values = np.full((size, self.window.count), np.nan)
        for series in self.ask(question):
            for row in rows_of(series.labels):
                here = values[row]
                known = here[series.positions]
                here[series.positions] = np.fmax(known, sign * series.values)
        return values

    def label_sets(
        self, question: Question, size: int, row_of: Callable[[dict[str, str]], int | None]
    ) -> tuple[list[str], Integers]:
        """All labels ``label_*`` of each row, as JSON objects.

        Returns:
            The distinct texts, the first of them ``{}``, and their codes by row and hour:
            in an hour with two label sets, the one with more samples.
        """
        texts = {"{}": 0}
        codes = np.full((size, self.window.count), -1, np.int64)
        counts = np.zeros((size, self.window.count))
        for series in self.ask(question):
            row = row_of(series.labels)
            if row is None:
                continue
            labels = {
                label_name(name): value
                for name, value in series.labels.items()
                if name.startswith("label_")
            }
            text = json.dumps(labels, ensure_ascii=False, sort_keys=True)
            code = texts.setdefault(text, len(texts))
            wins = series.values > counts[row, series.positions]
            positions = series.positions[wins]
            codes[row, positions] = code
            counts[row, positions] = series.values[wins]
        return list(texts), np.where(codes < 0, 0, held_on(codes, codes >= 0))


def own(labels: dict[str, str], name: str) -> str:
    """A label as its exporter gave it; ``exported_`` ones win over those of the target."""
    return labels.get(f"exported_{name}") or labels.get(name, "")


def held_on(
    values: NDArray[Number], is_known: NDArray[np.bool_] | None = None
) -> NDArray[Number]:
    """Fill each row's unknown hours from the hour before, the first ones from after.

    Args:
        values: By row and hour.
        is_known: Which are; by default those that are not NaN.
    """
    if is_known is None:
        is_known = ~np.isnan(values)
    hours = np.arange(values.shape[1])
    before = np.maximum.accumulate(np.where(is_known, hours, -1), axis=1)
    first = np.argmax(is_known, axis=1)
    source = np.where(before >= 0, before, first[:, None])
    return np.take_along_axis(values, source, axis=1)


def overlap(
    start: NDArray[Any],
    end: NDArray[Any],
    other_start: NDArray[Any],
    other_end: NDArray[Any],
) -> Floats:
    """Length of what two intervals share, 0 if nothing."""
    shared = np.minimum(end, other_end) - np.maximum(start, other_start)
    length: Floats = np.maximum(shared, 0).astype(np.float64)
    return length
