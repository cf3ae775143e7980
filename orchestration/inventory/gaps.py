"""Gaps: times of which an inventory knows nothing, or less than it should.

Holds what a gap is, how a file tells it, and how gaps that touch become one. A file of the
inventory tells its gaps as JSON in its Parquet metadata, so that they are never apart from
their rows; what a gap puts at risk is the close's to say.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from orchestration.lake.errors import PodledgerError

GAPS = b"podledger.gaps"
"""Key of the Parquet metadata that holds the gaps of a file."""


@dataclass(frozen=True, order=True)
class Gap:
    """A time of which a source knows nothing, or less than it should.

    Attributes:
        start: Its begin, UTC.
        end: Its end, UTC, exclusive.
        subject: What is missing, a metric or a kind of event.
        consequence: What it does to the rows, a phrase for people.
        cluster_name: Whose it is; empty: every cluster of the source.
        instance_id: EC2 id of the one node that it is about; empty: every node.
    """

    start: dt.datetime
    end: dt.datetime
    subject: str
    consequence: str
    cluster_name: str = ""
    instance_id: str = ""

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.end - self.start) / dt.timedelta(hours=1)

    def __str__(self) -> str:
        node = f" of {self.instance_id}" if self.instance_id else ""
        return (
            f"no {self.subject}{node} from {self.start:%Y-%m-%d %H:%M} to"
            f" {self.end:%Y-%m-%d %H:%M} UTC ({self.hours:.1f} h): {self.consequence}"
        )


def gap_metadata(gaps: Iterable[Gap]) -> dict[bytes, bytes]:
    """What the metadata of a Parquet file says of its gaps; the same for any order."""
    told = [
        {
            name: value.isoformat() if isinstance(value, dt.datetime) else value
            for name, value in asdict(gap).items()
            if value
        }
        for gap in sorted(gaps)
    ]
    return {GAPS: json.dumps(told).encode()}


def read_gaps(metadata: Mapping[bytes, bytes] | None, place: str) -> list[Gap]:
    """The gaps that a Parquet file tells; none if it says nothing of gaps.

    Args:
        metadata: The metadata of its schema.
        place: The file, for the message.

    Raises:
        PodledgerError: They are told, and not as ``gap_metadata`` does.
    """
    try:
        return [_read_gap(**gap) for gap in json.loads((metadata or {}).get(GAPS, b"[]"))]
    except (TypeError, ValueError) as error:
        raise PodledgerError(
            f"{place} declares gaps that cannot be read ({error}). The"
            f" metadata {GAPS.decode()} is a JSON list of objects with start and end (ISO"
            " 8601, with a zone), subject, consequence and, where known, cluster_name and"
            " instance_id: write the file again."
        ) from error


def _read_gap(start: str, end: str, subject: str, consequence: str, **whose: str) -> Gap:
    begun, ended = (dt.datetime.fromisoformat(moment) for moment in (start, end))
    if begun.tzinfo is None or ended.tzinfo is None:
        raise ValueError("a moment has no zone")
    if begun >= ended:
        raise ValueError(f"{start} is not before {end}")
    if not all(isinstance(text, str) for text in (subject, consequence, *whose.values())):
        raise TypeError("a text is none")
    utc = dt.UTC
    return Gap(begun.astimezone(utc), ended.astimezone(utc), subject, consequence, **whose)


def joined(gaps: Iterable[Gap]) -> list[Gap]:
    """The gaps in order, each once; those of one kind that overlap or touch are one."""
    whole: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: (_kind(gap), gap.start, gap.end)):
        if whole and _kind(whole[-1]) == _kind(gap) and gap.start <= whole[-1].end:
            last = whole.pop()
            gap = replace(last, end=max(last.end, gap.end))
        whole.append(gap)
    return sorted(whole)


def _kind(gap: Gap) -> tuple[str, ...]:
    return gap.subject, gap.consequence, gap.cluster_name, gap.instance_id


def stretches(
    hours: Iterable[dt.datetime], subject: str, consequence: str, instance_id: str = ""
) -> list[Gap]:
    """Hours of which nothing is known as gaps, those that touch as one.

    Args:
        hours: Starts of the hours, UTC, in any order.
        subject: As in ``Gap``.
        consequence: As in ``Gap``.
        instance_id: As in ``Gap``.
    """
    return joined(
        Gap(
            hour,
            hour + dt.timedelta(hours=1),
            subject,
            consequence,
            instance_id=instance_id,
        )
        for hour in hours
    )
