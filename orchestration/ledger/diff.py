"""Two published revisions held against each other, to the last unit.

Holds what counts as a difference and how it is told. Rows are compared as a bag: their
order in a file, and how the file is compressed, carry no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.parquet as pq

from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import UNKNOWN, exact
from orchestration.ledger.book import Revision, bring, is_there, verify
from orchestration.ledger.manifest import (
    MANIFEST_NAME,
    Manifest,
    read_manifest,
)
from orchestration.ledger.tables import TABLES

_EXAMPLES = 3
"""Differing rows that are told of one file."""

_COMPARED = (
    "month",
    "method_version",
    "labels",
    "policy",
    "row_counts",
    "totals",
    "missing_bases",
)
"""Fields of a manifest that say what the figures are, and not how they came about."""


def compare_places(a: str, b: str, progress: Callable[[str], None]) -> Iterator[str]:
    """Compare two revisions as ``compare`` does, each in a folder or in S3.

    Of a revision in S3, files are copied only if their digest is not the other's.
    """
    with TemporaryDirectory() as scratch:
        left = _open(a, Path(scratch) / "A")
        right = _open(b, Path(scratch) / "B")
        progress("Looking for files that differ")
        for one, other in ((left, right), (right, left)):
            if one.origin:
                verify(one)
                _bring_what_differs(one, other)
        for line in compare(left.path, right.path, progress):
            told = line.replace(str(left.path), left.address)
            yield told.replace(str(right.path), right.address)


def compare(a: Path, b: Path, progress: Callable[[str], None]) -> Iterator[str]:
    """Compare two revisions: every file, its columns, its rows, its money.

    Of the manifests, what says what the figures are is compared; number, code and places of
    the deliveries may differ.

    Args:
        a: Folder of a revision.
        b: Folder of another, of any month or home.
        progress: Called with one line for work that takes a while.

    Yields:
        Every difference, as one line.

    Raises:
        PodledgerError: A folder is no revision, or a file in it cannot be read.
    """
    for folder in (a, b):
        if not (folder / MANIFEST_NAME).is_file():
            raise _no_revision(str(folder))
    yield from _manifest_differences(read_manifest(a), read_manifest(b))
    yield from _all_differences(a, b, sorted(_files(a) | _files(b)), progress)


def compare_with_unpublished(
    revision: Revision,
    folder: Path,
    manifest: Manifest,
    progress: Callable[[str], None],
) -> Iterator[str]:
    """Compare a revision with what would be the next: what it says, and every file.

    Args:
        revision: A published one; of one in S3, files are copied only if they differ.
        folder: With the parts of the next, sealed.
        manifest: What it would say of itself.
        progress: Called with one line for work that takes a while.

    Yields:
        Every difference, as one line.

    Raises:
        PodledgerError: A file of the revision is missing or damaged.
    """
    yield from _manifest_differences(revision.manifest, manifest)
    known = set(revision.manifest.files)
    paths = {file.path for file in known ^ set(manifest.files)}
    bring(revision, [file for file in known if file.path in paths])
    yield from _all_differences(revision.path, folder, sorted(paths), progress)


def _all_differences(
    a: Path, b: Path, names: Sequence[str], progress: Callable[[str], None]
) -> Iterator[str]:
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        for name in names:
            missing = [folder for folder in (a, b) if not (folder / name).is_file()]
            if missing:
                yield f"{name}: is not in {missing[0]}"
            elif (a / name).read_bytes() != (b / name).read_bytes():
                progress(f"Comparing the rows of {name}")
                try:
                    yield from _file_differences(connection, name, a / name, b / name)
                except (duckdb.Error, OSError, ValueError) as error:
                    raise PodledgerError(
                        f"{name} of {a} and {b} cannot be compared"
                        f" ({str(error).splitlines()[0]}). Restore the revision whose file"
                        " is damaged from a backup."
                    ) from error


def _open(place: str, scratch: Path) -> Revision:
    """The revision at a place; of one in S3, ``scratch`` gets the manifest."""
    if not place.startswith("s3://"):
        folder = Path(place)
        if not (folder / MANIFEST_NAME).is_file():
            raise _no_revision(place)
        manifest = read_manifest(folder)
        return Revision(manifest.revision, folder, manifest)
    from orchestration.lake.s3 import S3Home
    from orchestration.ledger.uploads import copy_manifest

    origin = S3Home(place.rstrip("/"))
    if origin.read(MANIFEST_NAME) is None:
        raise _no_revision(place)
    manifest = copy_manifest(origin, scratch)
    return Revision(manifest.revision, scratch, manifest, origin)


def _bring_what_differs(one: Revision, other: Revision) -> None:
    """Have in the folder of one, which is in S3, what the other does not have as well.

    What a folder has as well is linked to; what S3 has on both sides is left out on both.
    """
    shared = [
        file
        for file in one.manifest.files
        if (file in other.manifest.files if other.origin else is_there(other.path, file))
    ]
    bring(one, [file for file in one.manifest.files if file not in shared])
    if other.origin is None:
        for file in shared:
            link = one.path / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((other.path / file.path).resolve())


def _no_revision(place: str) -> PodledgerError:
    return PodledgerError(
        f"{place} is not a published revision: it has no {MANIFEST_NAME}. Give a folder"
        " like published/billing_month=2026-10/revision=001."
    )


def _files(folder: Path) -> set[str]:
    """Every file of a revision but its manifest, which is compared by its meaning."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in paths}
    return names - {MANIFEST_NAME}


