"""Whether a month could be closed here: looks at everything that a close needs.

Holds the questions and their answers. Nothing is changed, but that files of a remote
inventory are copied to the landing, where a close finds them again.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from orchestration.bill.catalogue import load_catalogue
from orchestration.bill.exports import Manifest, find_manifests, list_months
from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import open_warehouse
from orchestration.inventory.contract import CONTRACTS
from orchestration.inventory.readers import read_batches
from orchestration.inventory.sources import parse_source
from orchestration.inventory.sources.interface import SourceFile
from orchestration.lake.cells import BadCellError, as_moments
from orchestration.lake.errors import PodledgerError
from orchestration.lake.inputs import Inputs
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home
from orchestration.lake.schemas import STRING
from orchestration.lake.settings import Settings
from orchestration.ledger.book import latest
from orchestration.sample.inputs import find_inputs

PACKAGES = ("podledger", "dagster", "dbt-core", "dbt-duckdb", "duckdb", "pyarrow", "numba")
_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Finding:
    """One answer.

    Attributes:
        topic: What was looked at, in a word or two.
        is_ok: Whether a close would get past it.
        text: What was found and, if it is not ok, what to do.
    """

    topic: str
    is_ok: bool
    text: str


def examine(
    settings: Settings, month: Month, progress: Callable[[str], None]
) -> Iterator[Finding]:
    """Look at everything that closing the month needs, in the order of the close.

    Args:
        settings: Of the deployment.
        month: The month that is to be closed.
        progress: Called with one line for work that takes a while.

    Yields:
        One finding a question; a question that fails does not keep the next from being
        asked.
    """
    yield _versions()
    yield from _asked("home", lambda: _home(settings))
    try:
        inputs = find_inputs(settings, month)
    except PodledgerError as error:
        yield Finding("settings", is_ok=False, text=str(error))
        return
    if inputs is None or inputs.is_sample:
        made = "" if inputs else ", which the close makes"
        yield Finding(
            "settings",
            is_ok=True,
            text="PODLEDGER_BILL and PODLEDGER_PODS are not set, so this is the sample"
            f" month{made}. Set both for your own",
        )
    if inputs:
        yield from _bill(inputs, month, progress)
        yield from _inventory(inputs, month, progress)
    yield from _asked("catalogue", lambda: f"{len(load_catalogue()):,} instance types")
    yield from _asked("warehouse", lambda: _warehouse(settings))
    yield from _asked("published", lambda: _published(settings, month))


def _asked(topic: str, question: Callable[[], str]) -> Iterator[Finding]:
    """The answer, or the refusal in its own words."""
    try:
        yield Finding(topic, is_ok=True, text=question())
    except PodledgerError as error:
        yield Finding(topic, is_ok=False, text=str(error))


def _versions() -> Finding:
    python = ".".join(str(part) for part in sys.version_info[:3])
    found = [f"Python {python}", *(f"{name} {version(name)}" for name in PACKAGES)]
    return Finding("versions", is_ok=True, text=", ".join(found))


def _home(settings: Settings) -> str:
    nearest = next(
        folder for folder in (settings.home, *settings.home.parents) if folder.exists()
    )
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        setting = "PODLEDGER_WORK" if settings.remote else "PODLEDGER_HOME"
        raise PodledgerError(
            f"{settings.home} cannot be written to: {nearest} is not a folder of yours."
            f" Choose another {setting}, or have the folder's owner let you write to it."
        )
    free = os.statvfs(nearest)
    room = f"{settings.home}, {free.f_bavail * free.f_frsize / 1e9:,.0f} GB free"
    if settings.remote is None:
        return room
    # Any key will do: what is not there is refused too, where reading is.
    S3Home(settings.remote).read("published/_doctor")
    return f"{settings.remote} can be read; this machine works in {room}"


def _bill(
    inputs: Inputs, month: Month, progress: Callable[[str], None]
) -> Iterator[Finding]:
    found = False
    for root in inputs.bill_roots:
        progress(f"Looking for bills at {root}")
        try:
            manifests = [m for m in find_manifests(root) if m.month == month]
            months = list_months(root)
        except PodledgerError as error:
            yield Finding("bill", is_ok=False, text=str(error))
            continue
        found = found or month in months
        yield Finding(
            "bill", is_ok=True, text=f"{root}: {_deliveries(manifests, months, month)}"
        )
    if inputs.bill_roots and not found:
        yield Finding(
            "bill",
            is_ok=False,
            text=f"No root has a bill for {month}. Wait for its delivery, choose another"
            " month, or correct PODLEDGER_BILL.",
        )


def _deliveries(manifests: list[Manifest], months: list[Month], month: Month) -> str:
    if manifests:
        return "; ".join(
            f"{one.export} of {month}, delivered {one.last_modified:%Y-%m-%d %H:%M} UTC"
            for one in sorted(manifests, key=lambda one: one.export)
        )
    if month in months:
        return f"Parquet of {month} in Athena's layout, without a manifest"
    if months:
        return f"{months[0]} to {months[-1]}, nothing of {month}"
    return "no bill at all"


def _inventory(
    inputs: Inputs, month: Month, progress: Callable[[str], None]
) -> Iterator[Finding]:
    for root in inputs.pod_roots:
        try:
            source = parse_source(root)
            uri = source.uri
            progress(f"Looking for pods at {uri}")
            # What is fetched is the close's to keep: here, one only looks.
            with TemporaryDirectory() as landing:
                files = source.fetch(month, Path(landing), progress)
                clusters = _hours(files, month)
        except PodledgerError as error:
            yield Finding("inventory", is_ok=False, text=str(error))
            continue
        if not clusters:
            yield Finding(
                "inventory",
                is_ok=False,
                text=f"{uri}: no pods for {month} in {len(files):,} files; all node cost"
                " would be unallocated. Check PODLEDGER_PODS and the month.",
            )
        for cluster, hours in sorted(clusters.items()):
            yield _coverage(f"{uri}: {cluster or 'a cluster without a name'}", hours)


def _coverage(place: str, hours: set[dt.datetime]) -> Finding:
    """A cluster may begin or end within the month; a hole in between is lost data."""
    first, last = min(hours), max(hours)
    missing = [
        hour
        for n in range(int((last - first) / _HOUR))
        if (hour := first + n * _HOUR) not in hours
    ]
    period = f"from {first:%Y-%m-%d %H:%M} to {last + _HOUR:%Y-%m-%d %H:%M}"
    if not missing:
        text = f"{place} has pods in all {len(hours)} hours {period}"
        return Finding("inventory", is_ok=True, text=text)
    return Finding(
        "inventory",
        is_ok=False,
        text=f"{place} has pods {period}, but in {len(missing):,} hours of it none, first"
        f" at {missing[0]:%Y-%m-%d %H:%M}: nodes of these hours would be unallocated. Fill"
        " them at the source.",
    )


def _hours(files: Sequence[SourceFile], month: Month) -> dict[str, set[dt.datetime]]:
    """Hours of the month in which a cluster has pods, by cluster."""
    contract = CONTRACTS["pod_hours"]
    only = replace(
        contract,
        columns=tuple(
            c for c in contract.columns if c.name in ("cluster_name", "usage_hour")
        ),
    )
    start, end = (moment.replace(tzinfo=None) for moment in (month.start, month.end))
    found: dict[str, set[dt.datetime]] = {}
    with TemporaryDirectory() as folder, connect(Path(folder)) as connection:
        for file in (file for file in files if file.kind == "pod_hours"):
            for batch in read_batches(file, only, Path(folder), connection):
                for cluster, hour in _distinct(batch, file):
                    if start <= hour < end:
                        found.setdefault(cluster or "", set()).add(hour)
    return found


def _distinct(
    batch: pa.RecordBatch, file: SourceFile
) -> Iterator[tuple[str | None, dt.datetime]]:
    try:
        hours = as_moments(batch["usage_hour"])
    except BadCellError as error:
        raise PodledgerError(
            f"{file}: usage_hour: {error.problem}. Correct the file at its source."
        ) from error
    names = (
        batch["cluster_name"].cast(STRING)
        if "cluster_name" in batch.schema.names
        else pa.nulls(len(batch), STRING)
    )
    pairs = pa.table({"cluster": names, "hour": hours}).group_by(["cluster", "hour"])
    for row in pairs.aggregate([]).to_pylist():
        if row["hour"] is not None:
            yield row["cluster"], row["hour"]


def _warehouse(settings: Settings) -> str:
    if not settings.warehouse.exists():
        return "not built yet; the first close builds it"
    with open_warehouse(settings.warehouse):
        return f"{settings.warehouse}, not in use"


def _published(settings: Settings, month: Month) -> str:
    with TemporaryDirectory() as copies:
        # Of a revision in S3, reading leaves a copy of the manifest.
        published = Path(copies) if settings.remote else settings.published
        newest = latest(published, month, settings.remote)
    if newest is None:
        return f"{month} is not published yet"
    return f"{month} has revision {newest.number}, in {newest.address}"
