"""The ledger of revisions: which there are, and how one is added without harm.

Holds folders, numbers, the lock and the durable rename. What is in a revision is the
business of ``close/publish.py`` and ``manifest.py``.

A ledger in S3 (``remote`` is given) has copies of its revisions in ``published``, of their
manifests at once and of other files as they are asked for. Which revisions there are, S3
alone says; how they get there is in ``uploads.py``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.ledger.manifest import (
    MANIFEST_NAME,
    Manifest,
    PublishedFile,
    read_manifest,
)

if TYPE_CHECKING:
    from orchestration.lake.s3 import S3Home

_INCOMING = ".incoming-"
_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True)
class Revision:
    """One published revision of a month.

    Attributes:
        number: Its number.
        path: Its folder, or that of its copy.
        manifest: What it says of itself.
        origin: Where in S3 it was published; None if that is ``path``.
    """

    number: int
    path: Path
    manifest: Manifest
    origin: S3Home | None = None

    @property
    def address(self) -> str:
        """Where it was published, for people."""
        return self.origin.root if self.origin else str(self.path)


def month_folder(published: Path, month: Month) -> Path:
    """Folder of all revisions of a month; it may not exist."""
    return published / f"billing_month={month.label}"


def revisions(published: Path, month: Month, remote: str | None = None) -> list[Revision]:
    """Every revision of a month, oldest first.

    Raises:
        PodledgerError: The manifest of one of them is missing or damaged.
    """
    folders = _revision_folders(published, month, remote)
    return [_read(number, folders[number], month, remote) for number in sorted(folders)]


def latest(published: Path, month: Month, remote: str | None = None) -> Revision | None:
    """The newest revision of a month, or None when the month was never published.

    Raises:
        PodledgerError: Its manifest is missing or damaged.
    """
    folders = _revision_folders(published, month, remote)
    if not folders:
        return None
    return _read(max(folders), folders[max(folders)], month, remote)


def find_revision(
    published: Path, month: Month, number: int | None = None, remote: str | None = None
) -> Revision:
    """The revision that a reader asks for; the newest if no number is given.

    Raises:
        PodledgerError: There is no such revision, or its manifest is damaged.
    """
    folders = _revision_folders(published, month, remote)
    if not folders:
        raise PodledgerError(
            f"{month} was never published below {place(published, remote)}. Close it first:"
            f" podledger close {month}."
        )
    if number is None:
        number = max(folders)
    if number not in folders:
        raise PodledgerError(
            f"{month} has no revision {number}. It has"
            f" {', '.join(str(known) for known in sorted(folders))}: ask for one of them."
        )
    return _read(number, folders[number], month, remote)


def place(published: Path, remote: str | None) -> str:
    """Where all published months lie, for people."""
    return f"{remote}/published" if remote else str(published)


def verify(revision: Revision) -> None:
    """Compare every file of a revision with the size and digest that its manifest gives.

    Raises:
        PodledgerError: A file is missing or is not the one that was published.
    """
    if revision.origin:
        from orchestration.ledger.uploads import altered

        bad = altered(revision.origin, revision.manifest)
    else:
        bad = [f for f in revision.manifest.files if not is_there(revision.path, f)]
    if bad:
        raise _altered(revision, bad[0])


def strangers(revision: Revision) -> list[str]:
    """Files in a revision's place that its manifest does not name."""
    if revision.origin:
        found = set(revision.origin.listing(""))
    else:
        paths = (path for path in revision.path.rglob("*") if path.is_file())
        found = {path.relative_to(revision.path).as_posix() for path in paths}
    return sorted(found - {file.path for file in revision.manifest.files} - {MANIFEST_NAME})


def published_months(published: Path, remote: str | None = None) -> list[Month]:
    """Every month that has a revision, oldest first."""
    if remote:
        from orchestration.ledger.uploads import month_names

        names = month_names(remote)
    else:
        names = {path.parent.name for path in published.glob("billing_month=*/revision=*")}
    months = (name.removeprefix("billing_month=") for name in names)
    return sorted(Month.parse(name) for name in months if _MONTH.fullmatch(name))


