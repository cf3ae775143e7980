"""The local engine: a day at a time, in memory that the month does not grow.

Holds what is read and written in which order. What becomes of a day is ``split.pieces``'.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.processes import side_by_side
from orchestration.split.batch import Scratch
from orchestration.split.fargate import write_fargate_pods
from orchestration.split.node_hours import NodeHours, open_node_hours
from orchestration.split.pieces import (
    Progress,
    SplitResult,
    Totals,
    pod_files_by_day,
    split_piece,
)
from orchestration.split.pod_hours import read_batches
from orchestration.split.requests import Equivalents


@dataclass(frozen=True)
class _Day:
    """A day of the month, and where its rows come from and go.

    Attributes:
        day: The day.
        node_hours: Its node-hours.
        pod_hours_file: Its file of ``raw/pod_hours``, if it has one.
        pod_costs_file: New file of ``pod_costs``.
        unallocated_file: New file of ``unallocated_costs``.
    """

    day: dt.date
    node_hours: NodeHours
    pod_hours_file: Path | None
    pod_costs_file: Path
    unallocated_file: Path


def split_month(
    warehouse: Path,
    lake: Lake,
    month: Month,
    method_version: int,
    progress: Progress = lambda line: None,
    *,
    processes: int = 1,
) -> SplitResult:
    """Split every node-hour of a month among its pods, and replace the month in the lake.

    Reads ``int_node_hours__weighed`` and ``int_fargate_pod_hours`` of the warehouse,
    ``raw/pod_hours`` and ``accelerator_equivalents`` of the lake. Writes ``pod_costs``
    (files and order as in ``raw/pod_hours``; Fargate's beside them) and
    ``unallocated_costs`` (a file a day), both or neither. The same input gives the same
    bytes, in however many processes.

    Args:
        warehouse: The DuckDB file.
        lake: Where the tables lie.
        month: The billing month.
        method_version: Version of the method: 1, 2 or 3.
        progress: Told after each day.
        processes: Days that are split at once, each in a process.

    Raises:
        PodledgerError: Input breaks its contract or parts do not add up; the lake keeps
            the month that it had.
    """
    equivalents = Equivalents.of_month(lake, month)
    pod_files = pod_files_by_day(lake, month)
    totals = Totals()
    with (
        open_node_hours(warehouse, month, method_version) as reader,
        lake.replace("pod_costs", month) as pod_folder,
        lake.replace("unallocated_costs", month) as unallocated_folder,
    ):
        days = sorted({*reader.days(), *pod_files})

        def read() -> Iterator[_Day]:
            for day in days:
                name = f"{day.isoformat()}.parquet"
                yield _Day(
                    day,
                    reader.read(day),
                    pod_files.get(day),
                    pod_folder / name,
                    unallocated_folder / name,
                )

        split_day = partial(_split_day, equivalents=equivalents, scratch=Scratch())
        for day, of_day in zip(
            days, side_by_side(split_day, read(), processes), strict=True
        ):
            totals.add(of_day)
            progress(of_day.tell(day))
        of_fargate = write_fargate_pods(warehouse, month, method_version, pod_folder)
        totals.add(of_fargate)
        if of_fargate.fargate_pod_hours:
            progress(f"{month}: {of_fargate.fargate_pod_hours:,} pod-hours on Fargate")
    return totals.result(len(days))


def _split_day(day: _Day, equivalents: Equivalents, scratch: Scratch) -> Totals:
    file = day.pod_hours_file
    return split_piece(
        day.day,
        day.node_hours,
        None if file is None else read_batches(file, day.day),
        equivalents,
        scratch,
        day.pod_costs_file,
        day.unallocated_file,
    )
