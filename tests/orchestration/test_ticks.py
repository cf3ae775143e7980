"""Real ticks: Dagster's daemon loops on an instance, with the project's definitions."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import boto3
import pytest
from dagster._core.scheduler.instigation import TickStatus

from orchestration.automation.deliveries import DELIVERY_TAG
from orchestration.lake.months import Month
from tests.orchestration.conftest import Bill, Daemon

SENSOR = "bill_deliveries"


@pytest.fixture
def _bill_in_a_folder(bill: Bill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODLEDGER_BILL", str(bill.root))
    monkeypatch.setenv("PODLEDGER_PODS", str(tmp_path))
    monkeypatch.setenv("PODLEDGER_HOME", str(tmp_path / "home"))


class TestSchedules:
    def test_the_month_before_is_closed_on_the_5th_at_6(self, daemon: Daemon) -> None:
        daemon.tick_schedule(
            "monthly_close_schedule", dt.datetime(2026, 11, 5, 6, tzinfo=dt.UTC)
        )
        assert daemon.requested() == [("monthly_close", "2026-10-01")]

    def test_in_january_the_month_before_is_december(self, daemon: Daemon) -> None:
        daemon.tick_schedule(
            "monthly_close_schedule", dt.datetime(2026, 1, 5, 6, tzinfo=dt.UTC)
        )
        assert daemon.requested() == [("monthly_close", "2025-12-01")]

    @pytest.mark.parametrize("hour", [5, 7])
    def test_at_another_hour_nothing_is_closed(self, daemon: Daemon, hour: int) -> None:
        daemon.tick_schedule(
            "monthly_close_schedule", dt.datetime(2026, 11, 5, hour, tzinfo=dt.UTC)
        )
        assert daemon.requested() == []

    def test_the_open_month_is_refreshed_on_its_first_day_too(self, daemon: Daemon) -> None:
        daemon.tick_schedule(
            "daily_refresh_schedule", dt.datetime(2026, 11, 1, 7, tzinfo=dt.UTC)
        )
        assert daemon.requested() == [("daily_refresh", "2026-11-01")]


@pytest.mark.usefixtures("_bill_in_a_folder")
class TestBillDeliveries:
    def test_history_is_noted_and_a_restated_month_closed_once(
        self, daemon: Daemon, bill: Bill, open_month: Month
    ) -> None:
        ended = open_month.previous
        for month in (ended.previous, ended, open_month):
            bill.deliver(month, "first")
        assert daemon.tick_sensor(SENSOR).status is TickStatus.SKIPPED
        bill.deliver(ended, "second")
        assert daemon.tick_sensor(SENSOR).status is TickStatus.SUCCESS
        assert daemon.tick_sensor(SENSOR).status is TickStatus.SKIPPED
        assert daemon.requested() == [("monthly_close", ended.key)]

    def test_the_open_month_is_refreshed_and_not_published(
        self, daemon: Daemon, bill: Bill, open_month: Month
    ) -> None:
        daemon.tick_sensor(SENSOR)
        bill.deliver(open_month, "first")
        daemon.tick_sensor(SENSOR)
        assert daemon.requested() == [("daily_refresh", open_month.key)]

    def test_a_run_says_which_delivery_asked_for_it(
        self, daemon: Daemon, bill: Bill, open_month: Month
    ) -> None:
        daemon.tick_sensor(SENSOR)
        bill.deliver(open_month.previous, "first", export="payer-a")
        daemon.tick_sensor(SENSOR)
        (run,) = daemon.instance.get_runs()
        assert run.tags[DELIVERY_TAG].startswith("payer-a, delivered 20")

    def test_after_a_reset_no_delivery_is_lost_and_none_run_twice(
        self, daemon: Daemon, bill: Bill, open_month: Month, tmp_path: Path
    ) -> None:
        """The month was published before its delivery, so a first look asks for it."""
        ended = open_month.previous
        revision = tmp_path / f"home/published/billing_month={ended}/revision=001"
        revision.mkdir(parents=True)
        published = revision / "manifest.json"
        published.write_text(
            '{"month": "m", "revision": 1, "replaces": null, "fingerprint": "f",'
            ' "method_version": 2, "code_version": "c", "labels": [],'
            ' "ownership_sha256": "o", "deliveries": [],'
            ' "inventory": [], "row_counts": {}, "totals": {}, "files": []}'
        )
        os.utime(published, (0, 0))
        bill.deliver(ended, "first")
        daemon.tick_sensor(SENSOR)
        daemon.forget(SENSOR)
        daemon.tick_sensor(SENSOR)
        assert daemon.requested() == [("monthly_close", ended.key)]

    def test_a_root_that_cannot_be_read_fails_the_tick_in_words(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PODLEDGER_BILL", "/nowhere")
        tick = daemon.tick_sensor(SENSOR)
        assert tick.status is TickStatus.FAILURE
        assert "The bill's root '/nowhere' is not a folder" in str(tick.error)

    def test_a_root_that_cannot_be_read_does_not_hold_up_the_others(
        self,
        daemon: Daemon,
        bill: Bill,
        open_month: Month,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = Bill(tmp_path / "other")
        monkeypatch.setenv("PODLEDGER_BILL", f"{bill.root},{other.root}")
        daemon.tick_sensor(SENSOR)
        other.root.rmdir()
        bill.deliver(open_month.previous, "first")
        assert daemon.tick_sensor(SENSOR).status is TickStatus.SUCCESS
        assert daemon.tick_sensor(SENSOR).status is TickStatus.FAILURE
        assert daemon.requested() == [("monthly_close", open_month.previous.key)]

    def test_the_sample_month_is_never_delivered_anew(
        self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PODLEDGER_BILL")
        tick = daemon.tick_sensor(SENSOR)
        assert tick.status is TickStatus.SKIPPED
        assert "PODLEDGER_BILL is not set" in (tick.skip_reason or "")


def test_deliveries_in_s3_are_seen_beside_those_in_a_folder(
    daemon: Daemon,
    bill: Bill,
    open_month: Month,
    aws: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over HTTP; the etag is S3's own."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bills")
    monkeypatch.setenv("PODLEDGER_BILL", f"s3://bills/exports,{bill.root}")
    monkeypatch.setenv("PODLEDGER_PODS", str(tmp_path))
    monkeypatch.setenv("PODLEDGER_HOME", str(tmp_path / "home"))
    ended = open_month.previous

    def deliver(month: Month, execution: str) -> None:
        s3.put_object(
            Bucket="bills",
            Key=f"exports/cur/metadata/BILLING_PERIOD={month}/cur-Manifest.json",
            Body=execution.encode(),
        )

    deliver(ended, "first")
    bill.deliver(ended, "first")
    daemon.tick_sensor(SENSOR)
    assert daemon.requested() == []
    deliver(ended, "second")
    daemon.tick_sensor(SENSOR)
    deliver(ended.previous, "first")
    bill.deliver(ended.previous, "first")
    daemon.tick_sensor(SENSOR)
    assert daemon.requested() == [
        ("monthly_close", ended.key),
        ("monthly_close", ended.previous.key),
    ]
