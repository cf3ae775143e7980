"""Where the collector's files lie: a folder, or a prefix in S3.

Holds writing whole or not at all, and reading back. Names are paths below the root, with
``/``. What is in the files is not known here.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from orchestration.lake.errors import PodledgerError


class Store(Protocol):
    """A root for files."""

    def read(self, name: str) -> bytes | None:
        """Read a file; None if it is not there.

        Raises:
            PodledgerError: It is there and cannot be read, or nobody can say.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, in place of what was there.

        Raises:
            PodledgerError: It cannot be written; what was there is still there.
        """


def open_store(root: str) -> Store:
    """Open ``s3://bucket/prefix`` or a folder, which is made when it is written to.

    Raises:
        PodledgerError: It is neither.
    """
    if root.startswith("s3://"):
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        if bucket:
            return S3Store(bucket, prefix.strip("/"))
    elif root and "://" not in root:
        return FolderStore(Path(root).expanduser().absolute())
    raise PodledgerError(
        f"{root!r} is not a place for pod-hours. Give a folder, or s3://bucket/prefix."
    )


@dataclass(frozen=True)
class FolderStore:
    """A folder on this machine."""

    root: Path

    def read(self, name: str) -> bytes | None:
        """As of ``Store``."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PodledgerError(
                f"{self.root / name} cannot be read ({error}). Check the folder and its"
                " permissions."
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """Write beside, then rename."""
        path = self.root / name
        partial = path.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise PodledgerError(
                f"{path} cannot be written ({error}). Check the folder, its permissions and"
                " the space on its disk."
            ) from error


@dataclass(frozen=True)
class S3Store:
    """A prefix in S3, where an object is always whole."""

    bucket: str
    prefix: str

    def read(self, name: str) -> bytes | None:
        """As of ``Store``."""
        try:
            return (
                boto3.client("s3")
                .get_object(Bucket=self.bucket, Key=self._key(name))["Body"]
                .read()
            )
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and (
                error.response.get("Error", {}).get("Code") == "NoSuchKey"
            ):
                return None
            raise self._failed(
                "read", name, "s3:GetObject and s3:ListBucket", error
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """As of ``Store``."""
        try:
            boto3.client("s3").put_object(
                Bucket=self.bucket, Key=self._key(name), Body=content
            )
        except (BotoCoreError, ClientError) as error:
            raise self._failed("written", name, "s3:PutObject", error) from error

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _failed(
        self, verb: str, name: str, permissions: str, error: Exception
    ) -> PodledgerError:
        return PodledgerError(
            f"s3://{self.bucket}/{self._key(name)} cannot be {verb} ({error}). Check the"
            f" bucket, the AWS credentials, and that they allow {permissions}."
        )
