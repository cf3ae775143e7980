"""A table on disk, parted into buckets while it is written: the month's days.

Holds the one pass over all files that lets the rest of the ingest work on a day at a time.
Batches go out as they come in; the only thing in memory is the batch at hand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.inventory.tables import sorted_codes


class Spool:
    """Batches of one schema, parted by bucket, as Arrow streams in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True)
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def append(self, batch: pa.RecordBatch, buckets: NDArray[np.int64]) -> None:
        """Write each row to its bucket.

        Args:
            batch: Rows; text is coded.
            buckets: The bucket of each row; shape (rows,).
        """
        order = np.argsort(buckets, kind="stable")
        parted = buckets[order]
        starts = np.flatnonzero(np.diff(parted, prepend=-1))
        if starts.size > 1:
            batch = batch.take(pa.array(order))
        for start, end in zip(starts, [*starts[1:], parted.size], strict=True):
            self._write(int(parted[start]), batch.slice(start, end - start))

    def close(self) -> list[int]:
        """Finish writing; give the buckets that have rows, in order."""
        for writer in self._writers.values():
            writer.close()
        return sorted(self._writers)

    def read(self, bucket: int) -> pa.Table:
        """Read a bucket's rows, in the order that they came, after ``close``."""
        with pa.ipc.open_stream(self._path(bucket)) as reader:
            return reader.read_all()

    def stream(self, bucket: int, schema: pa.Schema) -> pa.RecordBatchReader:
        """Read a bucket's rows a batch at a time, after ``close``.

        Args:
            bucket: Any bucket; one that has no rows gives none.
            schema: What was appended.
        """
        if bucket not in self._writers:
            return pa.RecordBatchReader.from_batches(schema, [])
        return pa.ipc.open_stream(self._path(bucket))

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _write(self, bucket: int, rows: pa.RecordBatch) -> None:
        rows = _with_own_dictionaries(rows)
        if bucket not in self._writers:
            self._writers[bucket] = pa.ipc.new_stream(
                self._path(bucket),
                rows.schema,
                options=pa.ipc.IpcWriteOptions(compression="lz4"),
            )
        self._writers[bucket].write_batch(rows)

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.arrows"


def _with_own_dictionaries(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out the texts that only other rows of a larger dictionary mean.

    A batch of many days would otherwise write its whole dictionary once a day.
    """
    columns = [
        sorted_codes(column)
        if pa.types.is_dictionary(column.type) and len(column.dictionary) > len(column)
        else column
        for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)
