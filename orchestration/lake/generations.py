"""How a month of a lake's table lies in S3: files of one generation, and a pointer to them.

Holds the writing and the reading of both. A generation is a prefix of its own, and
``_current.json`` beside it, which is written last, names its files: who follows it sees
the old month or the new one, never a half. Where the working copy lies is in ``lake.py``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from enum import Enum, auto
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home, side_by_side

POINTER_NAME = "_current.json"
"""Name of the pointer, in S3 and of its copy in the working copy of the month."""

_AT_WORK = dt.timedelta(days=1)
"""How long what no pointer names may be what another machine writes or reads."""

_TRIES = 3
"""Generations that may replace one another while one is being read."""


class State(Enum):
    """What fetching a month came to."""

    ABSENT = auto()
    """S3 has none of it."""
    HELD = auto()
    """The working copy is what S3 has."""
    FETCHED = auto()
    """S3 has another, which was copied."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _File(_Record):
    """One file of a generation."""

    name: str
    size_bytes: int
    sha256: str


class _Pointer(_Record):
    """What a month is made of now."""

    generation: str
    files: tuple[_File, ...]

    def to_text(self) -> bytes:
        return (self.model_dump_json(indent=2) + "\n").encode()


def tables(remote: str, month: Month) -> list[str]:
    """Tables of the lake in S3 that have the month."""
    ending = f"/billing_month={month.key}/{POINTER_NAME}"
    return [
        key.removeprefix("lake/").removesuffix(ending)
        for key in S3Home(remote).listing("lake/")
        if key.endswith(ending)
    ]


def write(remote: str, table: str, month: Month, folder: Path) -> None:
    """Write a folder's files as a new generation, then the pointer, also into the folder.

    Where S3 holds these very files as the month's, nothing is written.

    Raises:
        PodledgerError: S3 refuses; the month in S3 is as it was.
    """
    store = _open(remote, table, month)
    files = tuple(_describe(path) for path in sorted(folder.iterdir()))
    pointer = _whole_pointer(store)
    if pointer is None or pointer.files != files:
        pointer = _Pointer(generation=f"generation={folder.name}", files=files)

        def put(file: _File) -> None:
            key = f"{pointer.generation}/{file.name}"
            if not store.write_once(key, folder / file.name):
                raise PodledgerError(
                    f"{store.address(key)} is not what was written there, and {month} of"
                    f" {table} is as it was. Look who else writes there, and run again."
                )

        side_by_side(put, files)
        store.write(POINTER_NAME, pointer.to_text())
        # What stays for want of s3:DeleteObject takes room and does no harm.
        with contextlib.suppress(PodledgerError):
            _sweep(store, pointer)
    (folder / POINTER_NAME).write_bytes(pointer.to_text())


def fetch(remote: str, table: str, month: Month, *, held: Path, into: Path) -> State:
    """Copy the month's files to ``into``, unless ``held`` is the copy of them already.

    Raises:
        PodledgerError: S3 refuses, or the pointer is damaged or names files that are
            missing or are not those that were written.
    """
    store = _open(remote, table, month)
    before = None
    for _ in range(_TRIES):
        text = store.read(POINTER_NAME)
        if text is None:
            return State.ABSENT
        if text == before:
            break
        pointer = _parse(text, store.address(POINTER_NAME))
        if _is_held(held, pointer):
            return State.HELD
        for path in into.iterdir():
            path.unlink()
        if _copy(store, pointer, into):
            (into / POINTER_NAME).write_bytes(pointer.to_text())
            return State.FETCHED
        # Another machine may have replaced the month and deleted the old generation.
        before = text
    raise PodledgerError(
        f"{store.address(POINTER_NAME)} names files that are missing or are not those that"
        " were written, and the copy on this machine is as it was. Close the month again"
        f" (podledger close {month}), which writes the table again."
    )


def _open(remote: str, table: str, month: Month) -> S3Home:
    return S3Home(remote).below(f"lake/{table}/billing_month={month.key}")


def _whole_pointer(store: S3Home) -> _Pointer | None:
    """The pointer of now, if every file that it names is there as it was written."""
    text = store.read(POINTER_NAME)
    try:
        pointer = _Pointer.model_validate_json(text or b"")
    except ValidationError:
        return None
    differs = []

    def compare(file: _File) -> None:
        differs.append(store.digest(f"{pointer.generation}/{file.name}") != file.sha256)

    side_by_side(compare, pointer.files)
    return None if any(differs) else pointer


def _sweep(store: S3Home, pointer: _Pointer) -> None:
    """Delete generations that were replaced, and what killed runs left."""
    kept = (POINTER_NAME, f"{pointer.generation}/")
    since = dt.datetime.now(dt.UTC) - _AT_WORK
    store.delete(
        key
        for key, stored in store.listing("").items()
        if not key.startswith(kept) and stored.last_modified < since
    )


def _copy(store: S3Home, pointer: _Pointer, into: Path) -> bool:
    """Copy the files that a pointer names; False if one is missing or is another."""
    is_good = []

    def copy(file: _File) -> None:
        path = into / file.name
        is_good.append(
            store.fetch(f"{pointer.generation}/{file.name}", path)
            and _describe(path) == file
        )

    side_by_side(copy, pointer.files)
    return all(is_good)


def _is_held(folder: Path, pointer: _Pointer) -> bool:
    """Whether a folder is the copy of this very generation, and whole."""
    try:
        return (folder / POINTER_NAME).read_bytes() == pointer.to_text() and all(
            (folder / file.name).stat().st_size == file.size_bytes for file in pointer.files
        )
    except OSError:
        return False


def _parse(text: bytes, address: str) -> _Pointer:
    try:
        return _Pointer.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the object"
        raise PodledgerError(
            f"{address} is damaged: {where}: {first['msg']}. Close the month again, which"
            " writes the table again."
        ) from error


def _describe(path: Path) -> _File:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return _File(name=path.name, size_bytes=path.stat().st_size, sha256=digest)
