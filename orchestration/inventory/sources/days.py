"""Day files: how a source that asks a server keeps what it was told.

Holds where such a source's month lies, what makes a day complete, and the writing of a day
whole or not at all. A day is asked for once after it is over; a month that is closed again
reads the same files, whatever the server still knows. What the rows mean is the contract's.

    <landing>/<source id>/<YYYY-MM>/pod_hours/2026-10-01.parquet
                                    node_hours/2026-10-01.parquet
                                    quota_hours/2026-10-01.parquet   where asked for
                                    days/2026-10-01.json     written last: the day stands
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.inventory.gaps import Gap, gap_metadata, joined, read_gaps
from orchestration.inventory.sources.interface import Kind, Progress, SourceFile
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import NODE_HOURS, POD_HOURS, QUOTA_HOURS

DAY_POD_HOURS = POD_HOURS
"""Rows of a day of pods; maps are JSON objects in text, as in the lake."""

DAY_NODE_HOURS = NODE_HOURS.remove(NODE_HOURS.get_field_index("sharing_labels"))
"""Rows of a day of nodes; the ingest derives the rest."""

DAY_QUOTA_HOURS = QUOTA_HOURS.remove(QUOTA_HOURS.get_field_index("devices_hard"))
"""Rows of a day of quotas."""

LAYOUT = 2
"""Raise it when rows of an older writer may not be read any more: days are asked again."""

_SCHEMAS: dict[Kind, pa.Schema] = {
    "pod_hours": DAY_POD_HOURS,
    "node_hours": DAY_NODE_HOURS,
    "quota_hours": DAY_QUOTA_HOURS,
}


@dataclass(frozen=True)
class DayFolder:
    """A source's month below ``landing``.

    Attributes:
        uri: The source as configured, without secrets; names it in the files' list.
        month: The month.
        folder: Where its files lie.
    """

    uri: str
    month: Month
    folder: Path

    @classmethod
    def of(cls, uri: str, month: Month, landing: Path) -> DayFolder:
        """The folder of a source's month; made when a day is written.

        Args:
            uri: The source without secrets; another text is another source.
            month: The month.
            landing: As given to ``Source.fetch``.
        """
        digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
        readable = re.sub(r"[^a-z0-9]+", "-", uri.lower()).strip("-")[:60].rstrip("-")
        return cls(uri, month, landing / f"{readable}-{digest}" / month.label)

    def missing_days(self, now: dt.datetime) -> list[dt.date]:
        """Days of the month that have begun and are not complete here, in order.

        Args:
            now: The present, UTC; a day that is not over is always missing.
        """
        return [
            day
            for day in self.month.days
            if day_start(day) < now and not self._stands_complete(day)
        ]

    def write(
        self,
        day: dt.date,
        pod_hours: Iterable[pa.RecordBatch | pa.Table],
        node_hours: Iterable[pa.RecordBatch | pa.Table],
        gaps: Sequence[Gap] = (),
        *,
        is_complete: bool,
        quota_hours: Iterable[pa.RecordBatch | pa.Table] | None = None,
    ) -> None:
        """Write a day, whole or not at all, in place of what was there.

        Args:
            day: A day of the month; every row's hour is of it.
            pod_hours: Rows of ``DAY_POD_HOURS``, as many batches as there are.
            node_hours: Rows of ``DAY_NODE_HOURS``.
            gaps: What the source does not know of the day.
            is_complete: Whether the day is over and its rows are final. An incomplete day
                is read, and asked for again at the next fetch.
            quota_hours: Rows of ``DAY_QUOTA_HOURS``; None if they were not asked for.
        """
        record = self._record(day)
        rows: dict[Kind, Iterable[pa.RecordBatch | pa.Table]] = {
            "pod_hours": pod_hours,
            "node_hours": node_hours,
        }
        if quota_hours is not None:
            rows["quota_hours"] = quota_hours
        partials: dict[Path, Path] = {}
        try:
            for kind, batches in rows.items():
                path = self._rows(kind, day)
                path.parent.mkdir(parents=True, exist_ok=True)
                partials[path] = path.with_name(f".{uuid.uuid4().hex}.partial")
                schema = _SCHEMAS[kind]
                if kind == "pod_hours":
                    schema = schema.with_metadata(gap_metadata(gaps))
                _write_rows(batches, schema, partials[path])
            record.parent.mkdir(parents=True, exist_ok=True)
            partials[record] = record.with_name(f".{uuid.uuid4().hex}.partial")
            stands = {"layout": LAYOUT, "is_complete": is_complete}
            partials[record].write_text(json.dumps(stands) + "\n")
            # Between the renames the day has no record: a crash there asks for it again.
            record.unlink(missing_ok=True)
            for path, partial in partials.items():
                partial.replace(path)
        finally:
            for partial in partials.values():
                partial.unlink(missing_ok=True)

    def files(self) -> list[SourceFile]:
        """The files of all days that stand, ordered by name."""
        kinds: tuple[Kind, ...] = ("node_hours", "pod_hours", "quota_hours")
        return [
            SourceFile(
                source=self.uri,
                name=f"{self.month.label}/{kind}/{day}.parquet",
                kind=kind,
                file_format="parquet",
                is_gzipped=False,
                path=self._rows(kind, day),
            )
            for kind in kinds
            for day in self.month.days
            if self._record(day).is_file()
            and (kind != "quota_hours" or self._rows(kind, day).is_file())
        ]

    def told(self, progress: Progress) -> list[SourceFile]:
        """The files of all days that stand, after each gap in them was told."""
        for gap in self.gaps():
            progress(f"{self.uri}: {gap}")
        return self.files()

    def gaps(self) -> list[Gap]:
        """What the source said that it does not know of the days that stand, in order.

        Gaps that go on at midnight are one.
        """
        return joined(
            gap
            for day in self.month.days
            if self._record(day).is_file()
            for gap in read_gaps(
                pq.read_schema(self._rows("pod_hours", day)).metadata,
                str(self._rows("pod_hours", day)),
            )
        )

    def _stands_complete(self, day: dt.date) -> bool:
        record = self._read_record(day)
        return bool(record.get("is_complete")) and record.get("layout") == LAYOUT

    def _read_record(self, day: dt.date) -> dict[str, Any]:
        path = self._record(day)
        if not path.is_file():
            return {}
        try:
            record = json.loads(path.read_text())
        except ValueError as error:
            raise PodledgerError(
                f"{path} is damaged ({error}). Delete it, so that {self.uri} is asked for"
                f" {day} again."
            ) from error
        return dict(record)

    def _record(self, day: dt.date) -> Path:
        return self.folder / "days" / f"{day}.json"

    def _rows(self, kind: Kind, day: dt.date) -> Path:
        return self.folder / kind / f"{day}.parquet"


def day_start(day: dt.date) -> dt.datetime:
    """The first instant of a day, UTC."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def _write_rows(
    batches: Iterable[pa.RecordBatch | pa.Table], schema: pa.Schema, path: Path
) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for batch in batches:
            table = (
                pa.Table.from_batches([batch])
                if isinstance(batch, pa.RecordBatch)
                else batch
            )
            writer.write_table(table.select(schema.names).cast(schema))
