"""Container Insights as a source: exports that are read once, a log group asked by day.

Holds which days are read and kept. Lines, events and hours are the other modules'.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pyarrow as pa

from orchestration.inventory.sources.container_insights.events import (
    FILTER_PATTERN,
    SAMPLES,
    EventReader,
)
from orchestration.inventory.sources.container_insights.hours import day_of_hours
from orchestration.inventory.sources.container_insights.lines import (
    EventFiles,
    FolderEvents,
    LogGroup,
    S3Events,
)
from orchestration.inventory.sources.days import DayFolder, day_start
from orchestration.inventory.sources.interface import Progress, SourceFile
from orchestration.inventory.spool import Spool
from orchestration.lake.cells import CODED
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

INTERVAL_SECONDS = 60
"""Time between two samples of an agent, as it is installed."""

LATE = dt.timedelta(minutes=30)
"""How long after a day its last events may come to CloudWatch."""

_DAY = dt.timedelta(days=1)
_MICROSECONDS_A_DAY = _DAY // dt.timedelta(microseconds=1)
_BATCH_ROWS = 32_768
_CODED_SAMPLES = pa.schema(
    [
        pa.field(column.name, CODED if pa.types.is_string(column.type) else column.type)
        for column in SAMPLES
    ]
)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class ContainerInsightsExport:
    """Exported events in a folder or below an S3 prefix.

    Attributes:
        uri: As configured.
        events: Where they lie.
        cluster: Only its events are read; None for all.
        interval: Seconds between two samples of an agent.
        now: The present, UTC.
    """

    uri: str
    events: EventFiles
    cluster: str | None = None
    interval: int = INTERVAL_SECONDS
    now: Callable[[], dt.datetime] = field(default=_now, compare=False)

    @classmethod
    def from_uri(cls, uri: str) -> ContainerInsightsExport:
        """``container-insights+file:///folder`` or ``container-insights+s3://bucket/prefix``.

        Raises:
            ValueError: A bucket is missing, a folder has a host, or an option is unknown.
        """
        parts = urlsplit(uri)
        options = _options(parts.query)
        path = unquote(parts.path)
        if parts.scheme.endswith("+s3"):
            if not parts.netloc:
                raise ValueError("it names no bucket")
            return cls(uri, S3Events(parts.netloc, path.strip("/")), **options)
        if parts.netloc not in ("", "localhost"):
            raise ValueError(
                "a folder has no host: write container-insights+file:///folder"
            )
        return cls(uri, FolderEvents(Path(path)), **options)

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Read all events once; what was made of them is kept until they change.

        Exports are made by stream and not by day, so that any line may be of any day.
        """
        named = DayFolder.of(self.uri, month, landing)
        folder = named.folder / self.events.state()
        days = DayFolder(self.uri, month, folder)
        now = self.now()
        missing = days.missing_days(now)
        if missing:
            reader = EventReader(self.cluster)
            landing.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=landing, prefix=".events-") as work:
                with Spool(Path(work) / "samples") as spool:
                    _spool(reader.samples(self.events.lines()), spool, month, self.interval)
                _require_cluster(self.uri, reader)
                for day in missing:
                    _write(days, day, now, spool, self.interval, Path(work), progress)
        return days.told(progress)


