"""S3 objects on disk: each copied once, whole, and known by its ETag.

Holds the copying and its record, ``<file>.json`` beside each file. Which objects a month
needs is for ``exports.py`` to say.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from orchestration.bill.stores import S3Store
from orchestration.lake.errors import PodledgerError

_CHUNK_BYTES = 1 << 20


def land(
    store: S3Store, key: str, target: Path, *, progress: Callable[[str], None]
) -> Path:
    """Copy an object to ``target`` unless it is there already, whole and unchanged.

    A copy that was cut off goes on where it stopped, with an HTTP range, as long as the
    object has not changed.

    Args:
        store: Where the object lies.
        key: The object, relative to the store's root.
        target: The file to make; ``<target>.json`` beside it records address, ETag, size
            in bytes and SHA-256.
        progress: Told what is copied and what is re-used.

    Raises:
        PodledgerError: S3 refuses, or the object is cut off or changes while it is read.
    """
    address = store.address(key)
    try:
        head = store.client.head_object(Bucket=store.bucket, Key=store.key(key))
    except (ClientError, BotoCoreError) as error:
        raise store.refusal(error, key) from error
    etag, size = head["ETag"].strip('"'), head["ContentLength"]
    record = {"address": address, "etag": etag, "size_bytes": size}
    if _is_landed(target, record):
        progress(f"{address}: already on disk")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{_short(etag)}.partial")
    for stale in target.parent.glob(f"{glob.escape(target.name)}.*.partial"):
        if stale != partial:
            stale.unlink()
    _download(store, key, etag, size, partial, progress)
    digest = file_sha256(partial)
    _record_path(target).write_text(
        json.dumps(record | {"sha256": digest}, indent=1, sort_keys=True)
    )
    return partial.replace(target)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_landed(target: Path, record: dict[str, object]) -> bool:
    try:
        known = json.loads(_record_path(target).read_text())
        digest = known.pop("sha256")
        return bool(known == record) and digest == file_sha256(target)
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _download(
    store: S3Store,
    key: str,
    etag: str,
    size: int,
    partial: Path,
    progress: Callable[[str], None],
) -> None:
    """Fetch what ``partial`` lacks of the object."""
    address = store.address(key)
    have = partial.stat().st_size if partial.exists() else 0
    if have > size:
        partial.unlink()
        have = 0
    if have < size:
        progress(
            f"{address}: going on at byte {have:,} of {size:,}"
            if have
            else f"{address}: copying {size:,} bytes"
        )
        try:
            body = store.client.get_object(
                Bucket=store.bucket,
                Key=store.key(key),
                IfMatch=etag,
                Range=f"bytes={have}-",
            )["Body"]
            with partial.open("ab") as stream:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    stream.write(chunk)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("412", "PreconditionFailed"):
                raise PodledgerError(
                    f"{address} changed while it was being copied: the export is being"
                    " delivered right now. Run again in some minutes."
                ) from error
            raise store.refusal(error, key) from error
        except (BotoCoreError, HTTPError) as error:
            raise PodledgerError(
                f"{address} was cut off while it was being copied ({error}). What has"
                " arrived is kept: run again, and it goes on from there."
            ) from error
    partial.touch()
    if partial.stat().st_size != size:
        raise PodledgerError(
            f"{address} arrived with {partial.stat().st_size:,} bytes, and S3 announced"
            f" {size:,}. What has arrived is kept: run again, and it goes on from there."
        )


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _short(etag: str) -> str:
    return hashlib.sha256(etag.encode()).hexdigest()[:16]
