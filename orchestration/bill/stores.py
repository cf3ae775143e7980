"""A root of bill exports as a tree of keys: a folder on disk or a prefix in S3.

Holds listing and reading by key. What the keys mean is in ``manifests.py``; bringing S3
objects to disk is in ``landing.py``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from orchestration.lake.errors import PodledgerError
from orchestration.lake.s3 import S3Root


@dataclass(frozen=True)
class Entry:
    """One file or object; ``key`` is its path below the root."""

    key: str
    size: int
    last_modified: dt.datetime

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Listing:
    """What lies directly in one folder. Folders end in a slash; both are in name order."""

    folders: tuple[str, ...]
    files: tuple[Entry, ...]


def open_store(root: str) -> Store:
    """Open a root: ``s3://bucket/prefix`` or a folder.

    Raises:
        PodledgerError: The folder does not exist, or the S3 address names no bucket.
    """
    if root.startswith("s3://"):
        return S3Store(root)
    if "://" in root:
        raise PodledgerError(
            f"{root!r} is not a root of bill exports: only folders and s3://bucket/prefix"
            " are read. Correct PODLEDGER_BILL."
        )
    return FolderStore(root)


class FolderStore:
    """A folder on this machine, often a copy of what lies in S3."""

    bucket: str | None = None

    def __init__(self, root: str) -> None:
        self.root = root
        """As the user wrote it."""
        self.folder = Path(root).expanduser()
        if not self.folder.is_dir():
            raise PodledgerError(
                f"The bill's root {root!r} is not a folder on this machine. Correct"
                " PODLEDGER_BILL, or copy the export there."
            )

    def path(self, key: str) -> Path:
        """Where the key lies on disk."""
        return self.folder / key

    def listing(self, folder: str) -> Listing:
        """List one folder; ``""`` is the root. A folder that is not there is empty."""
        path = self.path(folder)
        if not path.is_dir():
            return Listing((), ())
        children = sorted(path.iterdir(), key=lambda child: child.name)
        return Listing(
            folders=tuple(f"{folder}{child.name}/" for child in children if child.is_dir()),
            files=tuple(
                self._entry(f"{folder}{child.name}")
                for child in children
                if child.is_file()
            ),
        )

    def read(self, key: str) -> bytes:
        """Read one file whole."""
        return self.path(key).read_bytes()

    def etag(self, key: str) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.read(key)).hexdigest()

    def _entry(self, key: str) -> Entry:
        stat = self.path(key).stat()
        return Entry(key, stat.st_size, dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC))


class S3Store(S3Root):
    """A prefix in S3 that AWS delivers exports to."""

    setting = "PODLEDGER_BILL"
    grants = (
        "s3:ListBucket on the bucket and s3:GetObject on the export's objects, and"
        " kms:Decrypt where they are encrypted with a key of your own"
    )

    def absence(self, key: str) -> PodledgerError:
        """As of ``S3Root``: most often the object is about to come."""
        return PodledgerError(
            f"{self.address(key)} does not exist. If the export is being delivered right"
            " now, run again in some minutes."
        )

    def listing(self, folder: str) -> Listing:
        """List one folder, all its pages."""
        folders: list[str] = []
        files: list[Entry] = []
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.key(folder), Delimiter="/"
        )
        try:
            for page in pages:
                folders += [
                    found["Prefix"].removeprefix(self.prefix)
                    for found in page.get("CommonPrefixes", [])
                ]
                files += [
                    Entry(
                        found["Key"].removeprefix(self.prefix),
                        found["Size"],
                        found["LastModified"],
                    )
                    for found in page.get("Contents", [])
                    if not found["Key"].endswith("/")
                ]
        except (ClientError, BotoCoreError) as error:
            raise self.refusal(error, folder) from error
        return Listing(tuple(sorted(folders)), tuple(sorted(files, key=lambda e: e.key)))

    def read(self, key: str) -> bytes:
        """Read one object whole."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=self.key(key))[
                "Body"
            ].read()
        except (ClientError, BotoCoreError) as error:
            raise self.refusal(error, key) from error

    def etag(self, key: str) -> str:
        """S3's ETag, without its quotes."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self.key(key))
        except (ClientError, BotoCoreError) as error:
            raise self.refusal(error, key) from error
        return head["ETag"].strip('"')


Store = FolderStore | S3Store
"""A root, read by keys that are relative to it and separated by slashes."""
