"""What runs the split over a month: batches of whole node-hours through the one kernel.

One module an engine, each with the function ``split_month``. None of them holds
arithmetic: that is ``split.batch``'s, so that every engine books the same units.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.settings import EngineName
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


def engine_named(name: EngineName) -> SplitMonth:
    """The engine of that name, imported only now: a laptop needs no Spark."""
    split_month: SplitMonth = import_module(f"{__name__}.{name}").split_month
    return split_month
