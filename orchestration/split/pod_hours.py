"""Pod-hours as the split needs them: batches of whole node-hours, strings as codes.

Holds the streaming of ``raw/pod_hours`` and the check of its order, which everything after
relies on: a pod that stands twice or out of place would be booked wrongly, not loudly.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import POD_HOURS, STRING
from orchestration.split.kernel import compiled

READ_ROWS = 1_000_000
"""Row groups are read together up to about so many pod-hours."""

BATCH_ROWS = 131_072
"""Pod-hours of a batch, about: some 40 MB of figures, and a row group of ``pod_costs``."""

COLUMNS = tuple(name for name in POD_HOURS.names if name not in ("account_id", "region"))
"""Columns that the split reads: the bill knows account and Region by instance."""

SHORT_DICTIONARY = 1_000
"""Entries up to which a dictionary is written with every batch as it is."""

_LOOK_BACK = 4_096

_STRING_COLUMNS = [name for name in COLUMNS if POD_HOURS.field(name).type == STRING]


@dataclass(frozen=True)
class Segments:
    """Where each node-hour's pods lie in a batch.

    Attributes:
        starts: First row of each segment, then the number of rows; shape (s + 1,).
        instances: Code of the instance in the batch's dictionary; shape (s,).
        hours: Hours since 1970; shape (s,).
    """

    starts: NDArray[np.int64]
    instances: NDArray[np.int32]
    hours: NDArray[np.int64]


def read_batches(path: Path, day: dt.date) -> Iterator[pa.Table]:
    """Stream one file of ``raw/pod_hours`` in batches that cut no node-hour in two.

    Args:
        path: The Parquet file of one day.
        day: The day that all its hours must lie in.

    Yields:
        Tables of ``COLUMNS``, each column one chunk, strings dictionary-encoded.

    Raises:
        PodledgerError: The file holds hours of another day.
    """
    tail: pa.Table | None = None
    with pq.ParquetFile(path, read_dictionary=_STRING_COLUMNS) as file:
        bunches = list(_bunches(file.metadata))
        for number, row_groups in enumerate(bunches, start=1):
            table = file.read_row_groups(row_groups, columns=list(COLUMNS))
            _check_day(table, path, day)
            table = table.unify_dictionaries().combine_chunks()
            is_last = number == len(bunches)
            end = len(table) if is_last else _start_of_node_hour(table, len(table) - 1)
            start = 0
            while start < end:
                stop = _end_of_batch(table, start, end)
                yield _joined(tail, table.slice(start, stop - start))
                tail, start = None, stop
            if not is_last:
                tail = _joined(tail, table.slice(end))


def _joined(tail: pa.Table | None, rows: pa.Table) -> pa.Table:
    """Rows behind those that are left of the rows before, their dictionaries short.

    Dictionaries are cut first: to make one of two costs as much as they are long.
    """
    rows = _with_short_dictionaries(rows)
    if tail is None:
        return rows
    return pa.concat_tables([tail, rows]).unify_dictionaries().combine_chunks()


def _bunches(metadata: pq.FileMetaData) -> Iterator[list[int]]:
    """Row groups that are read together."""
    bunch: list[int] = []
    rows = 0
    for index in range(metadata.num_row_groups):
        group_rows = metadata.row_group(index).num_rows
        if bunch and rows + group_rows > READ_ROWS:
            yield bunch
            bunch, rows = [], 0
        bunch.append(index)
        rows += group_rows
    if rows:
        yield bunch


def _check_day(table: pa.Table, path: Path, day: dt.date) -> None:
    if len(table) == 0:
        return
    hours = pc.min_max(table["usage_hour"]).as_py()
    if hours["min"].date() != day or hours["max"].date() != day:
        raise PodledgerError(
            f"{path} holds pod-hours from {hours['min']} to {hours['max']}, but a file of"
            f" raw/pod_hours holds one day and its name is the day. {_AGAIN}"
        )


def _end_of_batch(table: pa.Table, start: int, end: int) -> int:
    """Where a batch from ``start`` ends: with a node-hour, some ``BATCH_ROWS`` on."""
    size = BATCH_ROWS
    while start + size < end:
        stop = _start_of_node_hour(table, start + size)
        if stop > start:
            return stop
        size *= 2
    return end


def _start_of_node_hour(table: pa.Table, row: int) -> int:
    """First row of the node-hour that ``row`` is in."""
    instances, hours = table["instance_id"].chunk(0), table["usage_hour"].chunk(0)
    while row > 0:
        reach = max(row - _LOOK_BACK, 0)
        span = slice(reach, row + 1)
        codes = instances[span].indices.to_numpy()
        moments = hours[span].cast(pa.int64()).to_numpy()
        differs = np.flatnonzero((codes != codes[-1]) | (moments != moments[-1]))
        if differs.size:
            return reach + int(differs[-1]) + 1
        row = reach
    return 0


def _with_short_dictionaries(table: pa.Table) -> pa.Table:
    """Leave out of long dictionaries what a batch does not use: each is written whole."""
    for position, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            strings = column.chunk(0)
            if len(strings.dictionary) > SHORT_DICTIONARY:
                table = table.set_column(
                    position, table.field(position), _shortened(strings)
                )
    return table


def _shortened(strings: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same strings; the dictionary in the order in which they come up."""
    codes = strings.indices.fill_null(-1).to_numpy()
    new_codes = np.empty_like(codes)
    used = np.empty(len(strings.dictionary), np.int32)
    count = _renumber(codes, np.full(len(used), -1, np.int32), used, new_codes)
    indices = pa.array(new_codes, mask=new_codes < 0 if strings.null_count else None)
    return pa.DictionaryArray.from_arrays(
        indices, strings.dictionary.take(pa.array(used[:count]))
    )


