"""The Spark engine: the month as pieces, each split by one task where its rows are.

Holds what Spark moves, and how its work becomes the month in the lake. Node-hours and pods
of a piece meet in one task, which splits and writes them (``spark_pieces``); only its
account of them comes back (``spark_files``).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.engines.spark.files import accept, exchange_folder
from orchestration.engines.spark.session import open_spark
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import POD_COSTS
from orchestration.split.engines.spark_pieces import (
    ACCOUNTS,
    NODE_HOUR,
    PIECE,
    Account,
    Task,
    split_pieces,
)
from orchestration.split.fargate import write_fargate_pods
from orchestration.split.files import TableFile
from orchestration.split.node_hours import COLUMNS as NODE_HOUR_COLUMNS
from orchestration.split.node_hours import open_node_hours
from orchestration.split.pieces import Progress, SplitResult, Totals, pod_files_by_day
from orchestration.split.pod_hours import COLUMNS as POD_COLUMNS
from orchestration.split.requests import Equivalents

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PIECE_ROWS = 1_000_000
"""Pod-hours of a piece, about: seconds of work, and a file of some 60 MB."""


def split_month(
    warehouse: Path,
    lake: Lake,
    month: Month,
    method_version: int,
    progress: Progress = lambda line: None,
    *,
    piece_rows: int = PIECE_ROWS,
    partitions: int | None = None,
) -> SplitResult:
    """Split a month as ``local.split_month`` does, row for row, by the tasks of Spark.

    The tables have the same rows; a day has as many files as pieces, ``YYYY-MM-DD-NNNNN``,
    each in the order of the local engine's file. Executors read and write below the lake:
    its folder must be one that they share.

    Args:
        warehouse: The DuckDB file.
        lake: Where the tables lie.
        month: The billing month.
        method_version: Version of the method: 1, 2 or 3.
        progress: Told before and after Spark's work, and of each day.
        piece_rows: Pod-hours of a piece, about.
        partitions: Tasks that pieces are dealt to; one for each piece if not given.

    Raises:
        PodledgerError: Input breaks its contract, parts do not add up, Spark cannot be
            reached or fails, or rows went missing on the way; the lake keeps the month
            that it had.
    """
    pod_files = pod_files_by_day(lake, month)
    pods_by_day = {day: pq.read_metadata(path).num_rows for day, path in pod_files.items()}
    pieces_a_day = max(1, math.ceil(max(pods_by_day.values()) / piece_rows))
    with exchange_folder(lake) as exchange:
        with open_node_hours(warehouse, month, method_version) as reader:
            days = sorted({*reader.days(), *pod_files})
            node_hours = reader.copy(exchange / "node_hours.parquet")
        pod_hours = sum(pods_by_day.values())
        progress(f"{pod_hours:,} pod-hours on {node_hours:,} node-hours go to Spark")
        task = Task(exchange, pieces_a_day, Equivalents.of_month(lake, month))
        with open_spark() as spark:
            rows = _rows_of_pieces(
                spark,
                list(pod_files.values()),
                exchange / "node_hours.parquet",
                pieces_a_day,
            )
            accounts = _run(rows, partitions or len(days) * pieces_a_day, task)
        _require_all_rows(accounts, pod_hours, node_hours, month)
        write_fargate = partial(write_fargate_pods, warehouse, month, method_version)
        totals = _commit(accounts, exchange, lake, month, write_fargate)
    if totals.fargate_pod_hours:
        progress(f"{month}: {totals.fargate_pod_hours:,} pod-hours on Fargate")
    for day, of_day in _by_day(accounts):
        totals.add(of_day)
        progress(of_day.tell(day))
    return totals.result(len(days))


def _rows_of_pieces(
    spark: SparkSession, pod_files: Sequence[Path], node_hours_file: Path, pieces: int
) -> DataFrame:
    """Pods and node-hours as one table, each row with the piece that it belongs to.

    A piece is some of a day's node-hours, taken by hash, so that neither a node with a
    thousand pods nor a cluster with all of them is one task's alone. A node-hour goes in
    a list, which takes no space in the rows of pods.
    """
    day = "datediff(cast(usage_hour as date), date '1970-01-01')"
    piece = (
        f"{day} * {pieces} + pmod(xxhash64(instance_id, usage_hour), {pieces}) as {PIECE}"
    )
    pods = spark.read.parquet(*map(_uri, pod_files)).selectExpr(piece, *POD_COLUMNS)
    node_hours = spark.read.parquet(_uri(node_hours_file)).selectExpr(
        piece,
        "instance_id",
        "usage_hour",
        f"array(struct({', '.join(NODE_HOUR_COLUMNS)})) as {NODE_HOUR}",
    )
    return pods.unionByName(node_hours, allowMissingColumns=True)


def _uri(path: Path) -> str:
    """A path as Hadoop takes it: not percent-encoded, and of no other file system."""
    return f"file://{path}"


def _run(rows: DataFrame, partitions: int, task: Task) -> list[Account]:
    """Let the tasks split every piece, and give their accounts by day and piece.

    A fixed number of partitions: Spark itself then joins and cuts none.

    Raises:
        PodledgerError: A piece breaks its contract; the first, in the order of days.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return split_pieces(batches, task)

    accounts = (
        rows.repartition(partitions, PIECE)
        .selectExpr("*", f"{NODE_HOUR} is null as is_pod")
        .sortWithinPartitions(PIECE, "is_pod", "instance_id", "usage_hour", "pod_uid")
        .mapInArrow(run, ACCOUNTS)
        .collect()
    )
    read = sorted(
        (Account.from_json(row.account) for row in accounts), key=lambda one: one.piece
    )
    for account in read:
        if account.error is not None:
            raise PodledgerError(account.error)
    return read


