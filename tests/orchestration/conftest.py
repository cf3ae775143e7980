"""Dagster's own daemon on an instance of its own: ticks as they happen in a deployment."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import dagster._daemon
import pytest
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR

_LOG = logging.getLogger("tests.daemon")


class Daemon:
    """What ``dagster-daemon`` does with schedules and sensors, one round at a time."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        workspace: WorkspaceProcessContext,
        repository: RemoteRepository,
    ) -> None:
        self.instance = instance
        self._workspace = workspace
        self._repository = repository

    def tick_schedule(self, name: str, at: dt.datetime) -> None:
        """Switch a schedule on a minute before ``at``, and let it tick then."""
        with freeze_time(at - dt.timedelta(minutes=1)):
            self.instance.start_schedule(self._repository.get_schedule(name))
        with freeze_time(at + dt.timedelta(seconds=1)):
            now = at + dt.timedelta(seconds=1)
            list(launch_scheduled_runs(self._workspace, _LOG, now, {}))

    def tick_sensor(self, name: str) -> InstigatorTick:
        """Switch a sensor on, let it look once, and return what came of it."""
        sensor = self._repository.get_sensor(name)
        self.instance.start_sensor(sensor)
        # Each look is an hour after the one before, so that none is left out.
        earlier = len(self._ticks(name))
        with freeze_time(dt.datetime.now(dt.UTC) + dt.timedelta(hours=earlier)):
            list(execute_sensor_iteration(self._workspace, _LOG, None, None))
        return self._ticks(name)[0]

    def launch_what_is_queued(self) -> None:
        """Run what was requested, in this process."""
        request = self._workspace.create_request_context()
        for run in reversed(self.instance.get_runs()):
            if run.status is dg.DagsterRunStatus.QUEUED:
                self.instance.launch_run(run.run_id, request)

    def forget(self, name: str) -> None:
        """Reset a sensor's cursor, as one does in the UI."""
        sensor = self._repository.get_sensor(name)
        state = self.instance.get_instigator_state(
            sensor.get_remote_origin_id(), sensor.selector_id
        )
        assert state is not None
        fresh = state.instigator_data._replace(cursor=None)
        self.instance.update_instigator_state(state.with_data(fresh))

    def requested(self) -> list[tuple[str, str]]:
        """Job and month of every run, oldest first."""
        runs = reversed(self.instance.get_runs())
        return [(run.job_name, run.tags["dagster/partition"]) for run in runs]

    def _ticks(self, name: str) -> list[InstigatorTick]:
        sensor = self._repository.get_sensor(name)
        return list(
            self.instance.get_ticks(sensor.get_remote_origin_id(), sensor.selector_id)
        )


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """On an instance like a deployment's, with nothing switched on and no run yet.

    Its SQLite files lie in memory where that is a folder: a tick commits hundreds of times.
    """
    configuration = yaml.safe_load((PROJECT_DIR / "dagster.yaml").read_text())
    configuration["run_launcher"] = {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    }
    memory = Path("/dev/shm")
    origin = LoadableTargetOrigin(module_name="orchestration.definitions")
    target = InProcessWorkspaceLoadTarget(
        [InProcessCodeLocationOrigin(origin, location_name="podledger")]
    )
    with (
        TemporaryDirectory(dir=memory if memory.is_dir() else None) as home,
        dg.instance_for_test(overrides=configuration, temp_dir=home) as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):
        location = workspace.create_request_context().get_code_location("podledger")
        (repository,) = location.get_repositories().values()
        yield Daemon(instance, workspace, repository)


class Bill:
    """Manifests as AWS leaves them in a folder; their files are of no matter here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)

    def manifest(self, month: Month, export: str = "cur") -> Path:
        """Where the month's manifest lies."""
        folder = self.root / export / "metadata" / f"BILLING_PERIOD={month}"
        return folder / f"{export}-Manifest.json"

    def deliver(self, month: Month, execution: str, export: str = "cur") -> Path:
        """Deliver a month, or deliver it again."""
        path = self.manifest(month, export)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"executionId": execution, "dataFiles": []}))
        return path


@pytest.fixture
def bill(tmp_path: Path) -> Bill:
    return Bill(tmp_path / "bill")


@pytest.fixture
def open_month() -> Month:
    """Sensors look at the real clock, so their months are real ones."""
    today = dt.datetime.now(dt.UTC)
    return Month(today.year, today.month)
