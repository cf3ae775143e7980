"""S3 as the house uses it: a prefix of whole objects, and its refusals told in words.

Holds addresses, the client, and for the home reading, writing once and digests. What the
objects mean is said where they are used: ``bill/stores.py`` for exports, ``lake.py`` and
``ledger/book.py`` for the home. Credentials, Region and endpoint are boto3's own.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Self, TypeVar

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

FAILURES = (ClientError, BotoCoreError, Boto3Error, HTTPError)
"""What boto3 raises when S3 refuses, or the line is cut."""

_MISSING = ("404", "NoSuchKey")
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_TAKEN = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")

_AT_ONCE = 8
"""Requests in flight: as many as boto3's pool of connections has room for."""

_WHOLE_PUT_BYTES = 5 << 30
"""S3 takes what is larger in parts only, and keeps no digest of the whole.
See https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""


class S3Root:
    """A prefix in S3; keys are relative to it."""

    setting: ClassVar[str]
    """Where the user wrote the address."""

    grants: ClassVar[str]
    """What the credentials have to allow."""

    def __init__(self, root: str) -> None:
        match = re.fullmatch(r"s3://([^/]+)/?(.*)", root)
        if match is None:
            raise PodledgerError(
                f"{root!r} names no bucket. Write {self.setting} as s3://bucket/prefix."
            )
        self.root = root
        """As the user wrote it."""
        self.bucket = match[1]
        prefix = match[2].removesuffix("/")
        self.prefix = f"{prefix}/" if prefix else ""
        try:
            self.client: S3Client = boto3.client(
                "s3", config=Config(retries={"mode": "standard", "max_attempts": 4})
            )
        except BotoCoreError as error:
            raise self.refusal(error, "") from error

    def key(self, key: str) -> str:
        """The whole key in the bucket."""
        return self.prefix + key

    def address(self, key: str) -> str:
        """The object as a person writes it."""
        return f"s3://{self.bucket}/{self.key(key)}"

    def refusal(self, error: Exception, key: str, done: str = "read") -> PodledgerError:
        """Say what S3 refused and what to do about it.

        Args:
            error: What boto3 raised.
            key: The object or prefix that was asked for.
            done: What could not be done: ``read``, ``written`` or ``deleted``.
        """
        address = self.address(key)
        if isinstance(error, NoCredentialsError):
            return PodledgerError(
                f"{address} cannot be {done}: no AWS credentials were found. Set"
                " AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a"
                " role."
            )
        code = error_code(error)
        if code in _DENIED:
            return PodledgerError(
                f"{address} may not be {done} with these AWS credentials (access denied)."
                f" Grant {self.grants}."
            )
        if code == "NoSuchBucket":
            return PodledgerError(
                f"{address} cannot be {done}: there is no such bucket. Correct"
                f" {self.setting}."
            )
        if code in _MISSING:
            return self.absence(key)
        return PodledgerError(
            f"{address} cannot be {done}: {error}. Check the AWS credentials, the Region"
            " and the network, and run again."
        )

    def absence(self, key: str) -> PodledgerError:
        """Say that an object is not there and what to do about it."""
        return PodledgerError(f"{self.address(key)} does not exist. Look who deleted it.")


def error_code(error: Exception) -> str:
    """S3's own code of a refusal; nothing if S3 was not reached."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else ""


@dataclass(frozen=True)
class Stored:
    """An object as a listing tells of it."""

    size_bytes: int
    last_modified: dt.datetime


class S3Home(S3Root):
    """A prefix that podledger keeps files in, each written whole and known by SHA-256."""

    setting = "PODLEDGER_HOME"
    grants = (
        "s3:ListBucket on the bucket, s3:GetObject and s3:PutObject on its objects,"
        " s3:DeleteObject on those of lake/, and kms:Decrypt and kms:GenerateDataKey where"
        " they are encrypted with a key of your own"
    )

    def below(self, folder: str) -> Self:
        """The prefix of a folder in this one."""
        made = copy.copy(self)
        made.root = self.address(folder)
        made.prefix = f"{self.key(folder)}/"
        return made

    def listing(self, folder: str) -> dict[str, Stored]:
        """Every object below a folder, which ends in a slash, by key; all its pages."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.key(folder)
        )
        try:
            return {
                found["Key"].removeprefix(self.prefix): Stored(
                    found["Size"], found["LastModified"]
                )
                for page in pages
                for found in page.get("Contents", [])
            }
        except FAILURES as error:
            raise self.refusal(error, folder) from error

    def read(self, key: str) -> bytes | None:
        """Read one object whole; None if it is not there."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key(key))
            return answer["Body"].read()
        except FAILURES as error:
            if error_code(error) in _MISSING:
                return None
            raise self.refusal(error, key) from error

    def fetch(self, key: str, target: Path) -> bool:
        """Copy an object to a file, in ranges where it is large; False if it is not there.

        Nothing is at ``target`` before all of it is.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.client.download_file(self.bucket, self.key(key), str(target))
        except FAILURES as error:
            if error_code(error) in _MISSING:
                return False
            raise self.refusal(error, key) from error
        return True

    def write(self, key: str, content: bytes) -> None:
        """Write one small object, over what was there."""
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.key(key), Body=content)
        except FAILURES as error:
            raise self.refusal(error, key, "written") from error

    def write_once(self, key: str, content: bytes | Path) -> bool:
        """Write an object unless it is there; never over another.

        S3 compares what arrives with the SHA-256, and keeps it beside the object.

        Returns:
            Whether the object holds this content now, from this call or from before.
        """
        digest = _sha256(content)
        try:
            if isinstance(content, Path) and content.stat().st_size > _WHOLE_PUT_BYTES:
                if (found := self.digest(key)) is not None:
                    return found == digest.hex()
                self.client.upload_file(str(content), self.bucket, self.key(key))
                return True
            with ExitStack() as opened:
                body: bytes | IO[bytes] = (
                    opened.enter_context(content.open("rb"))
                    if isinstance(content, Path)
                    else content
                )
                self.client.put_object(
                    Bucket=self.bucket,
                    Key=self.key(key),
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=base64.b64encode(digest).decode(),
                )
        except FAILURES as error:
            # A second try of boto3's own, after an answer was lost, ends here too.
            if error_code(error) not in _TAKEN:
                raise self.refusal(error, key, "written") from error
            return self.digest(key) == digest.hex()
        return True

    def digest(self, key: str) -> str | None:
        """SHA-256 of an object in hex; None if it is not there.

        S3 tells it of what was written here; another object is read.
        """
        try:
            head = self.client.head_object(
                Bucket=self.bucket, Key=self.key(key), ChecksumMode="ENABLED"
            )
            known = head.get("ChecksumSHA256", "")
            # With a dash it is a digest of digests of parts.
            if known and "-" not in known:
                return base64.b64decode(known).hex()
            digest = hashlib.sha256()
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key(key))
            for chunk in answer["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
        except FAILURES as error:
            if error_code(error) in _MISSING:
                return None
            raise self.refusal(error, key) from error

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, if they are there."""
        for key in keys:
            try:
                self.client.delete_object(Bucket=self.bucket, Key=self.key(key))
            except FAILURES as error:
                raise self.refusal(error, key, "deleted") from error


def side_by_side(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do the same with each item, some at once: S3 is wide, and each request is slow.

    Raises:
        Exception: The first that ``work`` raised; what has not begun by then is left.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            for one in running:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _sha256(content: bytes | Path) -> bytes:
    if isinstance(content, bytes):
        return hashlib.sha256(content).digest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
