"""The Prometheus source: pod-hours from kube-state-metrics, cAdvisor and device exporters.

Holds the walk over the month's days: which are missing, asked for one by one, each written
whole before the next. How to reach the server is in ``address`` and ``client``, what to ask
in ``queries``, what the answers mean in ``day`` and below. Works with what speaks
Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics, Amazon Managed Prometheus.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path

from orchestration.inventory.sources.days import DayFolder, day_start
from orchestration.inventory.sources.interface import Progress, SourceFile
from orchestration.inventory.sources.prometheus.address import Address
from orchestration.inventory.sources.prometheus.client import Client
from orchestration.inventory.sources.prometheus.day import Day, gather_day
from orchestration.inventory.sources.prometheus.pods import missing
from orchestration.inventory.sources.prometheus.queries import PRESENT
from orchestration.inventory.sources.prometheus.window import (
    DAY_SECONDS,
    Blank,
    find_blanks,
)
from orchestration.lake.months import Month

SETTLING = dt.timedelta(hours=2)
"""How long after its end a day is asked for the last time: by then samples arrived."""


@dataclass(frozen=True)
class PrometheusSource:
    """One cluster in one server.

    Attributes:
        address: Where, and how to be let in.
    """

    address: Address

    @classmethod
    def from_uri(cls, uri: str) -> PrometheusSource:
        """The source of a ``prometheus+http(s)://`` URI.

        Raises:
            PodledgerError: The URI is not what ``Address.parse`` reads.
        """
        return cls(Address.parse(uri))

    @property
    def uri(self) -> str:
        """The source as configured, without its password."""
        return self.address.uri

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Ask for the days of the month that are not complete in ``landing`` yet."""
        folder = DayFolder.of(self.uri, month, landing)
        now = dt.datetime.now(dt.UTC)
        days = folder.missing_days(now)
        if days:
            client = Client(self.address, progress)
            blanks = self._blanks(client, month, days, now)
            hinted: set[str] = set()
            for day in days:
                found = self._fetch_day(client, folder, day, blanks, now, progress)
                for metric, hint in found.hints.items():
                    if metric not in hinted:
                        progress(f"{self.uri}: {hint}")
                        hinted.add(metric)
        return folder.told(progress)

    def _blanks(
        self, client: Client, month: Month, days: list[dt.date], now: dt.datetime
    ) -> list[Blank]:
        """Gaps of kube-state-metrics from a day before the missing days to a day after."""
        start = int(day_start(days[0]).timestamp()) - DAY_SECONDS
        end = int(day_start(days[-1]).timestamp()) + 2 * DAY_SECONDS
        end = min(end, int(now.timestamp()))
        selector, step = self.address.selector, self.address.step
        blanks = find_blanks(
            client,
            PRESENT,
            lambda question: question.expression(selector, step),
            start,
            end,
        )
        has_none_yet = days == [day for day in month.days if day_start(day) < now]
        if has_none_yet and blanks == [Blank(start, end, is_open=True)]:
            raise missing(self.uri, PRESENT.metric, f"in {month}")
        return blanks

    def _fetch_day(
        self,
        client: Client,
        folder: DayFolder,
        day: dt.date,
        blanks: list[Blank],
        now: dt.datetime,
        progress: Progress,
    ) -> Day:
        """Ask for one day and write it."""
        began, asked = time.monotonic(), client.requests
        found = gather_day(client, self.address, day, blanks)
        # What lacks its end may only be late: a server that is down is asked again.
        ends_open = blanks and blanks[-1].is_open and blanks[-1].end >= now.timestamp() - 60
        is_silent = (
            ends_open and blanks[-1].start < day_start(day).timestamp() + DAY_SECONDS
        )
        is_over = now >= day_start(day) + dt.timedelta(days=1) + SETTLING
        folder.write(
            day,
            found.pod_hours,
            found.node_hours,
            found.gaps,
            is_complete=is_over and not is_silent,
            quota_hours=found.quota_hours,
        )
        progress(
            f"{self.uri}: {day}: {found.pod_hour_count:,} pod-hours of"
            f" {found.pod_count:,} pods on {found.node_count:,} nodes,"
            f" {client.requests - asked} queries, {time.monotonic() - began:.1f} s"
        )
        return found
