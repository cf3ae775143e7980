"""One file of a delivery as tables: Parquet, or CSV that is plain, gzipped or zipped.

Holds opening and streaming, with damage told in words. Columns are asked for by position,
and come as the file types them; a CSV's cells are all text. What they mean is not known
here.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from orchestration.lake.cells import CODED, is_text

ROWS_A_TABLE = 1 << 16
"""Rows that are held in memory at once, about; also the rows of a row group written."""

_CSV_BLOCK_BYTES = 4 << 20
"""Of unpacked text; no row may be longer. Above the processor's cache it gets slow."""


class DamagedFileError(Exception):
    """A file that cannot be read to its end.

    Attributes:
        problem: What is wrong, a phrase that goes on from the file's name.
        row: The data row at fault, from 1; None where it is not a single row.
    """

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.row = row


class Source(Protocol):
    """A file, known by its columns, to be read for its rows."""

    names: tuple[str, ...]
    """Columns as the file writes them; none where a CSV is empty."""

    is_empty: bool
    """Whether the file is known to have no row."""

    def tables(self, places: Sequence[int]) -> Iterator[pa.Table]:
        """Yield the rows in order, with the columns at these places, named by place.

        Raises:
            DamagedFileError: The file is cut off or damaged.
        """
        ...


def open_source(path: Path) -> Source:
    """Open a file by its name's ending.

    Raises:
        DamagedFileError: The file is damaged, or not what its name says.
    """
    with _damage_told():
        if not path.stat().st_size:
            raise DamagedFileError("is cut off: it has no byte at all")
        return _ParquetSource(path) if path.suffix == ".parquet" else _CsvSource(path)


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn all that a damaged file raises into one error."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"has columns whose names are no UTF-8 ({error})") from error
    except pa.ArrowException as error:
        problem = str(error).splitlines()[0]
        row = re.search(r"\bRow #(\d+): (.*)", problem)
        if row is None:
            raise DamagedFileError(f"is damaged ({problem})") from error
        # The header is pyarrow's row 1.
        raise DamagedFileError(f"is damaged ({row[2]})", int(row[1]) - 1) from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DamagedFileError(f"is cut off or damaged ({error})") from error


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join small batches to tables of about ``ROWS_A_TABLE`` rows, in one chunk each."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROWS_A_TABLE:
            yield pa.Table.from_batches(held).combine_chunks()
            held = []
    if any(part.num_rows for part in held):
        yield pa.Table.from_batches(held).combine_chunks()


class _ParquetSource:
    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self._schema: pa.Schema = file.schema_arrow
            self.is_empty = not file.metadata.num_rows
        self.names: tuple[str, ...] = tuple(self._schema.names)

    def tables(self, places: Sequence[int]) -> Iterator[pa.Table]:
        names = [self.names[place] for place in places]
        # What is a dictionary in the file stays one, so that each text is parsed once.
        texts = [name for name in names if is_text(self._schema.field(name).type)]
        with (
            _damage_told(),
            pq.ParquetFile(
                self._path, read_dictionary=texts, page_checksum_verification=True
            ) as file,
        ):
            for table in _gathered(file.iter_batches(ROWS_A_TABLE, columns=names)):
                yield table.select(names).rename_columns([str(place) for place in places])


class _CsvSource:
    def __init__(self, path: Path) -> None:
        self._path = path
        with self._unpacked() as stream:
            # Rows behind the header may be read with it; pyarrow says which is not valid
            # UTF-8.
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            try:
                self.names: tuple[str, ...] = tuple(next(csv.reader(text), ()))
                "".join(self.names).encode()
            except (csv.Error, UnicodeEncodeError) as error:
                raise DamagedFileError(f"has no header of columns ({error})") from error
        self.is_empty = not self.names

    def tables(self, places: Sequence[int]) -> Iterator[pa.Table]:
        wanted = [str(place) for place in places]
        with _damage_told(), self._unpacked() as stream:
            batches = pyarrow.csv.open_csv(
                pa.PythonFile(_Quotes(stream), "r"),
                pyarrow.csv.ReadOptions(
                    column_names=[str(place) for place in range(len(self.names))],
                    skip_rows_after_names=1,
                    block_size=_CSV_BLOCK_BYTES,
                    use_threads=False,
                ),
                pyarrow.csv.ParseOptions(newlines_in_values=True),
                pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, CODED),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
            yield from _gathered(iter(batches))

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        """The file's bytes. Both packings check their sums when they reach the end."""
        name = self._path.name
        if name.endswith(".zip"):
            with zipfile.ZipFile(self._path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    raise DamagedFileError(
                        f"holds {len(members)} files, and a report is one"
                    )
                with archive.open(members[0]) as stream:
                    yield stream
        elif name.endswith(".gz"):
            with gzip.open(self._path) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            with self._path.open("rb") as stream:
                yield stream


class _Quotes(io.RawIOBase):
    """A CSV's bytes, which must end with all quotes closed.

    An open quote would make one cell of all rows behind it, and pyarrow lets that pass.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._count += chunk.count(b'"')
        if not chunk and self._count % 2:
            raise DamagedFileError("is cut off or damaged (a quoted cell never ends)")
        return chunk
