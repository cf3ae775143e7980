"""The deliveries of a month: what AWS exported to the roots, as files on this machine.

Holds which exports a month consists of, and what a root offers for other months. How AWS
lays exports out is in ``manifests.py``; what the files hold is for ``lines.py`` to read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration.bill.landing import land
from orchestration.bill.manifests import (
    Contents,
    Layout,
    NamedFile,
    Place,
    current_manifest,
    find_places,
    parent_folder,
    read_manifest,
)
from orchestration.bill.remedies import remedy
from orchestration.bill.stores import FolderStore, S3Store, Store, open_store
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

Format = Literal["parquet", "csv", "csv.zip"]
"""How a delivery's files are written; ``csv`` may be gzipped, as ``.csv.gz``."""


@dataclass(frozen=True)
class DeliveryFile:
    """One file of a delivery: as its manifest names it, and where it lies on disk."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Delivery:
    """One month of one export, as AWS last delivered it.

    ``delivery_id`` is AWS's assembly or execution id, else a digest of the manifest.
    ``manifest`` is the manifest's key below the root, None where there is none.
    """

    root: str
    export: str
    layout: Layout
    delivery_id: str
    month: Month
    format: Format
    files: tuple[DeliveryFile, ...]
    manifest: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A manifest that lies in a root: tells when a month was delivered again.

    ``etag`` changes with the manifest's content.
    """

    root: str
    export: str
    month: Month
    key: str
    etag: str
    last_modified: dt.datetime


def find_deliveries(
    roots: Sequence[str],
    month: Month,
    *,
    landing: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Delivery]:
    """Find the month's current delivery of every export below the roots.

    Objects in S3 are copied to ``landing`` first; files in folders are read in place.

    Args:
        roots: Folders or ``s3://bucket/prefix`` addresses: an export's own folder, or any
            folder above one or more exports.
        month: The billing month.
        landing: Folder for copies of S3 objects,
            ``<bucket>/<export's folder>/<YYYY-MM>/<delivery id>/...``.
        progress: Told what is copied.

    Returns:
        One delivery an export, in order of roots and folders.

    Raises:
        PodledgerError: A root cannot be read, has no bill for the month although it has
            earlier ones, or a manifest is not to be trusted; or no root has the month.
    """
    deliveries: list[Delivery] = []
    offered: dict[str, list[Month]] = {}
    for root in roots:
        store = open_store(root)
        places = find_places(store)
        found = _deliveries_of(store, places, month, landing, progress)
        offered[root] = sorted({place.month for place in places} - {month})
        if not found and any(other < month for other in offered[root]):
            raise _nothing_found({root: offered[root]}, month)
        if not found and not offered[root]:
            _refuse_bare_files(store)
        deliveries += found
    if not deliveries:
        raise _nothing_found(offered, month)
    return deliveries


def find_manifests(root: str) -> list[Manifest]:
    """List the current manifest of every export and month below a root.

    Raises:
        PodledgerError: The root cannot be read.
    """
    store = open_store(root)
    manifests = []
    for place in find_places(store):
        current = None if place.kind == "athena" else current_manifest(store, place)
        if current is not None:
            entry, _ = current
            manifests.append(
                Manifest(
                    root=root,
                    export=entry.name.removesuffix("-Manifest.json"),
                    month=place.month,
                    key=entry.key,
                    etag=store.etag(entry.key),
                    last_modified=entry.last_modified,
                )
            )
    return manifests


def list_months(root: str) -> list[Month]:
    """Months that a root has a bill for, in order.

    Raises:
        PodledgerError: The root cannot be read.
    """
    return sorted({place.month for place in find_places(open_store(root))})


def _deliveries_of(
    store: Store,
    places: Sequence[Place],
    month: Month,
    landing: Path,
    progress: Callable[[str], None],
) -> list[Delivery]:
    """Deliveries of one root; Athena's folders count only where no manifest stands."""
    deliveries = []
    exports_with_manifest: set[str] = set()
    candidates = [place for place in places if place.month == month]
    for place in sorted(candidates, key=lambda place: place.kind == "athena"):
        if place.kind == "athena":
            folder = place.export_folder
            if exports_with_manifest & {folder, parent_folder(folder)}:
                continue
            contents = _athena_contents(store, place)
        else:
            contents = read_manifest(store, place)
            if contents is not None:
                exports_with_manifest.add(place.export_folder)
        if contents is not None:
            deliveries.append(_delivery(store, place, contents, landing, progress))
    return deliveries


