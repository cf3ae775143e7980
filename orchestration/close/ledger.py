"""The ledger of revisions: which there are, and how one is added without harm.

Holds folders, numbers, the lock and the durable rename. What is in a revision is the
business of ``publish.py`` and ``manifest.py``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.close.manifest import (
    MANIFEST_NAME,
    Manifest,
    PublishedFile,
    read_manifest,
)
from orchestration.errors import PodledgerError
from orchestration.months import Month

_INCOMING = ".incoming-"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Revision:
    """One published revision of a month."""

    number: int
    path: Path
    manifest: Manifest


def month_folder(published: Path, month: Month) -> Path:
    """Folder of all revisions of a month; it may not exist."""
    return published / f"billing_month={month.label}"


def revisions(published: Path, month: Month) -> list[Revision]:
    """Every revision of a month, oldest first.

    Raises:
        PodledgerError: The manifest of one of them is missing or damaged.
    """
    folders = _revision_folders(published, month)
    return [_read(number, folders[number]) for number in sorted(folders)]


def latest(published: Path, month: Month) -> Revision | None:
    """The newest revision of a month, or None when the month was never published.

    Raises:
        PodledgerError: Its manifest is missing or damaged.
    """
    folders = _revision_folders(published, month)
    return _read(max(folders), folders[max(folders)]) if folders else None


def find_revision(published: Path, month: Month, number: int | None = None) -> Revision:
    """The revision that a reader asks for; the newest if no number is given.

    Raises:
        PodledgerError: There is no such revision, or its manifest is damaged.
    """
    folders = _revision_folders(published, month)
    if not folders:
        raise PodledgerError(
            f"{month} was never published below {published}. Close it first: podledger"
            f" close {month}."
        )
    if number is None:
        number = max(folders)
    if number not in folders:
        raise PodledgerError(
            f"{month} has no revision {number}. It has"
            f" {', '.join(str(known) for known in sorted(folders))}: ask for one of them."
        )
    return _read(number, folders[number])


def verify(revision: Revision) -> None:
    """Compare every file of a revision with the size and digest that its manifest gives.

    Raises:
        PodledgerError: A file is missing or is not the one that was published.
    """
    for file in revision.manifest.files:
        path = revision.path / file.path
        if not path.is_file() or _describe(path, revision.path) != file:
            raise PodledgerError(
                f"{path} is missing, or is not the file that revision {revision.number} of"
                f" {revision.manifest.month} was published with. Restore the revision from"
                " a backup, or move its folder away and close the month again."
            )


@contextmanager
def only_writer(
    published: Path, month: Month, progress: Callable[[str], None]
) -> Iterator[None]:
    """Wait until no other process publishes the month, and keep others waiting.

    The lock is the operating system's, so a killed process leaves none behind. Folders of
    killed runs are removed here, where nobody can be at work in one.
    """
    folder = month_folder(published, month)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"Another process is publishing {month}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob(f"{_INCOMING}*"):
            shutil.rmtree(leftover)
        yield


@contextmanager
def workspace(published: Path, month: Month) -> Iterator[Path]:
    """Yield a hidden folder beside the revisions, on their filesystem; gone afterwards."""
    folder = month_folder(published, month) / f"{_INCOMING}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seal(folder: Path) -> tuple[PublishedFile, ...]:
    """Bring every file below ``folder`` to disk, make it read-only and take its digest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        path.chmod(0o444)
        _sync(path)
    return tuple(_describe(path, folder) for path in paths)


def add_revision(
    folder: Path, published: Path, month: Month, manifest: Manifest
) -> Revision:
    """Give a sealed folder its manifest and its name: from here on it is published.

    The rename is the one moment of publication. Before it there is no revision, after it
    there is a whole one, whatever happens to the machine.

    Args:
        folder: The sealed folder, on the filesystem of ``published``.
        published: Root of all published months.
        month: The month it belongs to.
        manifest: Its manifest, which also gives its number.
    """
    path = folder / MANIFEST_NAME
    path.write_text(manifest.to_text(), encoding="utf-8")
    path.chmod(0o444)
    _sync(path)
    for inner in [*(inner for inner in folder.rglob("*") if inner.is_dir()), folder]:
        _sync(inner)
    target = month_folder(published, month) / f"revision={manifest.revision:03d}"
    folder.rename(target)
    _sync(target.parent)
    return Revision(manifest.revision, target, manifest)


def _revision_folders(published: Path, month: Month) -> dict[int, Path]:
    found = {}
    for path in month_folder(published, month).glob("revision=*"):
        match = re.fullmatch(r"revision=(\d{3,})", path.name)
        if match:
            found[int(match[1])] = path
    return found


def _read(number: int, path: Path) -> Revision:
    return Revision(number, path, read_manifest(path))


def _describe(path: Path, folder: Path) -> PublishedFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return PublishedFile(
        path=path.relative_to(folder).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=digest.hexdigest(),
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
