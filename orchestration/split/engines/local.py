"""The local engine: one process, a day at a time, memory that the month does not grow.

Holds what is read and written in which order. What becomes of a day is ``split.pieces``'.
"""

from __future__ import annotations

from pathlib import Path

from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.split.batch import Scratch
from orchestration.split.node_hours import open_node_hours
from orchestration.split.pieces import (
    Progress,
    SplitResult,
    Totals,
    pod_files_by_day,
    split_piece,
)
from orchestration.split.pod_hours import read_batches
from orchestration.split.requests import Equivalents


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
    pod_files = pod_files_by_day(lake, month)
    scratch = Scratch()
    totals = Totals()
    with (
        open_node_hours(warehouse, month, method_version) as reader,
        lake.replace("pod_costs", month) as pod_folder,
        lake.replace("unallocated_costs", month) as unallocated_folder,
    ):
        days = sorted({*reader.days(), *pod_files})
        for day in days:
            name = f"{day.isoformat()}.parquet"
            of_day = split_piece(
                day,
                reader.read(day),
                read_batches(pod_files[day], day) if day in pod_files else None,
                equivalents,
                scratch,
                pod_folder / name,
                unallocated_folder / name,
            )
            totals.add(of_day)
            progress(of_day.tell(day))
    return totals.result(len(days))
