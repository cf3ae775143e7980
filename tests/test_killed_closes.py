"""Closes that are killed or told to end: what they leave, and how the next one ends."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import dagster as dg
import pytest
from dagster import DagsterRunStatus

from orchestration.cli.runner import close_month
from orchestration.close import presence as presences_module
from orchestration.close.leftovers import RUN_VARIABLE, clear
from orchestration.close.presence import Presence, announced, presences
from orchestration.close.publish import Publication
from orchestration.engines.instance import WAREHOUSE_POOL, open_instance
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import DBT_PROJECT_DIR, PROJECT_DIR, Settings
from orchestration.ledger.book import latest, revisions, verify
from tests.worlds import PAYERS

OCTOBER = Month(2026, 10)
CLI = "from orchestration.cli import main; main()"


@dataclass
class Closing:
    """A home, and closes of its month in processes of their own."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PODLEDGER_BILL": ",".join(self.settings.bill),
            "PODLEDGER_PODS": ",".join(self.settings.pods),
            "PODLEDGER_HOME": self.settings.remote or str(self.settings.home),
            "PODLEDGER_WORK": str(self.settings.work),
            "PODLEDGER_LABELS": ",".join(self.settings.labels),
            "PYTHONPATH": str(PROJECT_DIR),
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            env=self.environment,
            cwd=PROJECT_DIR,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def start_until(self, wanted: str) -> subprocess.Popen[str]:
        """A close that has told of what is wanted."""
        process = self.start("-W", "ignore", "-m", "tests.closing", OCTOBER.label)
        read = []
        for line in process.stderr:
            read.append(line)
            if wanted in line:
                return process
        raise AssertionError(f"{wanted!r} was never told: {read}")

    def close(self) -> tuple[Publication, list[str]]:
        told: list[str] = []
        return close_month(OCTOBER, self.settings, told.append), told

    def presence(self) -> Presence:
        (file,) = (self.settings.home / "runs").glob("*.json")
        return Presence.model_validate_json(file.read_bytes())

    def litter(self, run_id: str) -> list[str]:
        """All that no close may leave behind."""
        home = self.settings.home
        found = [
            *(path for path in (home / "runs").glob("*") if path.name != ".lock"),
            *(home / "lake" / ".incoming").glob("*"),
            *(path for path in (home / "scratch").glob("*")),
            *(home / "published").glob("*/.incoming-*"),
            *(DBT_PROJECT_DIR / "target").glob(f"*-{run_id[:7]}-*"),
        ]
        return [*map(str, found), *processes_of(run_id)]


def processes_of(run_id: str) -> list[str]:
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            started_with = (folder / "environ").read_bytes().split(b"\0")
            if mark in started_with and int(folder.name) != os.getpid():
                found.append(
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
        except OSError:
            continue
    return found


@pytest.fixture
def closing(closed_world: Publication, tmp_path: Path) -> Closing:
    """The world, and a home of its own that has nothing yet."""
    folder = closed_world.path.parents[3]
    return Closing(
        Settings(
            bill=tuple(str(folder / payer) for payer in PAYERS),
            pods=(str(folder / "pods"),),
            home=tmp_path / "home",
        )
    )


@pytest.fixture
def instance(closing: Closing) -> Iterator[dg.DagsterInstance]:
    with open_instance(closing.settings) as opened:
        yield opened


def a_presence(run_id: str = "0" * 32, month: str | None = "2026-10") -> Presence:
    return Presence.of_this_process(run_id, "monthly_close", month)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_a_close_that_is_killed_within_dbt_is_cleared_by_the_next(closing: Closing) -> None:
    kill(closing.start_until("node hour models: stg_"))
    run_id = closing.presence().run_id
    with open_instance(closing.settings) as instance:
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.STARTED
        pool = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
        assert [slot.run_id for slot in pool.claimed_slots] == [run_id]
    published, told = closing.close()
    assert published.revision == 1
    (warning,) = (line for line in told if line.startswith("Warning"))
    assert f"monthly_close of 2026-10 (run {run_id[:8]}, process" in warning
    assert "was killed. Cleared what it left:" in warning
    assert f"a slot of the pool {WAREHOUSE_POOL}" in warning
    assert closing.litter(run_id) == []
    with open_instance(closing.settings) as instance:
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.FAILURE
        pool = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
        assert (pool.claimed_slots, pool.pending_steps) == ([], [])


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(signal.SIGTERM, "node hour models"), (signal.SIGINT, "bill")],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_close_ends_at_once_when_it_is_told_to(
    closing: Closing, number: signal.Signals, wanted: str
) -> None:
    process = closing.start("-c", CLI, "close", OCTOBER.label)
    first = next(line for line in process.stderr if line.startswith(wanted))
    run_id = closing.presence().run_id
    process.send_signal(number)
    _, told = process.communicate(timeout=180)
    assert process.returncode == 128 + number, first + told
    assert told.splitlines()[-2:] == [
        f"podledger: stopped by {number.name}; clearing what the close left",
        "podledger: cleared; what was published is as it was",
    ]
    assert closing.litter(run_id) == []
    with open_instance(closing.settings) as instance:
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED
        pool = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
        assert (pool.claimed_slots, pool.pending_steps) == ([], [])


