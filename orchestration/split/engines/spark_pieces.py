"""What a task of Spark does: split the pieces that are dealt to it, and give account.

Holds the step between Spark's stream of rows and ``split.pieces``. It runs on executors:
it knows no session, and writes nothing that could be in the way of another attempt.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.engines.spark.files import LeftFile, attempt_path
from orchestration.lake.errors import PodledgerError
from orchestration.split.batch import Scratch
from orchestration.split.node_hours import NodeHours
from orchestration.split.pieces import Totals, split_piece
from orchestration.split.pod_hours import BATCH_ROWS
from orchestration.split.pod_hours import COLUMNS as POD_COLUMNS
from orchestration.split.requests import Equivalents

PIECE = "piece"
"""Column with the number of a row's piece."""

NODE_HOUR = "node_hour"
"""Column with the node-hour, as a list of one; null in the row of a pod."""

ACCOUNTS = "account string"
"""What tasks give back, as Spark spells it: JSON of an ``Account`` a row."""

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Task:
    """What every task is told.

    Attributes:
        folder: Where to write, shared with the one who asked.
        pieces_a_day: Pieces that a day is cut into.
        equivalents: What accelerator requests count as.
    """

    folder: Path
    pieces_a_day: int
    equivalents: Equivalents


@dataclass(frozen=True)
class Account:
    """What became of one piece.

    Attributes:
        piece: Its number: days since 1970 x pieces a day + its place in the day.
        day: Its day.
        place: Its place in the day.
        totals: What it came to.
        files: File of each table.
        error: Why it could not be split, for the user to read.
    """

    piece: int
    day: dt.date
    place: int
    totals: Totals = field(default_factory=Totals)
    files: dict[str, LeftFile] = field(default_factory=dict)
    error: str | None = None

    @property
    def name(self) -> str:
        """Name of the piece's files in the lake, without their ending."""
        return f"{self.day}-{self.place:05}"

    def to_json(self) -> str:
        """As text, whole numbers exact."""
        return json.dumps(asdict(self), default=_plain)

    @classmethod
    def from_json(cls, text: str) -> Account:
        """Read it back."""
        facts: dict[str, Any] = json.loads(text)
        totals = facts["totals"]
        for name in ("pod_units", "unallocated_units", "unknown_node_hours"):
            totals[name] = np.array(totals[name], np.int64)
        return cls(
            piece=facts["piece"],
            day=dt.date.fromisoformat(facts["day"]),
            place=facts["place"],
            totals=Totals(**totals),
            files={table: LeftFile(**file) for table, file in facts["files"].items()},
            error=facts["error"],
        )


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.integer):
        return value.tolist()
    return str(value)


def split_pieces(batches: Iterator[pa.RecordBatch], task: Task) -> Iterator[pa.RecordBatch]:
    """Split every piece of a partition.

    What is wrong with the input is in the account, and not raised: Spark would try again.

    Args:
        batches: Rows by piece; in a piece node-hours first, then pods in the order of
            (``instance_id``, ``usage_hour``, ``pod_uid``).
        task: What to do with them.

    Yields:
        ``ACCOUNTS``, a batch a piece.
    """
    scratch = Scratch()
    for piece, of_piece in groupby(_cut_at_pieces(batches), key=lambda cut: cut[0]):
        account = _split_piece(piece, (rows for _, rows in of_piece), task, scratch)
        yield pa.RecordBatch.from_pydict({"account": [account.to_json()]})


def _cut_at_pieces(
    batches: Iterable[pa.RecordBatch],
) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        pieces = batch[PIECE].to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(pieces)]
        for start, stop in pairwise(starts):
            if stop > start:
                yield int(pieces[start]), batch.slice(start, stop - start)


def _split_piece(
    piece: int, rows: Iterator[pa.RecordBatch], task: Task, scratch: Scratch
) -> Account:
    days, place = divmod(piece, task.pieces_a_day)
    day = _EPOCH + dt.timedelta(days=days)
    paths = {
        table: attempt_path(task.folder, f"{table}-{piece}")
        for table in ("pod_costs", "unallocated_costs")
    }
    try:
        node_hours, pods = _node_hours_and_pods(rows)
        totals = split_piece(
            day,
            NodeHours.from_table(node_hours),
            None if pods is None else _whole_node_hours(pods),
            task.equivalents,
            scratch,
            paths["pod_costs"],
            paths["unallocated_costs"],
        )
    except PodledgerError as error:
        return Account(piece, day, place, error=str(error))
    files = {table: LeftFile.at(path) for table, path in paths.items() if path.exists()}
    return Account(piece, day, place, totals, files)


def _node_hours_and_pods(
    rows: Iterator[pa.RecordBatch],
) -> tuple[pa.Table, Iterator[pa.Table] | None]:
    """Node-hours of a piece, and what follows them; None if nothing does."""
    node_hours: list[pa.Table] = []
    for batch in rows:
        listed = batch[NODE_HOUR]
        count = len(listed) - listed.null_count
        structs = listed.flatten()
        node_hours.append(
            pa.Table.from_arrays(
                structs.flatten(), names=[part.name for part in structs.type]
            )
        )
        if count < len(batch):
            pods = chain([batch.slice(count)], rows)
            tables = (pa.Table.from_batches([one]).select(POD_COLUMNS) for one in pods)
            return pa.concat_tables(node_hours), tables
    return pa.concat_tables(node_hours), None


def _whole_node_hours(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Batches of ``BATCH_ROWS`` or a little more that cut no node-hour in two."""
    held: list[pa.Table] = []
    rows, enough = 0, BATCH_ROWS
    for table in tables:
        held.append(table)
        rows += len(table)
        if rows < enough:
            continue
        joined = pa.concat_tables(held).combine_chunks()
        end = _start_of_last_node_hour(joined)
        if end:
            yield joined.slice(0, end)
            enough = BATCH_ROWS
        else:
            enough *= 2
        held = [joined.slice(end)]
        rows = len(joined) - end
    yield pa.concat_tables(held)


def _start_of_last_node_hour(pods: pa.Table) -> int:
    last = len(pods) - 1
    is_last = pc.and_(
        pc.equal(pods["instance_id"], pods["instance_id"][last]),
        pc.equal(pods["usage_hour"], pods["usage_hour"][last]),
    )
    return len(pods) - int(pc.sum(is_last).as_py())
