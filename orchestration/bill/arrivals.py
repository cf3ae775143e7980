"""Which months a new delivery of the bill restates: manifests held against a cursor.

Holds that one decision, free of Dagster and of clocks. Manifests are found by
``exports.py``, and requested by ``automation/deliveries.py``.

A delivery is new when the manifest at its key has another etag than at the last look. What
one look finds of a month is one request, because a close reads every export of the month.
The first look has nothing to compare with: it requests a month only if it was published
before its bill was delivered, so that a fresh cursor neither asks for all of history nor
loses what AWS restated in the meantime.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from orchestration.bill.exports import Manifest
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

LOOKBACK = dt.timedelta(days=120)
"""How long after its end a month is closed again by itself. AWS settles a bill within two
weeks; credits and refunds come later, and what comes later still is a person's decision."""


@dataclass(frozen=True)
class Cursor:
    """Manifests that were seen: root -> key -> etag."""

    seen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Read what ``to_text`` wrote; None or nothing is a first look.

        Raises:
            PodledgerError: The text is not a cursor.
        """
        try:
            seen = json.loads(text) if text else {}
            return cls({root: dict(etags) for root, etags in seen.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise PodledgerError(
                f"The cursor of the bill's sensor is not readable ({text!r:.80}). Reset it"
                " in Dagster: the next look requests what was delivered since a month was"
                " published."
            ) from error

    def to_text(self) -> str:
        """The cursor as JSON; the same text for the same manifests."""
        return json.dumps(self.seen, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Request:
    """A month to close again, or to refresh while it is open.

    Attributes:
        month: The billing month.
        run_key: The same for the same deliveries: ``2026-10:<time>:<digest of etags>``.
        deliveries: The manifests that are new, as a person reads them.
    """

    month: Month
    run_key: str
    deliveries: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """What one look came to.

    Attributes:
        requests: One a month, oldest first.
        cursor: To be kept for the next look.
        passed_over: Why a month with a new delivery is not requested, and which root tells
            of none; sentences.
    """

    requests: tuple[Request, ...]
    cursor: Cursor
    passed_over: tuple[str, ...]


def look(
    manifests: Mapping[str, Sequence[Manifest]],
    cursor: Cursor,
    *,
    now: dt.datetime,
    published: Mapping[Month, dt.datetime],
) -> Look:
    """Hold the manifests of every root against the cursor.

    Args:
        manifests: Current manifests by root. A root that could not be read is left out,
            and what was seen of it stays in the cursor.
        cursor: Of the last look.
        now: UTC.
        published: When the newest revision of each published month was published.
    """
    arrived = [
        one
        for root, found in manifests.items()
        for one in found
        if cursor.seen.get(root, {}).get(one.key) != one.etag
    ]
    requests: list[Request] = []
    passed_over: list[str] = []
    for month, group in groupby(sorted(arrived, key=_order), key=lambda one: one.month):
        news = [one for one in group if _is_news(one, cursor, published.get(month))]
        reason = _reason_against(month, now)
        if not news:
            passed_over.append(f"{month} was here at the first look.")
        elif reason:
            passed_over.append(f"{month} {reason}.")
        else:
            requests.append(_request(month, news))
    passed_over += [
        f"{root} has no manifest, so its deliveries cannot be listed."
        for root, found in manifests.items()
        if not found
    ]
    seen = {**cursor.seen, **{root: _etags(found) for root, found in manifests.items()}}
    return Look(tuple(requests), Cursor(seen), tuple(passed_over))


def _is_news(manifest: Manifest, cursor: Cursor, published: dt.datetime | None) -> bool:
    """New since the last look; at a root's first look, new since the month's revision."""
    if manifest.root in cursor.seen:
        return True
    return published is not None and manifest.last_modified > published


def _reason_against(month: Month, now: dt.datetime) -> str | None:
    if month.start > now:
        return "has not begun"
    if month.end < now - LOOKBACK:
        return (
            f"ended more than {LOOKBACK.days} days ago: if it shall be restated, close it"
            f" by hand (podledger close {month})"
        )
    return None


def _request(month: Month, news: Sequence[Manifest]) -> Request:
    """The time in the key tells a delivery that came back from the one it once was."""
    newest = max(one.last_modified for one in news)
    digest = hashlib.sha256()
    for one in news:
        digest.update(f"{one.root}\0{one.key}\0{one.etag}\0".encode())
    return Request(
        month=month,
        run_key=f"{month}:{newest:%Y%m%dT%H%M%SZ}:{digest.hexdigest()[:12]}",
        deliveries=tuple(
            f"{one.export}, delivered {one.last_modified:%Y-%m-%d %H:%M} UTC"
            for one in news
        ),
    )


def _etags(manifests: Iterable[Manifest]) -> dict[str, str]:
    return {one.key: one.etag for one in manifests}


def _order(manifest: Manifest) -> tuple[Month, str, str]:
    return manifest.month, manifest.root, manifest.key
