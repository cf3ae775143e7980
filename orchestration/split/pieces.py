"""One piece of a month: node-hours of a day, all or some, split among all of their pods.

Holds what becomes of a piece (its two files and its totals) and the check that it adds up.
Where rows come from, and how many pieces a day is cut into, is the engines' business.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, POD_COSTS, UNALLOCATED_COSTS, UNIT_DIGITS
from orchestration.split.batch import Coverage, Scratch, split_batch
from orchestration.split.files import TableFile
from orchestration.split.node_hours import NodeHours
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
        fargate_pod_hours: Those of them that Fargate bills by themselves.
        unallocated_rows: Rows of ``unallocated_costs``.
        unknown_pod_hours: Pod-hours on node-hours that the bill does not know; left out.
        pods_usd: Cost of all pods by basis, Fargate's as billed; None where the bill does
            not tell it of every node-hour.
        unallocated_usd: Cost that no pod claimed, likewise.
    """

    days: int
    node_hours: int
    pod_hours: int
    unallocated_rows: int
    unknown_pod_hours: int
    pods_usd: Mapping[str, Decimal | None]
    unallocated_usd: Mapping[str, Decimal | None]
    fargate_pod_hours: int = 0


def _no_units() -> NDArray[np.int64]:
    return np.zeros(len(BASES), np.int64)


@dataclass
class Totals:
    """Counts, and units of 1e-10 USD by basis, of the pieces so far.

    ``unknown_node_hours`` are those whose cost the bill does not tell, by basis; pod-hours
    on Fargate count likewise.
    """

    node_hours: int = 0
    pod_hours: int = 0
    unallocated_rows: int = 0
    unknown_pod_hours: int = 0
    fargate_pod_hours: int = 0
    pod_units: NDArray[np.int64] = field(default_factory=_no_units)
    unallocated_units: NDArray[np.int64] = field(default_factory=_no_units)
    unknown_node_hours: NDArray[np.int64] = field(default_factory=_no_units)

    def add(self, piece: Totals) -> None:
        """Count another piece in."""
        self.node_hours += piece.node_hours
        self.pod_hours += piece.pod_hours
        self.unallocated_rows += piece.unallocated_rows
        self.unknown_pod_hours += piece.unknown_pod_hours
        self.fargate_pod_hours += piece.fargate_pod_hours
        self.pod_units += piece.pod_units
        self.unallocated_units += piece.unallocated_units
        self.unknown_node_hours += piece.unknown_node_hours

    def tell(self, day: dt.date) -> str:
        """The line of progress, if these are the totals of a day."""
        return (
            f"{day}: {self.pod_hours:,} pod-hours on {self.node_hours:,} node-hours,"
            f" {self.unallocated_rows:,} unallocated"
        )

    def result(self, days: int) -> SplitResult:
        """The result, if these are the totals of a month."""
        return SplitResult(
            days=days,
            node_hours=self.node_hours,
            pod_hours=self.pod_hours,
            unallocated_rows=self.unallocated_rows,
            unknown_pod_hours=self.unknown_pod_hours,
            pods_usd=_usd(self.pod_units, self.unknown_node_hours),
            unallocated_usd=_usd(self.unallocated_units, self.unknown_node_hours),
            fargate_pod_hours=self.fargate_pod_hours,
        )


def split_piece(
    day: dt.date,
    node_hours: NodeHours,
    batches: Iterable[pa.Table] | None,
    equivalents: Equivalents,
    scratch: Scratch,
    pod_costs_file: Path,
    unallocated_file: Path,
) -> Totals:
    """Split node-hours of one day among their pods, and write the files of the piece.

    Args:
        day: The day, as error messages name it.
        node_hours: Node-hours of that day.
        batches: All their pods, each batch as ``split_batch`` takes it; none writes no
            file of pods.
        equivalents: What accelerator requests count as.
        scratch: Memory to work in.
        pod_costs_file: New file of ``pod_costs``.
        unallocated_file: New file of ``unallocated_costs``.

    Raises:
        PodledgerError: Input breaks its contract, or the piece does not add up.
    """
    coverage = Coverage.none_of(node_hours)
    totals = Totals(
        node_hours=len(node_hours),
        unknown_node_hours=(~node_hours.is_known).sum(axis=0, dtype=np.int64),
    )
    if batches is not None:
        with TableFile(pod_costs_file, POD_COSTS) as file:
            for pods in batches:
                split = split_batch(pods, node_hours, equivalents, coverage, scratch)
                file.write(split.pod_costs)
                totals.pod_hours += len(split.pod_costs)
                totals.pod_units += split.units
                totals.unknown_pod_hours += split.unknown_pod_hours

    unallocated = unallocated_costs(node_hours, coverage)
    with TableFile(unallocated_file, UNALLOCATED_COSTS) as file:
        file.write(unallocated)
    totals.unallocated_rows = len(unallocated)
    totals.unallocated_units = unallocated_units(unallocated)
    _check_piece(day, node_hours, totals)
    return totals


def _check_piece(day: dt.date, node_hours: NodeHours, totals: Totals) -> None:
    """Hold what became of a piece against what its node-hours cost."""
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


def pod_files_by_day(lake: Lake, month: Month) -> dict[dt.date, Path]:
    """Files of ``raw/pod_hours``, which are named after their days.

    Raises:
        PodledgerError: The month is not in the lake, or holds a file that is not a day of
            it.
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


def _usd(
    units: NDArray[np.int64], unknown_node_hours: NDArray[np.int64]
) -> dict[str, Decimal | None]:
    """Units by basis as USD; None where some node-hours are unknown."""
    return {
        basis: None if unknown else Decimal(int(amount)).scaleb(-UNIT_DIGITS)
        for basis, amount, unknown in zip(BASES, units, unknown_node_hours, strict=True)
    }