@compiled
def _renumber(
    codes: NDArray[np.int32],
    number_of: NDArray[np.int32],
    used: NDArray[np.int32],
    new_codes: NDArray[np.int32],
) -> int:
    """Number codes in the order in which they come up; a negative one stays as it is."""
    count = 0
    for row in range(codes.size):
        code = codes[row]
        if code < 0:
            new_codes[row] = code
            continue
        number = number_of[code]
        if number < 0:
            number = count
            number_of[code] = number
            used[number] = code
            count += 1
        new_codes[row] = number
    return count


def find_segments(pods: pa.Table) -> Segments:
    """Find the node-hours of a batch, and hold every row against the order it must have.

    Args:
        pods: ``instance_id`` and ``pod_uid`` dictionary-encoded, each column one chunk.

    Raises:
        PodledgerError: The rows are not in the order of (``instance_id``, ``usage_hour``,
            ``pod_uid``), or one key stands twice.
    """
    instances = pods["instance_id"].chunk(0)
    uids = pods["pod_uid"].chunk(0)
    codes = instances.indices.to_numpy()
    microseconds = pods["usage_hour"].chunk(0).cast(pa.int64()).to_numpy()
    starts = np.empty(len(pods) + 1, np.int64)
    count, misplaced = _mark_segments(
        codes,
        pc.rank(instances.dictionary, tiebreaker="dense").to_numpy().astype(np.int64),
        microseconds,
        uids.indices.to_numpy(),
        *_bytes_of(uids.dictionary),
        starts,
    )
    if misplaced >= 0:
        row = pods.slice(misplaced, 1).to_pylist()[0]
        raise PodledgerError(
            f"raw/pod_hours is out of order or repeats a key at pod {row['pod_uid']!r} on"
            f" {row['instance_id']} at {row['usage_hour']}: rows must be unique and ordered"
            f" by (instance_id, usage_hour, pod_uid). {_AGAIN}"
        )
    first_rows = starts[:count]
    return Segments(
        starts=starts[: count + 1],
        instances=codes[first_rows],
        hours=microseconds[first_rows] // 3_600_000_000,
    )


_AGAIN = (
    "Nothing was written. Read the inventory of the month again (podledger close); if it"
    " stays, something other than podledger wrote into the lake."
)


def _bytes_of(strings: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets and bytes of an Arrow string array."""
    _, offsets, data = strings.buffers()
    values = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return np.frombuffer(offsets, np.int32)[strings.offset :], values


@compiled
def _is_less(
    left: int, right: int, offsets: NDArray[np.int32], values: NDArray[np.uint8]
) -> bool:
    """Compare two strings of a dictionary by their bytes."""
    left_start, right_start = offsets[left], offsets[right]
    left_size = offsets[left + 1] - left_start
    right_size = offsets[right + 1] - right_start
    for position in range(min(left_size, right_size)):
        left_byte = values[left_start + position]
        right_byte = values[right_start + position]
        if left_byte != right_byte:
            return bool(left_byte < right_byte)
    return bool(left_size < right_size)


@compiled
def _mark_segments(
    instances: NDArray[np.int32],
    instance_ranks: NDArray[np.int64],
    hours: NDArray[np.int64],
    uids: NDArray[np.int32],
    uid_offsets: NDArray[np.int32],
    uid_bytes: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> tuple[int, int]:
    """Fill ``starts``; give the number of segments and the first misplaced row, or -1."""
    count = 0
    for row in range(instances.size):
        is_start = True
        if row > 0:
            rank, previous = (
                instance_ranks[instances[row]],
                instance_ranks[instances[row - 1]],
            )
            if rank < previous or (rank == previous and hours[row] < hours[row - 1]):
                return count, row
            if rank == previous and hours[row] == hours[row - 1]:
                is_start = False
                if not _is_less(uids[row - 1], uids[row], uid_offsets, uid_bytes):
                    return count, row
        if is_start:
            starts[count] = row
            count += 1
    starts[count] = instances.size
    return count, -1