@dataclass(frozen=True)
class ContainerInsightsLogs:
    """A log group, asked for the days that are not here yet.

    Attributes:
        uri: As configured.
        group: The log group.
        cluster: Only its events are read; None for all.
        interval: Seconds between two samples of an agent.
        now: The present, UTC.
    """

    uri: str
    group: LogGroup
    cluster: str | None = None
    interval: int = INTERVAL_SECONDS
    now: Callable[[], dt.datetime] = field(default=_now, compare=False)

    @classmethod
    def from_uri(cls, uri: str) -> ContainerInsightsLogs:
        """``container-insights+logs://region/aws/containerinsights/cluster/performance``.

        Raises:
            ValueError: The Region or the log group is missing, or an option is unknown.
        """
        parts = urlsplit(uri)
        name = unquote(parts.path).strip("/")
        if not parts.netloc or not name:
            raise ValueError("write container-insights+logs://region/log-group")
        # AWS's own groups begin with a slash, which a path cannot tell from its own.
        group = LogGroup(parts.netloc, f"/{name}" if name.startswith("aws/") else name)
        return cls(uri, group, **_options(parts.query))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Ask for one day after the other, and for the interval before it."""
        days = DayFolder.of(self.uri, month, landing)
        now = self.now()
        landing.mkdir(parents=True, exist_ok=True)
        for day in days.missing_days(now):
            reader = EventReader(self.cluster)
            start = day_start(day) - dt.timedelta(seconds=self.interval)
            lines = self.group.lines(start, day_start(day) + _DAY, FILTER_PATTERN)
            with tempfile.TemporaryDirectory(dir=landing, prefix=".events-") as work:
                with Spool(Path(work) / "samples") as spool:
                    _spool(reader.samples(lines), spool, month, self.interval)
                if reader.clusters:
                    _require_cluster(self.uri, reader)
                _write(days, day, now, spool, self.interval, Path(work), progress)
        return days.told(progress)


def _spool(
    samples: Iterator[dict[str, Any]], spool: Spool, month: Month, interval: int
) -> None:
    """Part samples by day; those of a day's last interval are also the next day's."""
    start = int(month.start.timestamp()) * 1_000_000
    while chunk := list(islice(samples, _BATCH_ROWS)):
        batch = pa.RecordBatch.from_pylist(chunk, SAMPLES).cast(_CODED_SAMPLES)
        t = np.asarray(batch["t"]) - start
        for day in (t // _MICROSECONDS_A_DAY, _day_reached(t, interval)):
            is_wanted = (day >= 0) & (day < len(month.days))
            if is_wanted.any():
                spool.append(batch.filter(pa.array(is_wanted)), day[is_wanted])


def _day_reached(t: np.ndarray, interval: int) -> np.ndarray:
    """The day after a sample's, if its interval reaches into it; else -1."""
    day = t // _MICROSECONDS_A_DAY
    reached = (t + interval * 1_000_000) // _MICROSECONDS_A_DAY
    return np.where(reached > day, reached, -1)


def _write(
    days: DayFolder,
    day: dt.date,
    now: dt.datetime,
    spool: Spool,
    interval: int,
    work: Path,
    progress: Progress,
) -> None:
    """Make a day's hours and keep them; a day without a pod is asked for again."""
    bucket = days.month.days.index(day)
    hours = day_of_hours(spool.stream(bucket, _CODED_SAMPLES), day, now, interval, work)
    progress(
        f"{days.uri}: {day}: {len(hours.pod_hours):,} pod-hours on"
        f" {len(hours.node_hours):,} node-hours"
    )
    is_over = day_start(day) + _DAY + LATE <= now
    days.write(
        day,
        [hours.pod_hours],
        [hours.node_hours],
        hours.gaps,
        is_complete=is_over and len(hours.pod_hours) > 0,
    )


def _require_cluster(uri: str, reader: EventReader) -> None:
    """Refuse events that are all of other clusters: the name is misspelt."""
    if reader.cluster is None or reader.cluster in reader.clusters:
        return
    found = ", ".join(sorted(reader.clusters)) or "none at all"
    raise PodledgerError(
        f"{uri} has no performance event of the cluster {reader.cluster!r}, but of:"
        f" {found}. Correct cluster= in PODLEDGER_PODS."
    )


def _options(query: str) -> dict[str, Any]:
    """Options behind the question mark.

    Raises:
        ValueError: One is not known, given twice, or no value of its kind.
    """
    options = parse_qs(query, keep_blank_values=True)
    if unknown := options.keys() - {"cluster", "interval"}:
        raise ValueError(f"the option {min(unknown)} is not known")
    if any(len(values) > 1 or not values[0] for values in options.values()):
        raise ValueError("an option needs one value")
    chosen: dict[str, Any] = {}
    if "cluster" in options:
        chosen["cluster"] = options["cluster"][0]
    if "interval" in options:
        text = options["interval"][0]
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 3600:
            raise ValueError("interval= is seconds from 1 to 3600")
        chosen["interval"] = int(text)
    return chosen