def _require_all_rows(
    accounts: Sequence[Account], pod_hours: int, node_hours: int, month: Month
) -> None:
    """Hold what the tasks saw against what was handed to Spark.

    Raises:
        PodledgerError: Rows went missing, or came twice.
    """
    seen_pods = sum(
        account.totals.pod_hours + account.totals.unknown_pod_hours for account in accounts
    )
    seen_node_hours = sum(account.totals.node_hours for account in accounts)
    if (seen_pods, seen_node_hours) != (pod_hours, node_hours):
        raise PodledgerError(
            f"Spark's tasks saw {seen_pods:,} pod-hours and {seen_node_hours:,} node-hours"
            f" of {month}, and {pod_hours:,} and {node_hours:,} were handed to them."
            " Nothing was written. Close the month again, and let nothing else write to"
            " the lake meanwhile."
        )


def _commit(
    accounts: Sequence[Account],
    exchange: Path,
    lake: Lake,
    month: Month,
    write_fargate: Callable[[Path], Totals],
) -> Totals:
    """Make the month of the files that the accounts name and of Fargate's, and of no other.

    Returns:
        Totals of what Fargate billed.

    Raises:
        PodledgerError: A file is not here as its task left it.
    """
    with (
        lake.replace("pod_costs", month) as pod_costs,
        lake.replace("unallocated_costs", month) as unallocated_costs,
    ):
        folders = {"pod_costs": pod_costs, "unallocated_costs": unallocated_costs}
        for account in accounts:
            for table, file in account.files.items():
                accept(file, exchange, folders[table] / f"{account.name}.parquet")
        if not any("pod_costs" in account.files for account in accounts):
            with TableFile(pod_costs / f"{month.days[0]}.parquet", POD_COSTS):
                pass
        return write_fargate(pod_costs)


def _by_day(accounts: Sequence[Account]) -> Iterator[tuple[dt.date, Totals]]:
    """Totals of each day."""
    for day, of_day in groupby(accounts, key=lambda account: account.day):
        totals = Totals()
        for account in of_day:
            totals.add(account.totals)
        yield day, totals
