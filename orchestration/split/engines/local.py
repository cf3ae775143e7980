"""The local engine: one process, a day at a time, memory that the month does not grow.

Holds what is read and written in which order, and the totals. What a batch becomes is
``split.batch``'s; another engine calls the same function on batches of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.errors import PodledgerError
from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.schemas import BASES, POD_COSTS, UNALLOCATED_COSTS, UNIT_DIGITS
from orchestration.split.batch import Coverage, Scratch, split_batch
from orchestration.split.files import TableFile
from orchestration.split.node_hours import NodeHours, open_node_hours
from orchestration.split.pod_hours import read_batches
from orchestration.split.requests import Equivalents
from orchestration.split.unallocated import unallocated_costs

Progress = Callable[[str], None]
"""Takes a line for a person after each day."""


@dataclass(frozen=True)
class SplitResult:
    """What the split of a month came to.

    Attributes:
        days: Days with node-hours or pod-hours.
        node_hours: Node-hours of the bill.
        pod_hours: Rows of ``pod_costs``.
        unallocated_rows: Rows of ``unallocated_costs``.
        unknown_pod_hours: Pod-hours on node-hours that the bill does not know; left out.
        unknown_hours: Hours that those pods were bound.
        pods_usd: Split and unused cost of all pods, by basis.
        unallocated_usd: Cost that no pod claimed, by basis.
        worst_residual_usd: Largest difference of a day, over days and bases, between what
            its node-hours cost and what became of it. Zero, or nothing would be written.
    """

    days: int
    node_hours: int
    pod_hours: int
    unallocated_rows: int
    unknown_pod_hours: int
    unknown_hours: float
    pods_usd: Mapping[str, Decimal]
    unallocated_usd: Mapping[str, Decimal]
    worst_residual_usd: Decimal


@dataclass
class _Totals:
    node_hours: int = 0
    pod_hours: int = 0
    unallocated_rows: int = 0
    unknown_pod_hours: int = 0
    unknown_seconds: int = 0


def split_month(
    warehouse: Path,
    lake: Lake,
    month: Month,
    method_version: int,
    progress: Progress = lambda line: None,
) -> SplitResult:
    """Split every node-hour of a month among its pods, and replace the month in the lake.

    Reads ``int_node_hours__weighed`` of the warehouse, ``raw/pod_hours`` and
    ``accelerator_equivalents`` of the lake. Writes ``pod_costs`` (files and order as in
    ``raw/pod_hours``) and ``unallocated_costs`` (a file a day), both or neither. The same
    input gives the same bytes.

    Args:
        warehouse: The DuckDB file.
        lake: Where the tables lie.
        month: The billing month.
        method_version: Version of the method: 1, 2 or 3.
        progress: Told after each day.

    Raises:
        PodledgerError: Input breaks its contract or parts do not add up; the lake keeps
            the month that it had.
    """
    equivalents = Equivalents.of_month(lake, month)
    pod_files = _files_by_day(lake, month)
    scratch = Scratch()
    totals = _Totals()
    pod_units: list[int] = [0] * len(BASES)
    ...
