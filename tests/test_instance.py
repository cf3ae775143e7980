"""Where the runs of a close are recorded: Dagster's own files, opened once a run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from orchestration.engines.instance import EventLog, open_instance
from orchestration.lake.settings import PROJECT_DIR, Settings


@dg.asset
def counted() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


def test_what_a_run_records_is_read_by_dagster_itself(settings: Settings) -> None:
    with open_instance(settings) as instance:
        assert isinstance(instance.event_log_storage, EventLog)
        run_id = dg.materialize([counted], instance=instance).run_id
    home = settings.home / "dagster"
    assert list(home.rglob("*-wal")) == [], "the files were closed"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not isinstance(instance.event_log_storage, EventLog)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        event = instance.get_latest_materialization_event(counted.key)
        assert event is not None
        assert event.run_id == run_id
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows"].value == 3
        steps = [one.dagster_event_type for one in instance.all_logs(run_id)]
        assert dg.DagsterEventType.STEP_SUCCESS in steps


def test_two_processes_may_record_side_by_side(settings: Settings) -> None:
    """A close, and Dagster's own web server and daemon, which open the file each time."""
    with open_instance(settings) as one:
        first = dg.materialize([counted], instance=one).run_id
        with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as other:
            second = dg.materialize([counted], instance=other).run_id
            assert other.get_run_by_id(first) is not None
        third = dg.materialize([counted], instance=one).run_id
        found = one.fetch_materializations(counted.key, limit=9).records
        assert [record.run_id for record in found] == [third, second, first]


def test_a_team_that_says_where_its_events_are_is_obeyed(
    settings: Settings, tmp_path: Path
) -> None:
    home = settings.home / "dagster"
    home.mkdir(parents=True)
    shutil.copy(PROJECT_DIR / "dagster.yaml", home)
    with (home / "dagster.yaml").open("a") as file:
        file.write(f"storage:\n  sqlite:\n    base_dir: {tmp_path / 'elsewhere'}\n")
    with open_instance(settings) as instance:
        assert not isinstance(instance.event_log_storage, EventLog)
        dg.materialize([counted], instance=instance)
    assert list((tmp_path / "elsewhere").rglob("index.db"))
    assert not (home / "history").exists()


def test_no_event_is_lost_when_the_process_is_killed(settings: Settings) -> None:
    script = f"""
import os, signal
from orchestration.engines.instance import open_instance
from orchestration.lake.settings import Settings
from tests.test_instance import counted
import dagster as dg
instance = open_instance(Settings(home={str(settings.home)!r}, _env_file=None))
dg.materialize([counted], instance=instance)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_DIR, check=False)
    assert done.returncode == -signal.SIGKILL
    with open_instance(settings) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
        last = instance.all_logs(run.run_id)[-1]
        assert last.dagster_event_type is dg.DagsterEventType.RUN_SUCCESS
