"""What AWS says it delivered: manifests, found and read.

Holds the layouts of AWS's exports: where a root keeps its months, which manifest is a
month's current one, and which files it names. Files are mapped by the manifest's own place
in its layout, never by listing. Turning names into files on disk is in ``exports.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from orchestration.bill.stores import Entry, Store
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

Layout = Literal[
    "legacy-overwrite", "legacy-create-new", "cur2-overwrite", "cur2-create-new", "athena"
]
"""How AWS lays an export out; ``athena`` is legacy Parquet that has no manifest."""

_MANIFEST_SUFFIX = "-Manifest.json"
_MAX_DEPTH = 8
"""Folders below a root that are looked through; AWS itself adds four to a prefix."""


@dataclass(frozen=True)
class Place:
    """A folder that by its name belongs to one month of one export.

    ``export_folder`` holds the export, ``folder`` the month's manifest (or, for
    ``athena``, the month's files). Both are relative to the root and end in a slash,
    or are empty for the root itself.
    """

    kind: Literal["legacy", "cur2", "athena"]
    month: Month
    export_folder: str
    folder: str


@dataclass(frozen=True)
class NamedFile:
    """A file that a manifest names: as it names it, and where it must lie in the root."""

    name: str
    key: str


@dataclass(frozen=True)
class Contents:
    """What one month's current manifest says."""

    export: str
    layout: Layout
    delivery_id: str
    manifest_key: str | None
    files: tuple[NamedFile, ...]
    notes: tuple[str, ...]


def find_places(store: Store) -> list[Place]:
    """Look through a root for months of exports, in order of their folders."""
    return list(_walk(store, "", _MAX_DEPTH))


def current_manifest(store: Store, place: Place) -> tuple[Entry, tuple[str, ...]] | None:
    """Find the manifest that speaks for a place, with notes on how it was chosen.

    Returns:
        The manifest's entry and notes, or None where there is no manifest.

    Raises:
        PodledgerError: Several manifests could be the current one.
    """
    listing = store.listing(place.folder)
    found = _only_manifest(store, place.folder, listing.files)
    if found is not None:
        return found, ()
    executions = [
        manifest
        for folder in listing.folders
        if (manifest := _only_manifest(store, folder, store.listing(folder).files))
    ]
    if not executions:
        return None
    if place.kind == "legacy" and len(executions) > 1:
        raise PodledgerError(
            f"{_at(store, place.folder)} holds {len(executions)} versions of the bill and"
            " no manifest of its own that says which is current. Copy the report's"
            f" *{_MANIFEST_SUFFIX} of that folder from S3, too."
        )
    # Folders of executions begin with their timestamp, so the last by name is the newest.
    newest = executions[-1]
    return newest, (f"the manifest was taken from {newest.key}",)


def read_manifest(store: Store, place: Place) -> Contents | None:
    """Read the current manifest of a place.

    Returns:
        What it says, or None where there is no manifest.

    Raises:
        PodledgerError: The manifest cannot be read, is of another month, or names no
            file, a file of another bucket, or one outside of its export.
    """
    current = current_manifest(store, place)
    if current is None:
        return None
    entry, notes = current
    content = store.read(entry.key)
    where = _at(store, entry.key)
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise PodledgerError(
            f"The manifest {where} is not valid JSON ({error}). Copy it again from S3."
        ) from error
    key_field = "reportKeys" if place.kind == "legacy" else "dataFiles"
    if not isinstance(manifest, dict) or not isinstance(manifest.get(key_field), list):
        raise PodledgerError(
            f"The manifest {where} has no list of {key_field!r}, so it is not one of a"
            f" {'legacy Cost and Usage Report' if place.kind == 'legacy' else 'CUR 2.0'}."
            " Point PODLEDGER_BILL at the folder of a Cost and Usage Report."
        )
    _check_period(manifest, place, where)
    names = [str(name) for name in manifest[key_field]]
    if not names:
        raise PodledgerError(
            f"The manifest {where} names no files. Wait for AWS's next delivery of"
            f" {place.month}, or have AWS Support backfill the month."
        )
    files = tuple(
        NamedFile(name, _locate(key, name, place, where))
        for name, key in zip(names, _keys(names, manifest, store, where), strict=True)
    )
    if len({file.key for file in files}) < len(files):
        raise PodledgerError(
            f"The manifest {where} names a file twice, and its lines would count twice."
            " Copy the manifest again from S3."
        )
    return Contents(
        export=str(manifest.get("reportName") or entry.name.removesuffix(_MANIFEST_SUFFIX)),
        layout=_layout(place, files),
        delivery_id=_delivery_id(manifest, place, files, content),
        manifest_key=entry.key,
        files=files,
        notes=notes,
    )


def _walk(store: Store, folder: str, depth: int) -> Iterator[Place]:
    for sub in store.listing(folder).folders:
        name = _last(sub)
        if period := _legacy_period(name):
            yield Place("legacy", period, folder, sub)
        elif name.startswith("BILLING_PERIOD="):
            month = _month_or_none(name.removeprefix("BILLING_PERIOD="))
            if month and _last(folder) == "metadata":
                yield Place("cur2", month, parent_folder(folder), sub)
        elif year := re.fullmatch(r"year=(\d{4})", name):
            for month_folder in store.listing(sub).folders:
                number = re.fullmatch(r"month=(\d{1,2})", _last(month_folder))
                month = number and _month_or_none(f"{year[1]}-{number[1]:0>2}")
                if month:
                    yield Place("athena", month, folder, month_folder)
        elif "=" not in name and depth > 1:
            yield from _walk(store, sub, depth - 1)