def bring(revision: Revision, files: Iterable[PublishedFile]) -> None:
    """Copy files of a revision to its folder, if they are in S3 alone.

    Args:
        revision: A published one.
        files: Of its manifest.

    Raises:
        PodledgerError: S3 refuses, or a file is not the one that was published.
    """
    if revision.origin is None:
        return
    from orchestration.lake.s3 import side_by_side

    origin = revision.origin

    def copy(file: PublishedFile) -> None:
        target = revision.path / file.path
        incoming = target.with_name(f"{_INCOMING}{uuid.uuid4().hex}")
        try:
            if not origin.fetch(file.path, incoming) or _digest(incoming) != file.sha256:
                raise _altered(revision, file)
            incoming.chmod(0o444)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)

    side_by_side(copy, [file for file in files if not is_there(revision.path, file)])


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
    folder: Path,
    published: Path,
    month: Month,
    manifest: Manifest,
    remote: str | None = None,
) -> Revision:
    """Give a sealed folder its manifest and its name: from here on it is published.

    The rename is the one moment of publication; in S3 it is the writing of the manifest,
    which is the last of the revision's objects. Before it there is no revision, after it
    there is a whole one, whatever happens to the machine.

    Args:
        folder: The sealed folder, on the filesystem of ``published``.
        published: Root of all published months.
        month: The month it belongs to.
        manifest: Its manifest, which also gives its number.
        remote: Where in S3 it is published.

    Raises:
        PodledgerError: S3 refuses, or another machine publishes the month.
    """
    origin = None
    if remote:
        from orchestration.ledger.uploads import claim, forget_claims, upload

        notes = month_folder(published, month)
        manifest = claim(remote, month, manifest, notes)
    path = folder / MANIFEST_NAME
    path.write_text(manifest.to_text(), encoding="utf-8")
    path.chmod(0o444)
    _sync(path)
    for inner in [*(inner for inner in folder.rglob("*") if inner.is_dir()), folder]:
        _sync(inner)
    target = _revision_folder(published, month, manifest.revision)
    if remote:
        origin = upload(remote, month, manifest, folder)
        forget_claims(notes)
        shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    _sync(target.parent)
    return Revision(manifest.revision, target, manifest, origin)


def _revision_folder(published: Path, month: Month, number: int) -> Path:
    return month_folder(published, month) / f"revision={number:03d}"


def _revision_folders(published: Path, month: Month, remote: str | None) -> dict[int, Path]:
    if remote:
        from orchestration.ledger.uploads import published_numbers

        return {
            number: _revision_folder(published, month, number)
            for number in published_numbers(remote, month)
        }
    found = {}
    for path in month_folder(published, month).glob("revision=*"):
        match = re.fullmatch(r"revision=(\d{3,})", path.name)
        if match:
            found[int(match[1])] = path
    return found


def _read(number: int, path: Path, month: Month, remote: str | None) -> Revision:
    if remote is None:
        return Revision(number, path, read_manifest(path))
    from orchestration.ledger.uploads import copy_manifest, revision_prefix

    origin = revision_prefix(remote, month, number)
    return Revision(number, path, copy_manifest(origin, path), origin)


def _altered(revision: Revision, file: PublishedFile) -> PodledgerError:
    return PodledgerError(
        f"{revision.address}/{file.path} is missing, or is not the file that revision"
        f" {revision.number} of {revision.manifest.month} was published with. Restore the"
        " revision from a backup, or move its folder away and close the month again."
    )


def is_there(folder: Path, file: PublishedFile) -> bool:
    """Whether a folder has the file that was published."""
    path = folder / file.path
    return path.is_file() and _describe(path, folder) == file


def _describe(path: Path, folder: Path) -> PublishedFile:
    return PublishedFile(
        path=path.relative_to(folder).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=_digest(path),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