def test_a_month_that_another_run_closes_is_waited_for_and_not_for_ever(
    closing: Closing,
) -> None:
    settings = closing.settings.model_copy(update={"wait": 0.02})
    told: list[str] = []
    with announced(settings.home, a_presence()):
        with pytest.raises(PodledgerError) as refused:
            close_month(OCTOBER, settings, told.append)
        (warning,) = told
    whom = f"monthly_close of 2026-10 (run 00000000, process {os.getpid()} on"
    assert warning.startswith(f"Warning: waiting for {whom} {socket.gethostname()}, since")
    assert "at most 0.02 minutes" in warning
    assert f"Waited 0.02 minutes for {whom}" in str(refused.value)
    assert "PODLEDGER_WAIT" in str(refused.value)
    assert not settings.published.exists()


def test_a_warehouse_that_another_run_works_in_is_waited_for_and_not_for_ever(
    closing: Closing, instance: dg.DagsterInstance
) -> None:
    settings = closing.settings.model_copy(update={"wait": 0.02})
    other = a_presence("f" * 32, "2026-09")
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(WAREHOUSE_POOL)
    told: list[str] = []
    with announced(settings.home, other):
        assert storage.claim_concurrency_slot(WAREHOUSE_POOL, other.run_id, "s").is_claimed
        with pytest.raises(PodledgerError, match=r"Waited 0.02 minutes for .* of 2026-09"):
            close_month(OCTOBER, settings, told.append, instance)
    (warning,) = (line for line in told if line.startswith("Warning"))
    assert "one step at a time works in the warehouse" in warning
    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.FAILURE
    pool = storage.get_concurrency_info(WAREHOUSE_POOL)
    assert [slot.run_id for slot in pool.claimed_slots] == [other.run_id]
    assert [step.run_id for step in pool.pending_steps] == [other.run_id]


class TestWhoIsDead:
    def test_a_run_of_this_process_works_until_its_block_ends(self, tmp_path: Path) -> None:
        with announced(tmp_path, a_presence()):
            assert [one.run_id for one in presences(tmp_path)[0]] == ["0" * 32]
        assert presences(tmp_path) == ([], [])

    def test_a_run_of_this_machine_is_dead_as_soon_as_its_lock_is_free(
        self, tmp_path: Path
    ) -> None:
        leave(tmp_path, a_presence())
        working, killed = presences(tmp_path)
        assert (working, [one.run_id for one in killed]) == ([], ["0" * 32])

    @pytest.mark.parametrize(("silent_seconds", "is_dead"), [(200, False), (400, True)])
    def test_a_run_of_another_machine_is_dead_when_it_was_silent_for_five_minutes(
        self, tmp_path: Path, silent_seconds: int, *, is_dead: bool
    ) -> None:
        path = leave(tmp_path, a_presence().model_copy(update={"host": "elsewhere"}))
        then = time.time() - silent_seconds
        os.utime(path, (then, then))
        working, killed = presences(tmp_path)
        assert (len(working), len(killed)) == ((0, 1) if is_dead else (1, 0))

    def test_a_run_that_works_touches_its_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presences_module, "_HEARTBEAT_SECONDS", 0.01)
        with announced(tmp_path, a_presence()):
            (path,) = (tmp_path / "runs").glob("*.json")
            os.utime(path, (0, 0))
            until = time.monotonic() + 180
            while path.stat().st_mtime == 0 and time.monotonic() < until:
                time.sleep(0.01)  # The heart beats in a thread, and tells nobody.
            assert path.stat().st_mtime > 0

    def test_a_file_that_is_damaged_is_nobody(self, tmp_path: Path) -> None:
        path = leave(tmp_path, a_presence())
        path.write_text("{")
        assert presences(tmp_path) == ([], [])
        assert not path.exists()


def leave(home: Path, presence: Presence) -> Path:
    """What a run leaves that was killed."""
    path = home / "runs" / f"{presence.run_id}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(presence.model_dump_json())
    return path


