"""The file source: a folder or an S3 prefix of pod-hour, node-hour and quota-hour files.

Holds which files of a root count as inventory, and how S3 objects come to this machine.
What stands in the files is the reader's business.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from orchestration.inventory.sources.interface import (
    FileFormat,
    Kind,
    Progress,
    SourceFile,
)
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
"""File endings that are read; all but Parquet also with ``.gz`` behind."""


@dataclass(frozen=True)
class FolderSource:
    """A folder of inventory files, at any depth, or one such file.

    Attributes:
        uri: The folder as configured.
        root: The folder.
    """

    uri: str
    root: Path

    @classmethod
    def from_uri(cls, uri: str) -> FolderSource:
        """A plain path, or ``file:///folder``.

        Raises:
            ValueError: The URI names another machine.
        """
        if "://" not in uri:
            return cls(uri, Path(uri).expanduser().absolute())
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a file:// URI has no host: write file:///folder")
        return cls(uri, Path(unquote(parts.path)))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """List the inventory files of the folder, of whatever month; nothing is copied."""
        if self.root.is_file():
            paths = {self.root.name: self.root}
        elif self.root.is_dir():
            paths = {
                path.relative_to(self.root).as_posix(): path
                for path in self.root.rglob("*")
                if path.is_file()
            }
        else:
            raise PodledgerError(
                f"The inventory {self.uri} is not a folder or file that can be read. Check"
                " the path in PODLEDGER_PODS."
            )
        files = (
            _inventory_file(self.uri, name, path) for name, path in sorted(paths.items())
        )
        return [file for file in files if file is not None]


@dataclass(frozen=True)
class S3Source:
    """An S3 prefix of inventory files, at any depth, or one such object.

    Attributes:
        uri: The prefix as configured.
        bucket: Its bucket.
        prefix: Its key prefix, without slashes at the ends; may be empty.
    """

    uri: str
    bucket: str
    prefix: str

    @classmethod
    def from_uri(cls, uri: str) -> S3Source:
        """``s3://bucket/prefix``; the prefix may be empty.

        Raises:
            ValueError: The bucket is missing.
        """
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise ValueError("the bucket is missing: write s3://bucket/prefix")
        return cls(uri, bucket, prefix.strip("/"))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Copy the inventory objects, of whatever month, that are not here yet."""
        try:
            client = boto3.client("s3")
            found: dict[SourceFile, ObjectTypeDef] = {}
            for entry in self._objects(client):
                path = landing / self.bucket / _object_digest(entry) / "object"
                file = _inventory_file(self.uri, self._name(entry["Key"]), path)
                if file is not None:
                    found[file] = entry
            missing = [file for file in sorted(found) if not _is_here(file, found[file])]
            if missing:
                progress(f"{self.uri}: copying {len(missing):,} of {len(found):,} objects")
            for file in missing:
                self._download(client, found[file], file.path)
        except (BotoCoreError, ClientError) as error:
            raise PodledgerError(
                f"The inventory {self.uri} cannot be read ({error}). Check the bucket, the"
                " AWS credentials, and that they allow s3:ListBucket and s3:GetObject."
            ) from error
        return sorted(found)

    def _objects(self, client: S3Client) -> Iterator[ObjectTypeDef]:
        """The objects at or beneath the prefix, and not those that only begin like it."""
        found = False
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        for page in pages:
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if not self.prefix or key == self.prefix or self._is_beneath(key):
                    found = True
                    if not key.endswith("/"):
                        yield entry
        if not found:
            raise PodledgerError(
                f"The inventory {self.uri} holds no objects. Check the bucket and the"
                " prefix in PODLEDGER_PODS."
            )

    def _is_beneath(self, key: str) -> bool:
        return key.startswith(f"{self.prefix}/")

    def _name(self, key: str) -> str:
        if not self.prefix:
            return key
        return key[len(self.prefix) + 1 :] if self._is_beneath(key) else Path(key).name

    def _download(self, client: S3Client, entry: ObjectTypeDef, path: Path) -> None:
        """Copy one object as it was listed, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{uuid.uuid4().hex}.partial")
        try:
            body = client.get_object(
                Bucket=self.bucket, Key=entry["Key"], IfMatch=entry["ETag"]
            )["Body"]
            with partial.open("wb") as copy:
                shutil.copyfileobj(body, copy, 1 << 20)
            if partial.stat().st_size != entry["Size"]:
                raise PodledgerError(
                    f"s3://{self.bucket}/{entry['Key']} has {entry['Size']} bytes, of which"
                    f" {partial.stat().st_size} arrived. Try again."
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _inventory_file(source: str, name: str, path: Path) -> SourceFile | None:
    """Describe a file by its name below the root; None if it is not an inventory file.

    Files and folders that begin with ``.`` or ``_`` are what writers leave beside data.
    """
    parts = PurePosixPath(name).parts
    stem = parts[-1].lower()
    is_gzipped = stem.endswith(".gz")
    file_format = FORMATS.get(PurePosixPath(stem.removesuffix(".gz")).suffix)
    if file_format is None or (is_gzipped and file_format == "parquet"):
        return None
    if any(part.startswith((".", "_")) for part in parts):
        return None
    others: tuple[Kind, ...] = ("node_hours", "quota_hours")
    named = [kind for kind in others if any(part.startswith(kind) for part in parts)]
    return SourceFile(
        source=source,
        name=name,
        kind=named[0] if named else "pod_hours",
        file_format=file_format,
        is_gzipped=is_gzipped,
        path=path,
    )


def _is_here(file: SourceFile, entry: ObjectTypeDef) -> bool:
    """Whether the copy of an object is whole; its state is in the copy's path."""
    return file.path.exists() and file.path.stat().st_size == entry["Size"]


def _object_digest(entry: ObjectTypeDef) -> str:
    """Names the copy of one state of an object; keys may hold what no path can."""
    state = f"{entry['Key']}\n{entry['ETag']}\n{entry['Size']}"
    return hashlib.sha256(state.encode()).hexdigest()[:32]