def _athena_contents(store: Store, place: Place) -> Contents | None:
    """Take Parquet files that lie in Athena's layout, without a manifest to name them."""
    entries = [
        entry
        for entry in store.listing(place.folder).files
        if entry.name.endswith(".parquet")
    ]
    if not entries:
        return None
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.key} {entry.size} {store.etag(entry.key)}\n".encode())
    folder = place.export_folder.rstrip("/") or store.root.rstrip("/")
    return Contents(
        export=folder.rpartition("/")[2],
        layout="athena",
        delivery_id=digest.hexdigest()[:32],
        manifest_key=None,
        files=tuple(NamedFile(entry.key, entry.key) for entry in entries),
        notes=(
            f"{place.folder} has no manifest: all {len(entries)} Parquet files that lie"
            " there are read, and none can be known to be missing",
        ),
    )


def _delivery(
    store: Store,
    place: Place,
    contents: Contents,
    landing: Path,
    progress: Callable[[str], None],
) -> Delivery:
    """Bring the files that the contents name to disk."""
    files = []
    for file in contents.files:
        if isinstance(store, S3Store):
            folder = _landing_folder(landing, store, place, contents)
            target = folder / file.key.removeprefix(place.export_folder)
            path = land(store, file.key, target, progress=progress)
        else:
            path = _path_on_disk(store, file, contents)
        files.append(DeliveryFile(file.name, path, path.stat().st_size))
    return Delivery(
        root=store.root,
        export=contents.export,
        layout=contents.layout,
        delivery_id=contents.delivery_id,
        month=place.month,
        format=_format(contents, store),
        files=tuple(files),
        manifest=contents.manifest_key,
        notes=contents.notes,
    )


def _landing_folder(
    landing: Path, store: S3Store, place: Place, contents: Contents
) -> Path:
    """A delivery's own folder: two exports may bear one name in two places."""
    where = [store.bucket, *store.key(place.export_folder).strip("/").split("/")]
    return landing.joinpath(
        *(_folder_name(part) for part in where if part),
        place.month.label,
        _folder_name(contents.delivery_id),
    )


def _path_on_disk(store: FolderStore, file: NamedFile, contents: Contents) -> Path:
    path = store.path(file.key)
    if not path.is_file():
        raise PodledgerError(
            f"The manifest {contents.manifest_key} in {store.root} names {file.name}, and"
            f" there is no {path}. Copy the export again, all of it."
        )
    return path


def _format(contents: Contents, store: Store) -> Format:
    formats = {_format_of(file.name) for file in contents.files}
    if len(formats) == 1 and (only := formats.pop()) is not None:
        return only
    raise PodledgerError(
        f"The manifest {contents.manifest_key} in {store.root} names files that are not"
        f" all Parquet, .csv.gz or .csv.zip. {remedy('format', contents.layout)}"
    )


def _format_of(name: str) -> Format | None:
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    return "csv.zip" if name.endswith((".csv.zip", ".zip")) else None


def _folder_name(text: str) -> str:
    """A text as the name of one folder."""
    return re.sub(r"[^\w.=-]", "_", text).lstrip(".") or "_"


def _refuse_bare_files(store: Store) -> None:
    """A folder of Parquet files says neither whose month they are nor that all are there.

    Raises:
        PodledgerError: The root directly holds Parquet files.
    """
    bare = [entry.name for entry in store.listing("").files if ".parquet" in entry.name]
    if bare:
        raise PodledgerError(
            f"The bill's root {store.root} holds Parquet files ({bare[0]}"
            f"{', ...' if len(bare) > 1 else ''}) and nothing that says which month they"
            " belong to. Point PODLEDGER_BILL at a copy of the export's whole folder with"
            " its manifest, or put the files of a month beneath"
            " <report>/<report>/year=YYYY/month=M/ as AWS does for Athena."
        )


def _nothing_found(offered: dict[str, list[Month]], month: Month) -> PodledgerError:
    roots = "; ".join(
        f"{root} has {', '.join(map(str, months)) if months else 'no month at all'}"
        for root, months in offered.items()
    )
    return PodledgerError(
        f"There is no bill for {month} ({roots or 'no root was given'}). Looked for"
        f" */{month.start:%Y%m%d}-{month.end:%Y%m%d}/*-Manifest.json (legacy reports),"
        f" */metadata/BILLING_PERIOD={month}/*-Manifest.json (CUR 2.0) and"
        f" */year={month.year}/month={month.month}/*.parquet (Athena). Wait for the"
        " delivery, choose another month, or correct PODLEDGER_BILL."
    )