def _legacy_period(name: str) -> Month | None:
    """The month of a folder like ``20261001-20261101``."""
    match = re.fullmatch(r"(\d{4})(\d{2})01-(\d{8})", name)
    month = match and _month_or_none(f"{match[1]}-{match[2]}")
    if match and month and match[3] == f"{month.end:%Y%m%d}":
        return month
    return None


def _month_or_none(text: str) -> Month | None:
    try:
        return Month.parse(text)
    except PodledgerError:
        return None


def _only_manifest(store: Store, folder: str, files: tuple[Entry, ...]) -> Entry | None:
    manifests = [entry for entry in files if entry.name.endswith(_MANIFEST_SUFFIX)]
    if len(manifests) > 1:
        raise PodledgerError(
            f"{_at(store, folder)} holds several manifests"
            f" ({', '.join(entry.name for entry in manifests)}), and only one can be the"
            " month's. Remove those that belong to other exports."
        )
    return manifests[0] if manifests else None


def _check_period(manifest: dict[str, Any], place: Place, where: str) -> None:
    """Hold the manifest's own billing period against the month of its folder."""
    period = manifest.get("billingPeriod")
    start = str(period.get("start", "")) if isinstance(period, dict) else ""
    digits = re.sub(r"\D", "", start)[:8]
    if digits and digits != f"{place.month.start:%Y%m%d}":
        raise PodledgerError(
            f"The manifest {where} is of a billing period that starts on {start}, and its"
            f" folder is of {place.month}. Copy the export again from S3."
        )


def _keys(
    names: list[str], manifest: dict[str, Any], store: Store, where: str
) -> list[str]:
    """Strip ``s3://bucket/`` off the names, and hold all buckets against each other."""
    buckets = {store.bucket} if store.bucket else set()
    buckets |= {str(manifest["bucket"])} if manifest.get("bucket") else set()
    keys = []
    for name in names:
        if uri := re.fullmatch(r"s3://([^/]+)/(.*)", name, re.DOTALL):
            buckets.add(uri[1])
            keys.append(uri[2])
        else:
            keys.append(name)
    if len(buckets) > 1:
        raise PodledgerError(
            f"The manifest {where} names files of more than one bucket"
            f" ({', '.join(sorted(buckets))}), and an export lies in one. Point"
            " PODLEDGER_BILL at the bucket that AWS delivers to, or at a folder with a"
            " copy of it."
        )
    return keys


def _locate(key: str, name: str, place: Place, where: str) -> str:
    """Where a named file must lie, relative to the root.

    The manifest may come from a bucket with other prefixes than the root: only what
    follows the export's own folder counts.
    """
    parts = key.split("/")
    if {"..", "."} & set(parts) or "\\" in key or "\0" in key:
        raise PodledgerError(
            f"The manifest {where} names {name!r}, which leads out of its export. It is"
            " not read; copy the manifest again from S3."
        )
    if place.kind == "legacy":
        match = re.search(r"(?:^|/)(\d{8}-\d{8})/(.+)$", key)
        if match and match[1] == _last(place.folder):
            return place.folder + match[2]
        # Reports for Athena keep their files beside the folder of the manifest.
        athena = re.search(r"(?:^|/)([^/]+/year=(\d{4})/month=(\d{1,2})/[^/]+)$", key)
        if athena and _month_or_none(f"{athena[2]}-{athena[3]:0>2}") == place.month:
            return place.export_folder + athena[1]
    else:
        match = re.search(r"(?:^|/)(data/BILLING_PERIOD=([^/]+)/.+)$", key)
        if match and match[2] == place.month.label:
            return place.export_folder + match[1]
    raise PodledgerError(
        f"The manifest {where} names {name!r}, which is not a file of its export's"
        f" {place.month}. It is not read; copy the manifest again from S3."
    )


def _layout(place: Place, files: tuple[NamedFile, ...]) -> Layout:
    """Overwritten files lie in the month's folder itself, new ones in a folder below."""
    if place.kind == "legacy":
        below = files[0].key.removeprefix(place.folder)
        is_new = "/" in below and "year=" not in below
        return "legacy-create-new" if is_new else "legacy-overwrite"
    return "cur2-create-new" if _execution_folder(files[0].key) else "cur2-overwrite"


def _delivery_id(
    manifest: dict[str, Any], place: Place, files: tuple[NamedFile, ...], content: bytes
) -> str:
    """AWS's id of the delivery, else a digest of its manifest."""
    named = manifest.get("assemblyId" if place.kind == "legacy" else "executionId")
    if named:
        return str(named)
    folder = _execution_folder(files[0].key) if place.kind == "cur2" else None
    return folder or hashlib.sha256(content).hexdigest()[:32]


def _execution_folder(key: str) -> str | None:
    """The folder of one execution, between the billing period and the file."""
    match = re.search(r"BILLING_PERIOD=[^/]+/([^/]+)/", key)
    return match[1] if match else None


def _at(store: Store, key: str) -> str:
    return f"{store.root.removesuffix('/')}/{key}"


def _last(folder: str) -> str:
    return folder.rstrip("/").rpartition("/")[2]


def parent_folder(folder: str) -> str:
    """The folder above; ``""`` above the topmost."""
    parent, slash, _ = folder.rstrip("/").rpartition("/")
    return parent + slash
