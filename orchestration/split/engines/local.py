"""The local engine: one process, a day at a time, memory that the month does not grow.

Holds what is read and written in which order, and the totals. What a batch becomes is
``split.batch``'s; another engine calls the same function on batches of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
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
from orchestration.split.unallocated import unallocated_costs, unallocated_units

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
    """

    days: int
    node_hours: int
    pod_hours: int
    unallocated_rows: int
    unknown_pod_hours: int
    unknown_hours: float
    pods_usd: Mapping[str, Decimal]
    unallocated_usd: Mapping[str, Decimal]


@dataclass
class _Totals:
    """Counts and units of the days so far."""

    node_hours: int = 0
    pod_hours: int = 0
    unallocated_rows: int = 0
    unknown_pod_hours: int = 0
    unknown_seconds: int = 0
    pod_units: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(BASES), np.int64)
    )
    unallocated_units: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(BASES), np.int64)
    )

    def add(self, day: _Totals) -> None:
        self.node_hours += day.node_hours
        self.pod_hours += day.pod_hours
        self.unallocated_rows += day.unallocated_rows
        self.unknown_pod_hours += day.unknown_pod_hours
        self.unknown_seconds += day.unknown_seconds
        self.pod_units += day.pod_units
        self.unallocated_units += day.unallocated_units


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
    with (
        open_node_hours(warehouse, month, method_version) as reader,
        lake.replace("pod_costs", month) as pod_folder,
        lake.replace("unallocated_costs", month) as unallocated_folder,
    ):
        days = sorted({*reader.days(), *pod_files})
        for day in days:
            name = f"{day.isoformat()}.parquet"
            of_day = _split_day(
                day,
                reader.read(day),
                pod_files.get(day),
                equivalents,
                scratch,
                pod_folder / name,
                unallocated_folder / name,
            )
            totals.add(of_day)
            progress(
                f"{day}: {of_day.pod_hours:,} pod-hours on {of_day.node_hours:,}"
                f" node-hours, {of_day.unallocated_rows:,} unallocated"
            )
    return SplitResult(
        days=len(days),
        node_hours=totals.node_hours,
        pod_hours=totals.pod_hours,
        unallocated_rows=totals.unallocated_rows,
        unknown_pod_hours=totals.unknown_pod_hours,
        unknown_hours=totals.unknown_seconds / 3600,
        pods_usd=_usd(totals.pod_units),
        unallocated_usd=_usd(totals.unallocated_units),
    )


def _split_day(
    day: dt.date,
    node_hours: NodeHours,
    pod_file: Path | None,
    equivalents: Equivalents,
    scratch: Scratch,
    pod_costs_file: Path,
    unallocated_file: Path,
) -> _Totals:
    """Split the node-hours of one day, and write its files: of pods, if there are any.

    Raises:
        PodledgerError: Input breaks its contract, or the day does not add up.
    """
    coverage = Coverage.none_of(node_hours)
    totals = _Totals(node_hours=len(node_hours))
    if pod_file is not None:
        with TableFile(pod_costs_file, POD_COSTS) as file:
            for pods in read_batches(pod_file, day):
                split = split_batch(pods, node_hours, equivalents, coverage, scratch)
                file.write(split.pod_costs)
                totals.pod_hours += len(split.pod_costs)
                totals.pod_units += split.units
                totals.unknown_pod_hours += split.unknown_pod_hours
                totals.unknown_seconds += split.unknown_seconds

    unallocated = unallocated_costs(node_hours, coverage)
    with TableFile(unallocated_file, UNALLOCATED_COSTS) as file:
        file.write(unallocated)
    totals.unallocated_rows = len(unallocated)
    totals.unallocated_units = unallocated_units(unallocated)
    _check_day(day, node_hours, totals)
    return totals


def _check_day(day: dt.date, node_hours: NodeHours, totals: _Totals) -> None:
    """Hold what became of a day against what its node-hours cost."""
    cost = node_hours.pools.sum(axis=(0, 1))
    residuals = totals.pod_units + totals.unallocated_units - cost
    for basis, residual in zip(BASES, residuals, strict=True):
        if residual:
            raise PodledgerError(
                f"The node-hours of {day} do not add up for the basis {basis}: pods and"
                f" unallocated rows miss their cost by {residual} units of"
                f" 1e-{UNIT_DIGITS} USD. Nothing was written. This is a fault of podledger,"
                " not of the input: report it with this message."
            )


def _files_by_day(lake: Lake, month: Month) -> dict[dt.date, Path]:
    """Files of ``raw/pod_hours``, which are named after their days.

    Raises:
        PodledgerError: The month is not in the lake, or holds a file that is no day of it.
    """
    files = lake.files("raw/pod_hours", month)
    if not files:
        raise PodledgerError(
            f"raw/pod_hours of {month} is not in the lake: no file in"
            f" {lake.partition('raw/pod_hours', month)}. A month without pods has an empty"
            " one. Read the inventory of the month first (podledger close)."
        )
    days = {day.isoformat(): day for day in month.days}
    for path in files:
        if path.stem not in days:
            raise PodledgerError(
                f"{path} is not named after a day of {month}, as YYYY-MM-DD.parquet, so"
                " something other than podledger wrote it. Remove it, and read the"
                " inventory of the month again (podledger close)."
            )
    return {days[path.stem]: path for path in files}


def _usd(units: NDArray[np.int64]) -> dict[str, Decimal]:
    """Units by basis as USD."""
    return {
        basis: Decimal(int(amount)).scaleb(-UNIT_DIGITS)
        for basis, amount in zip(BASES, units, strict=True)
    }
