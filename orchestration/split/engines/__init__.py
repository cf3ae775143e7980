"""What runs the split over a month: batches of whole node-hours through the one kernel.

One module an engine, each with the function ``split_month``. None of them holds
arithmetic: that is ``split.batch``'s, so that every engine books the same units.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.split.engines import local
from orchestration.split.pieces import Progress, SplitResult


class SplitMonth(Protocol):
    """Splits a month and replaces it in the lake; see ``local.split_month``."""

    def __call__(
        self,
        warehouse: Path,
        lake: Lake,
        month: Month,
        method_version: int,
        progress: Progress,
    ) -> SplitResult:
        """Split the month."""


def engine_of(settings: Settings) -> SplitMonth:
    """The engine that was chosen, imported only now: a laptop needs no Spark."""
    if settings.engine == "spark":
        from orchestration.split.engines import spark

        return spark.split_month
    return partial(local.split_month, processes=settings.processes)