class TestWhatIsCleared:
    def test_a_slot_of_a_run_that_nobody_knows(
        self, closing: Closing, instance: dg.DagsterInstance
    ) -> None:
        """An older version of podledger, or another instance, left it."""
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(WAREHOUSE_POOL)
        storage.claim_concurrency_slot(WAREHOUSE_POOL, "a" * 32, "split")
        told: list[str] = []
        clear(closing.settings, instance, told.append)
        assert storage.get_concurrency_info(WAREHOUSE_POOL).claimed_slots == []
        assert told == [
            "Warning: run aaaaaaaa was killed. Cleared a slot of the pool warehouse."
        ]

    def test_not_the_run_of_another_home(
        self, closing: Closing, instance: dg.DagsterInstance
    ) -> None:
        run = a_run(instance, {"podledger/home": "/elsewhere"})
        storage = instance.event_log_storage
        storage.initialize_concurrency_limit_to_default(WAREHOUSE_POOL)
        storage.claim_concurrency_slot(WAREHOUSE_POOL, run.run_id, "split")
        clear(closing.settings, instance, pytest.fail)
        assert len(storage.get_concurrency_info(WAREHOUSE_POOL).claimed_slots) == 1
        assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.STARTED

    def test_a_run_of_this_home_that_has_no_file(
        self, closing: Closing, instance: dg.DagsterInstance
    ) -> None:
        run = a_run(instance, {"podledger/home": str(closing.settings.home)})
        told: list[str] = []
        clear(closing.settings, instance, told.append)
        assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.FAILURE
        assert len(told) == 1

    def test_scratch_and_a_warehouse_that_duckdb_cannot_take_up(
        self, closing: Closing, instance: dg.DagsterInstance
    ) -> None:
        settings = closing.settings
        leave(settings.home, a_presence())
        settings.warehouse.parent.mkdir(parents=True)
        log = settings.warehouse.with_name("podledger.duckdb.wal")
        settings.warehouse.write_bytes(b"half of a file")
        log.write_bytes(b"half of a log")
        (settings.home / "scratch" / "inventory-x").mkdir(parents=True)
        (settings.home / "scratch" / "dbt_docs").mkdir()
        told: list[str] = []
        clear(settings, instance, told.append)
        assert [path.name for path in (settings.home / "scratch").iterdir()] == ["dbt_docs"]
        assert not settings.warehouse.exists()
        assert not log.exists()
        assert "scratch, a damaged warehouse, which is made again from the lake" in told[0]

    def test_nothing_that_a_run_at_work_may_need(
        self, closing: Closing, instance: dg.DagsterInstance
    ) -> None:
        settings = closing.settings
        leave(settings.home, a_presence())
        (settings.home / "scratch" / "inventory-x").mkdir(parents=True)
        told: list[str] = []
        with announced(settings.home, a_presence("f" * 32, "2026-09")):
            clear(settings, instance, told.append)
        assert (settings.home / "scratch" / "inventory-x").exists()
        assert len(told) == 1


def a_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run of the close that Dagster holds for running."""
    run = instance.create_run_for_job(
        close_job(), tags=tags, status=DagsterRunStatus.STARTED
    )
    assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.STARTED
    return run


def close_job() -> dg.JobDefinition:
    from orchestration.definitions import defs

    return defs.resolve_job_def("monthly_close")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "s3"])
def test_closes_that_are_killed_anywhere_leave_no_half_and_the_next_one_ends(
    closing: Closing, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """15 kills each: at the beginning of a step, and at any moment after it."""
    if place == "s3":
        request.getfixturevalue("aws")
        boto3.client("s3").create_bucket(Bucket="killed")
        closing.settings = Settings(
            bill=closing.settings.bill,
            pods=closing.settings.pods,
            home="s3://killed/home",
            work=tmp_path / "work",
        )
    chance = random.Random(place)
    count = len(lines_of_a_close(closing, tmp_path))
    for turn in range(15):
        # A close that finds all as it was publishes nothing: let each have something new.
        kill_after = chance.randrange(1, count)
        wait_more = 0.0 if turn % 2 else chance.uniform(0, 2)
        closing.settings = closing.settings.model_copy(
            update={"labels": ("team", f"turn_{turn}")}
        )
        run_id = killed_close(closing, kill_after, wait_more)
        before = revisions(closing.settings.published, OCTOBER, closing.settings.remote)
        published, told = closing.close()
        after = revisions(closing.settings.published, OCTOBER, closing.settings.remote)
        assert [one.number for one in after[: len(before)]] == [
            one.number for one in before
        ]
        for revision in after:
            verify(revision)
        newest = latest(closing.settings.published, OCTOBER, closing.settings.remote)
        assert newest.number == published.revision
        assert newest.manifest.labels == ("team", f"turn_{turn}")
        assert closing.litter(run_id) == []
        is_told = any("was killed" in line for line in told)
        assert is_told, f"nothing was told of a kill after line {kill_after}: {told[:3]}"


def lines_of_a_close(closing: Closing, tmp_path: Path) -> list[str]:
    """What a close tells, in a home of its own."""
    told: list[str] = []
    home = tmp_path / "counted"
    close_month(
        OCTOBER,
        Settings(bill=closing.settings.bill, pods=closing.settings.pods, home=home),
        told.append,
    )
    shutil.rmtree(home)
    return told


def killed_close(closing: Closing, after: int, more: float) -> str:
    process = closing.start("-W", "ignore", "-m", "tests.closing", OCTOBER.label)
    read = [line for _, line in zip(range(after), process.stderr, strict=False)]
    files = list((closing.settings.home / "runs").glob("*.json"))
    time.sleep(more)  # The kill is to come at any moment, not at one that a line tells of.
    kill(process)
    assert len(files) == 1, f"it ended before line {after}: {read}"
    return json.loads(files[0].read_bytes())["run_id"]
