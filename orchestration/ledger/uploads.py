"""Revisions in S3: claimed by number, uploaded, and published by their manifest, last.

Holds what S3 needs instead of a lock and a rename: objects that are written once and never
over another (``If-None-Match``). What a reader may count on is in ``book.py``. In S3 a
revision has the same keys as the files of its folder.

A claim is an object that binds a number to contents, so that no two publishers write
different files under one number: who has the same contents may go on where a killed run
stopped, and who has others waits, or takes the next number when the claim has lapsed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import uuid
from pathlib import Path

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home, side_by_side
from orchestration.ledger.manifest import (
    MANIFEST_NAME,
    Manifest,
    PublishedFile,
    parse_manifest,
)

_CLAIM_LASTS = dt.timedelta(hours=1)
"""Uploading a revision takes minutes; a claim that is older was left by a killed run."""

_NOTE = ".claim-"


def revision_prefix(remote: str, month: Month, number: int) -> S3Home:
    """Where the objects of one revision lie."""
    return _month_prefix(remote, month).below(f"revision={number:03d}")


def published_numbers(remote: str, month: Month) -> list[int]:
    """Numbers of the revisions that have their manifest."""
    manifest = re.compile(rf"revision=(\d{{3,}})/{re.escape(MANIFEST_NAME)}")
    keys = _month_prefix(remote, month).listing("")
    return [int(match[1]) for key in keys if (match := manifest.fullmatch(key))]


def month_names(remote: str) -> set[str]:
    """Names of the folders of months that have a revision."""
    manifest = re.compile(rf"([^/]+)/revision=\d{{3,}}/{re.escape(MANIFEST_NAME)}")
    keys = S3Home(remote).below("published").listing("")
    return {match[1] for key in keys if (match := manifest.fullmatch(key))}


def copy_manifest(origin: S3Home, folder: Path) -> Manifest:
    """Read the manifest of a revision and leave a copy of it in ``folder``, of its age.

    Raises:
        PodledgerError: It is missing or damaged; the copy is as it was.
    """
    text = origin.read(MANIFEST_NAME)
    if text is None:
        raise origin.absence(MANIFEST_NAME)
    manifest = parse_manifest(text, origin.address(MANIFEST_NAME))
    path = folder / MANIFEST_NAME
    if not path.exists() or path.read_bytes() != text:
        published_at = origin.listing(MANIFEST_NAME)[MANIFEST_NAME].last_modified
        folder.mkdir(parents=True, exist_ok=True)
        incoming = folder / f".{uuid.uuid4().hex}"
        incoming.write_bytes(text)
        incoming.chmod(0o444)
        os.utime(incoming, (published_at.timestamp(),) * 2)
        incoming.replace(path)
    return manifest


def altered(origin: S3Home, manifest: Manifest) -> list[PublishedFile]:
    """Files of a revision that are missing, or are not those that it was published with."""
    found = []

    def compare(file: PublishedFile) -> None:
        if origin.digest(file.path) != file.sha256:
            found.append(file)

    side_by_side(compare, manifest.files)
    return sorted(found, key=lambda file: file.path)


def claim(remote: str, month: Month, manifest: Manifest, notes: Path) -> Manifest:
    """Bind a number to the files of a manifest, and give the manifest that number.

    It is the manifest's own, or a higher one if others were claimed by runs that were
    killed.

    Args:
        remote: Where the month is published.
        month: The month.
        manifest: With the number that is asked for.
        notes: Folder where this machine notes its claims, of which one process at a time
            may publish: what it finds there, a run of this machine left that was killed.

    Raises:
        PodledgerError: Another machine has published the number, or is about to.
    """
    files = json.dumps([file.model_dump() for file in manifest.files])
    contents = hashlib.sha256(files.encode()).hexdigest().encode()
    claims = _month_prefix(remote, month).below("_claims")
    number = manifest.revision
    while True:
        key = f"{number:03d}"
        note = notes / f"{_NOTE}{key}"
        noted = note.read_bytes() if note.exists() else contents
        is_left = noted != contents and claims.read(key) == noted
        if not is_left:
            note.write_bytes(contents)
            if claims.write_once(key, contents):
                return manifest.model_copy(update={"revision": number})
            _require_left(claims, remote, month, number)
        elif number in published_numbers(remote, month):
            raise _overtaken(month, number)
        number += 1


def forget_claims(notes: Path) -> None:
    """Remove the notes of this machine, when what was claimed is published."""
    for note in notes.glob(f"{_NOTE}*"):
        note.unlink(missing_ok=True)


def upload(remote: str, month: Month, manifest: Manifest, folder: Path) -> S3Home:
    """Write the files of a claimed revision, those first that its manifest names.

    Returns:
        Where they lie.

    Raises:
        PodledgerError: S3 refuses, and there is no such revision; or another machine
            published it.
    """
    origin = revision_prefix(remote, month, manifest.revision)

    def put(file: PublishedFile) -> None:
        if not origin.write_once(file.path, folder / file.path):
            raise PodledgerError(
                f"{origin.address(file.path)} is there already, and is not a file of"
                f" podledger's. {month} is not published. Move away what is below"
                f" {origin.root} and close the month again."
            )

    side_by_side(put, manifest.files)
    if not origin.write_once(MANIFEST_NAME, folder / MANIFEST_NAME):
        raise _overtaken(month, manifest.revision)
    return origin


def _require_left(claims: S3Home, remote: str, month: Month, number: int) -> None:
    """Refuse to pass over a number that someone uses.

    Raises:
        PodledgerError: It is published, or its claim has not lapsed.
    """
    if number in published_numbers(remote, month):
        raise _overtaken(month, number)
    key = f"{number:03d}"
    claimed = claims.listing(key)[key].last_modified
    lapses = claimed + _CLAIM_LASTS
    if dt.datetime.now(dt.UTC) < lapses:
        raise PodledgerError(
            f"{month} is not published: since {claimed:%Y-%m-%d %H:%M} UTC another machine"
            f" is publishing other figures as its revision {number} ({claims.address(key)}"
            "). Wait until it is done and close the month again. If it was stopped, its"
            f" claim lapses at {lapses:%H:%M} UTC."
        )


def _overtaken(month: Month, number: int) -> PodledgerError:
    return PodledgerError(
        f"{month} is not published: another machine published its revision {number} while"
        " this one was at work. That revision is whole and stays. Close the month again:"
        " it becomes the next revision, if anything differs."
    )


def _month_prefix(remote: str, month: Month) -> S3Home:
    return S3Home(remote).below(f"published/billing_month={month.label}")
