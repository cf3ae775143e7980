"""Sources of pod-hours: one module each, behind the interface of ``interface.py``.

Holds the choice of a source by its URI. A new source is a module here and its scheme in
``parse_source``.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestration.errors import PodledgerError
from orchestration.inventory.sources.files import FolderSource, S3Source
from orchestration.inventory.sources.interface import Source, SourceFile

__all__ = ["Source", "SourceFile", "parse_source"]

_SUPPORTED = "a folder, file:///folder, or s3://bucket/prefix"


def parse_source(uri: str) -> Source:
    """Choose the source that a URI of ``PODLEDGER_PODS`` means.

    Args:
        uri: A path, ``file://`` or ``s3://bucket/prefix``.

    Raises:
        PodledgerError: The scheme is none of these, or a bucket is missing.
    """
    if "://" not in uri:
        return FolderSource(uri, Path(uri).expanduser().absolute())
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if bucket:
            return S3Source(uri, bucket, prefix.strip("/"))
    elif scheme == "file":
        parts = urlsplit(uri)
        if parts.netloc in ("", "localhost"):
            return FolderSource(uri, Path(unquote(parts.path)))
    raise PodledgerError(
        f"{uri!r} is no source of pod inventories. PODLEDGER_PODS takes {_SUPPORTED},"
        " several separated by commas."
    )
