"""Where performance events lie: a folder, an S3 prefix of exports, a log group.

Holds the bringing of lines, each with its place for messages. What stands in a line is for
``events.py`` to read.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from orchestration.lake.errors import PodledgerError

_ENDINGS = (".gz", ".json", ".ndjson", ".jsonl", ".log")
_GZIP_MAGIC = b"\x1f\x8b"

_ENVELOPE = '"logEvents"'
_ENVELOPE_WITHIN = 2_000
"""Characters of an envelope that stand before its events, and more."""


@dataclass(frozen=True)
class Line:
    """One line of text, and where it stands."""

    text: str
    place: str


class EventFiles(Protocol):
    """Files of events, all of them to be read."""

    def state(self) -> str:
        """A digest of what lies there: other bytes, another digest."""
        ...

    def lines(self) -> Iterator[Line]:
        """Every line that is not empty, in the order of names and lines."""
        ...


@dataclass(frozen=True)
class FolderEvents:
    """Files below a folder, at any depth, or one file.

    Attributes:
        root: The folder.
    """

    root: Path

    def state(self) -> str:
        """Names, sizes and times of change."""
        return _digest(
            f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}"
            for path in self._paths()
        )

    def lines(self) -> Iterator[Line]:
        """The files' lines."""
        for path in self._paths():
            with path.open("rb") as stream:
                yield from _lines(stream, str(path))

    def _paths(self) -> list[Path]:
        if self.root.is_file():
            return [self.root]
        names = self.root.rglob("*") if self.root.is_dir() else ()
        paths = sorted(
            path
            for path in names
            if path.is_file() and _is_events(path.relative_to(self.root).as_posix())
        )
        if not paths:
            raise PodledgerError(
                f"{self.root} holds no files of performance events ({', '.join(_ENDINGS)})."
                " Check the path in PODLEDGER_PODS."
            )
        return paths


@dataclass(frozen=True)
class S3Events:
    """Objects below a prefix, as CloudWatch Logs exports them.

    Attributes:
        bucket: Their bucket.
        prefix: Key prefix without slashes at the ends; may be empty.
    """

    bucket: str
    prefix: str

    def state(self) -> str:
        """Keys, sizes and ETags."""
        return _digest(f"{key} {size} {etag}" for key, size, etag in self._objects())

    def lines(self) -> Iterator[Line]:
        """The objects' lines, while they arrive."""
        client = self._client()
        for key, _, etag in self._objects():
            place = f"s3://{self.bucket}/{key}"
            try:
                body = client.get_object(Bucket=self.bucket, Key=key, IfMatch=etag)["Body"]
                yield from _lines(io.BufferedReader(_Readable(body), 1 << 20), place)
            except (ClientError, BotoCoreError) as error:
                raise self._refused(place, error) from error

    def _objects(self) -> list[tuple[str, int, str]]:
        folder = f"{self.prefix}/" if self.prefix else ""
        address = f"s3://{self.bucket}/{self.prefix}"
        try:
            pages = self._client().get_paginator("list_objects_v2")
            objects = [
                (entry["Key"], entry["Size"], entry["ETag"])
                for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix)
                for entry in page.get("Contents", [])
                if entry["Key"] == self.prefix
                or (
                    entry["Key"].startswith(folder)
                    and _is_events(entry["Key"].removeprefix(folder))
                )
            ]
        except (ClientError, BotoCoreError) as error:
            raise self._refused(address, error) from error
        if not objects:
            raise PodledgerError(
                f"{address} holds no objects of performance events"
                f" ({', '.join(_ENDINGS)}). Check the prefix in PODLEDGER_PODS, and that"
                " the export of the log group has ended."
            )
        return sorted(objects)

    def _client(self) -> Any:
        return boto3.client("s3", config=Config(retries={"mode": "standard"}))

    def _refused(self, address: str, error: Exception) -> PodledgerError:
        return PodledgerError(
            f"{address} cannot be read ({error}). Check the bucket, the AWS credentials,"
            " and that they allow s3:ListBucket and s3:GetObject."
        )


