"""Two months of a backfill, and their days, side by side in one deployment and lake."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import latest, verify
from tests.browser.deployment import ask, serve

AUGUST, SEPTEMBER = Month(2026, 8), Month(2026, 9)

BACKFILL = """
mutation {{
  launchPartitionBackfill(backfillParams: {{
    selector: {{
      partitionSetName: "monthly_close_partition_set"
      repositorySelector: {{
        repositoryLocationName: "podledger", repositoryName: "__repository__"
      }}
    }}
    partitionNames: ["{}", "{}"]
  }}) {{ __typename ... on LaunchBackfillSuccess {{ backfillId }} }}
}}
"""

RUNS = "{ runsOrError { ... on Runs { results { status startTime endTime } } } }"


@pytest.mark.slow
def test_two_months_of_a_backfill_are_closed_side_by_side(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    with serve(settings.home, {"PODLEDGER_PROCESSES": "2"}) as address:
        answer = ask(address, BACKFILL.format(AUGUST.key, SEPTEMBER.key))
        kind = answer["launchPartitionBackfill"]["__typename"]
        assert kind == "LaunchBackfillSuccess"
        runs = wait_for_two_ended_runs(address)
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    first, second = sorted(runs, key=lambda run: run["startTime"])
    assert second["startTime"] < first["endTime"]
    for month in (AUGUST, SEPTEMBER):
        revision = latest(settings.published, month)
        assert revision is not None
        verify(revision)
        assert all(total.difference == 0 for total in revision.manifest.totals.values())


def wait_for_two_ended_runs(address: str) -> list[dict[str, object]]:
    for _ in range(600):
        runs = ask(address, RUNS)["runsOrError"]["results"]
        assert len(runs) <= 2, f"one of them was retried: {runs}"
        if len(runs) == 2 and all(run["endTime"] for run in runs):
            return runs
        # Runs are processes of Dagster's daemon, which tells nobody that one ended.
        time.sleep(0.5)
    raise AssertionError(f"two runs did not end within five minutes: {runs}")
