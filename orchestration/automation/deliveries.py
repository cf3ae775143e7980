"""Closes a month again when AWS delivers its bill again.

Reads the manifests that lie at the bill's roots; which months they restate is decided in
``arrivals.py``. What happens by the calendar is in ``schedules.py``.
See https://docs.dagster.io/guides/automate/sensors
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg

from orchestration.automation.jobs import daily_refresh, monthly_close
from orchestration.bill.arrivals import Cursor, Look, look
from orchestration.bill.exports import Manifest, find_manifests
from orchestration.close.signing import RESTATE_TAG
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import latest
from orchestration.ledger.manifest import MANIFEST_NAME

LOOK_EVERY = dt.timedelta(minutes=15)
"""AWS delivers up to three times a day; a look lists a few folders of each root."""

DELIVERY_TAG = "podledger/delivery"
"""Tag of a run: the deliveries that asked for it."""


@dg.sensor(
    jobs=[monthly_close, daily_refresh],
    minimum_interval_seconds=int(LOOK_EVERY.total_seconds()),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Close a month again when a new delivery restates it, up to 120 days after"
    " its end; refresh the open one. One run a delivery. Turn it on second, after"
    " failed_months; most deployments need no schedule as well.",
)
def bill_deliveries(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult | dg.SkipReason:
    """Look at the manifests of every root, once."""
    if not settings.bill:
        return dg.SkipReason(
            "PODLEDGER_BILL is not set: nobody delivers the sample month again."
        )
    now = dt.datetime.now(dt.UTC)
    cursor = Cursor.parse(context.cursor)
    manifests, refusals = _read(settings.bill)
    found = look(
        manifests, cursor, now=now, published=_published(manifests, cursor, settings)
    )
    if refusals and not found.requests:
        raise PodledgerError(" ".join(refusals))
    for told in (*refusals, *found.passed_over):
        context.log.warning(told)
    return _result(found, Month(now.year, now.month))


def _result(found: Look, open_month: Month) -> dg.SensorResult:
    requests = [
        dg.RunRequest(
            run_key=request.run_key,
            partition_key=request.month.key,
            job_name=(monthly_close if request.month < open_month else daily_refresh).name,
            tags={
                DELIVERY_TAG: "; ".join(request.deliveries),
                RESTATE_TAG: f"new delivery: {'; '.join(request.deliveries)}",
            },
        )
        for request in found.requests
    ]
    told = " ".join(["Nothing new to close.", *found.passed_over])
    return dg.SensorResult(
        run_requests=requests,
        cursor=found.cursor.to_text(),
        skip_reason=None if requests else told,
    )


def _read(roots: Iterable[str]) -> tuple[dict[str, list[Manifest]], list[str]]:
    """Manifests by root, and what the roots say that cannot be read."""
    manifests: dict[str, list[Manifest]] = {}
    refusals = []
    for root in roots:
        try:
            manifests[root] = find_manifests(root)
        except PodledgerError as error:
            refusals.append(str(error))
    return manifests, refusals


def _published(
    manifests: Mapping[str, Iterable[Manifest]], cursor: Cursor, settings: Settings
) -> dict[Month, dt.datetime]:
    """When the months of the roots that are looked at for the first time were published.

    A manifest of the ledger has no time in it, so that closing again gives the same bytes;
    its file has, and never changes.
    """
    months = {
        one.month for root in manifests.keys() - cursor.seen for one in manifests[root]
    }
    found = {month: latest(settings.published, month, settings.remote) for month in months}
    return {
        month: dt.datetime.fromtimestamp(
            (revision.path / MANIFEST_NAME).stat().st_mtime, dt.UTC
        )
        for month, revision in found.items()
        if revision is not None
    }