@dataclass(frozen=True)
class LogGroup:
    """A log group of CloudWatch Logs.

    Attributes:
        region: Its Region.
        name: Its name, like ``/aws/containerinsights/prod/performance``.
    """

    region: str
    name: str

    def lines(self, start: dt.datetime, end: dt.datetime, pattern: str) -> Iterator[Line]:
        """Events of a time, of all streams, a page at a time; throttling is waited out.

        Args:
            start: First moment, UTC.
            end: First moment after, UTC.
            pattern: CloudWatch's filter pattern; what it lets through may be more.

        Raises:
            PodledgerError: CloudWatch refuses or cannot be reached.
        """
        try:
            client: Any = boto3.client(
                "logs",
                region_name=self.region,
                config=Config(retries={"mode": "standard", "max_attempts": 10}),
            )
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=self.name,
                startTime=int(start.timestamp() * 1000),
                endTime=int(end.timestamp() * 1000) - 1,
                filterPattern=pattern,
            )
            for page in pages:
                for event in page["events"]:
                    place = f"{self}, stream {event['logStreamName']}"
                    yield Line(event["message"], f"{place}, event {event['eventId']}")
        except (ClientError, BotoCoreError) as error:
            raise PodledgerError(
                f"{self} cannot be read from {start:%Y-%m-%d %H:%M} UTC on ({error}). Check"
                " the Region and the name of the log group, the AWS credentials, and that"
                " they allow logs:FilterLogEvents. Days that were read are kept."
            ) from error

    def __str__(self) -> str:
        return f"the log group {self.name} in {self.region}"


class _Readable(io.RawIOBase):
    """An S3 body as a raw stream; boto3's own has no ``readinto``."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _lines(stream: io.BufferedReader, place: str) -> Iterator[Line]:
    """Lines of a file, unpacked as often as it is gzip, whatever its name says."""
    number = 0
    unpacked: io.BufferedReader | gzip.GzipFile = stream
    try:
        while unpacked.peek(2).startswith(_GZIP_MAGIC):
            unpacked = gzip.GzipFile(fileobj=unpacked, mode="rb")
        for number, line in enumerate(unpacked, 1):
            text = line.decode().strip()
            if _ENVELOPE in text[:_ENVELOPE_WITHIN]:
                yield from _delivered(text, f"{place}, line {number}")
            elif text:
                yield Line(text, f"{place}, line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise PodledgerError(
            f"{place} cannot be read after line {number} ({error}). The file is damaged or"
            " cut short: export or copy it again."
        ) from error


def _delivered(text: str, place: str) -> Iterator[Line]:
    """Events in the envelopes of a subscription (Firehose), one right after the other."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        try:
            envelope, position = decoder.raw_decode(text, position)
            # Between the data, CloudWatch tries whether the destination is there.
            is_data = envelope["messageType"] == "DATA_MESSAGE"
            for event in envelope["logEvents"] if is_data else ():
                yield Line(event["message"], f"{place}, event {event['id']}")
        except (KeyError, TypeError, ValueError) as error:
            raise PodledgerError(
                f"{place}, character {position + 1}: no envelope of log events as"
                f" CloudWatch delivers them ({error!r}). The file is damaged or cut short:"
                " copy it again, or let Firehose deliver it again."
            ) from error
        while text[position : position + 1].isspace():
            position += 1


def _is_events(name: str) -> bool:
    """Whether a name below the root is a file of events; exports leave a test beside."""
    parts = name.split("/")
    return (
        not any(part.startswith((".", "_")) for part in parts)
        and not parts[-1].startswith("aws-logs-write-test")
        and parts[-1].endswith(_ENDINGS)
    )


def _digest(states: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(states).encode()).hexdigest()[:32]