def _manifest_differences(a: Manifest, b: Manifest) -> Iterator[str]:
    ours, theirs = a.model_dump(mode="json"), b.model_dump(mode="json")
    for field in _COMPARED:
        if ours[field] != theirs[field]:
            yield from _value_differences(
                f"{MANIFEST_NAME}: {field}", ours[field], theirs[field]
            )


def _value_differences(place: str, ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                yield from _value_differences(
                    f"{place}.{key}", ours.get(key), theirs.get(key)
                )
    else:
        yield f"{place} is {_told(ours)} in A and {_told(theirs)} in B"


def _told(value: Any) -> Any:
    """A value of a manifest; what no export tells is null in it."""
    return UNKNOWN if value is None else value


def _file_differences(
    connection: duckdb.DuckDBPyConnection, name: str, a: Path, b: Path
) -> Iterator[str]:
    if a.suffix != ".parquet":
        yield f"{name}: other bytes"
        return
    ours, theirs = _columns(a), _columns(b)
    if ours != theirs:
        for column in [*ours, *(column for column in theirs if column not in ours)]:
            if ours.get(column) != theirs.get(column):
                yield (
                    f"{name}: the column {column} is {ours.get(column, 'not there')} in A"
                    f" and {theirs.get(column, 'not there')} in B"
                )
        if list(ours) != list(theirs) and ours.keys() == theirs.keys():
            yield f"{name}: the columns are in another order"
        shared = [column for column in ours if column in theirs]
        if ours.keys() != theirs.keys() and all(ours[c] == theirs[c] for c in shared):
            yield from _shared_differences(connection, name, a, b, shared)
        return
    yield from _row_differences(connection, name, a, b)


def _shared_differences(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    a: Path,
    b: Path,
    shared: Sequence[str],
) -> Iterator[str]:
    """What the columns that both files have add up to otherwise.

    A revision of an earlier podledger has fewer columns, and so one row for several.
    """
    types = _columns(a)
    money = [column for column in shared if types[column].startswith("decimal")]
    key = [column for column in shared if column not in money]
    if not (money and key):
        return
    for side, path in (("A", a), ("B", b)):
        connection.execute(
            f"create or replace temp table shared_of_{side} as"
            f" select {', '.join([*key, *(f'sum({c}) as {c}' for c in money)])}"
            f" from {parquet(path)} group by {', '.join(key)}"
        )
    names = {side: f"shared_of_{side}" for side in ("A", "B")}
    yield from _bag_differences(connection, name, names, key)


def _columns(path: Path) -> dict[str, str]:
    schema = pq.read_schema(path)
    return {field.name: str(field.type) for field in schema}


def _row_differences(
    connection: duckdb.DuckDBPyConnection, name: str, a: Path, b: Path
) -> Iterator[str]:
    """Rows that one file has more often than the other, and what money they carry."""
    files = {"A": parquet(a), "B": parquet(b)}
    yield from _bag_differences(connection, name, files, _key(name, _columns(a)))


def _bag_differences(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    files: dict[str, str],
    key: Sequence[str],
) -> Iterator[str]:
    for side, other in (("A", "B"), ("B", "A")):
        connection.execute(
            f"create or replace temp table only_in_{side} as"
            f" from {files[side]} except all from {files[other]}"
        )
    counts = {
        side: connection.execute(f"select count(*) from only_in_{side}").fetchall()[0][0]
        for side in files
    }
    if not any(counts.values()):
        return
    yield f"{name}: {counts['A']:,} rows are only in A, {counts['B']:,} only in B"
    yield from _money_differences(connection, name, files)
    for side in files:
        rows = connection.execute(
            f"select {', '.join(key)} from only_in_{side} order by all limit {_EXAMPLES}"
        ).fetchall()
        for row in rows:
            told = ", ".join(f"{k} {v}" for k, v in zip(key, row, strict=True))
            yield f"{name}: only in {side}: {told}"


def _money_differences(
    connection: duckdb.DuckDBPyConnection, name: str, files: dict[str, str]
) -> Iterator[str]:
    described = connection.execute(f"describe from {files['A']}").fetchall()
    columns = [column for column, type_, *_ in described if type_.startswith("DECIMAL")]
    for column in columns:
        ours, theirs = (_sum(connection, column, file) for file in files.values())
        if ours != theirs:
            yield f"{name}: {column} adds up to {ours} in A, {theirs} in B"


def _sum(connection: duckdb.DuckDBPyConnection, column: str, file: str) -> str:
    """A column's sum, and in how many rows it is null."""
    rows = connection.execute(
        f"select coalesce(sum({column}), 0), count(*) - count({column}) from {file}"
    ).fetchall()
    usd, nulls = rows[0]
    return f"{exact(usd)} ({nulls:,} rows {UNKNOWN})" if nulls else exact(usd)


def _key(name: str, columns: dict[str, str]) -> list[str]:
    """What a row is told by: its table's key, else all that it has."""
    for table in TABLES:
        if name.partition("/")[0].removesuffix(".parquet") == table.name:
            return [column for column in table.order_by if column.split(":")[0] in columns]
    return list(columns)
