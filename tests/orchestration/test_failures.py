"""A failed close is told in one paragraph: to who ran it, and to who watches alerts."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from orchestration.automation.alerts import write
from orchestration.cli.runner import close_month
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.orchestration.conftest import Daemon


def test_a_month_that_has_not_begun_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match="2199-01 cannot be closed") as refused:
        close_month(Month(2199, 1), Settings(home=tmp_path), lambda _: None)
    assert "2018-01 to 2" in str(refused.value)
    assert not (tmp_path / "dagster").exists()


def test_the_alert_names_month_and_reason_and_is_one_line_a_failure(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODLEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("PODLEDGER_BILL", "/nowhere")
    monkeypatch.setenv("PODLEDGER_PODS", str(tmp_path))
    daemon.tick_sensor("failed_months")
    for month in (10, 11):
        at = dt.datetime(2026, month, 5, 6, tzinfo=dt.UTC)
        daemon.tick_schedule("monthly_close_schedule", at)
        daemon.launch_what_is_queued()
    daemon.tick_sensor("failed_months")
    daemon.tick_sensor("failed_months")
    september, october = (tmp_path / "alerts.log").read_text().splitlines()
    assert "monthly_close of 2026-09 failed." in september
    assert re.fullmatch(
        r"20\S+Z monthly_close of 2026-10 failed\. The bill's root '/nowhere' is not a"
        r" folder on this machine\. Correct PODLEDGER_BILL, or copy the export there\."
        r" Run \S+ in Dagster has every event\.",
        october,
    )


def test_an_alert_stays_one_line_whatever_the_reason_says(tmp_path: Path) -> None:
    at = dt.datetime(2026, 11, 5, 6, 3, tzinfo=dt.UTC)
    write(tmp_path / "home" / "alerts.log", "first\n  second", at)
    log = (tmp_path / "home" / "alerts.log").read_text()
    assert log == "2026-11-05T06:03:00Z first second\n"
