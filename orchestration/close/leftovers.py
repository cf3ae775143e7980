"""Clears what killed runs left: processes, slots of Dagster's pools, folders.

Holds what a run can leave and how it is taken away. Which runs were killed is told by
``presence.py``. All that is cleared is made again by the next close, and what was good
before is as it was: a month of the lake that a killed run had moved away is put back.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import duckdb
from dagster import DagsterRunStatus

from orchestration.close.presence import Presence, forget, presences
from orchestration.engines.duckdb import remove_database, write_ahead_log
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.lake.lake import Lake, remove
from orchestration.lake.settings import DBT_PROJECT_DIR, Settings

RUN_VARIABLE = "_PODLEDGER_RUN_ID"
"""In the environment of every process that a run starts: by it they are found again."""

HOME_TAG = "podledger/home"
"""Tag of a run: where it keeps its books. Another home's runs are not ours to judge."""

_UNTAGGED = dt.timedelta(hours=1)
"""After which a run that says nothing of a home, and nothing new, counts as killed."""

_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)

_KEPT_IN_SCRATCH = frozenset({"dbt_docs"})


def home_of(settings: Settings) -> str:
    """A home as the tag of its runs names it."""
    return settings.remote or str(settings.home)


def clear(
    settings: Settings, instance: dg.DagsterInstance, tell: Callable[[str], None]
) -> None:
    """Clear what killed runs of this home left, and tell of each.

    Args:
        settings: Of the home.
        instance: That its runs are recorded in.
        tell: Called with one line a killed run.
    """
    working, killed = presences(settings.home)
    for presence in killed:
        cleared = [
            *_stop_processes(presence),
            *_end_run(instance, presence.run_id, f"{presence} was killed."),
            *_remove_dbt_folders(presence.run_id),
        ]
        if Lake(settings.home, settings.remote).settle():
            cleared.append("unfinished months of the lake")
        if not working:
            # Another run may be at work in there.
            cleared += _remove_unfinished(settings)
            cleared += _mend_warehouse(settings.warehouse)
        forget(settings.home, presence.run_id)
        tell(
            f"Warning: {presence} was killed. Cleared what it left:"
            f" {', '.join(cleared) or 'nothing but its name'}."
        )
    known = {presence.run_id for presence in working}
    for run_id in _abandoned(settings, instance, known):
        cleared = list(_end_run(instance, run_id, "The process of this run was killed."))
        tell(f"Warning: run {run_id[:8]} was killed. Cleared {' and '.join(cleared)}.")


def stop_processes(run_id: str) -> int:
    """Kill the processes that a run started, and return how many there were.

    dbt outlives a run that was killed, and keeps the warehouse locked. Only Linux tells of
    a process with which environment it was started.
    """
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    stopped = 0
    for folder in Path("/proc").glob("[0-9]*"):
        process = int(folder.name)
        with suppress(OSError):
            started_with = (folder / "environ").read_bytes().split(b"\0")
            if mark in started_with and process != os.getpid():
                os.kill(process, signal.SIGKILL)
                stopped += 1
    return stopped


def _stop_processes(presence: Presence) -> Iterator[str]:
    stopped = stop_processes(presence.run_id)
    if stopped:
        yield f"{stopped} {'process' if stopped == 1 else 'processes'}"


def _end_run(instance: dg.DagsterInstance, run_id: str, message: str) -> Iterator[str]:
    run = instance.get_run_by_id(run_id)
    if run and run.status not in _ENDED:
        instance.report_run_failed(run, message)
        yield "a run that Dagster held for running"
    if run_id in _holders(instance):
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        yield f"a slot of the pool {WAREHOUSE_POOL}"


def _holders(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold or wait for a slot of the warehouse's pool."""
    if not instance.event_log_storage.supports_global_concurrency_limits:
        return set()
    found = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
    return {
        *(slot.run_id for slot in found.claimed_slots),
        *(step.run_id for step in found.pending_steps),
    }


def _abandoned(
    settings: Settings, instance: dg.DagsterInstance, known: set[str]
) -> list[str]:
    """Runs in the pool, or said to be running, that no file tells of.

    An older version of podledger left none, and so does a run that ends as it begins.
    """
    found = []
    candidates = {run_id: instance.get_run_by_id(run_id) for run_id in _holders(instance)}
    for job in ("monthly_close", "daily_refresh"):
        filters = dg.RunsFilter(
            job_name=job, statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
        )
        candidates |= {run.run_id: run for run in instance.get_runs(filters)}
    for run_id, run in candidates.items():
        if run_id in known:
            continue
        if run is None or run.status in _ENDED:
            is_dead = True
        elif HOME_TAG in run.tags:
            is_dead = run.tags[HOME_TAG] == home_of(settings)
        else:
            record = instance.get_run_record_by_id(run_id)
            changed = record.update_timestamp if record else dt.datetime.now(dt.UTC)
            if changed.tzinfo is None:
                changed = changed.replace(tzinfo=dt.UTC)
            is_dead = dt.datetime.now(dt.UTC) - changed > _UNTAGGED
        if is_dead:
            found.append(run_id)
    return found


def _remove_dbt_folders(run_id: str) -> Iterator[str]:
    # dagster-dbt names them by step, the first digits of the run, and a number.
    folders = list((DBT_PROJECT_DIR / "target").glob(f"*-{run_id[:7]}-*"))
    for folder in folders:
        remove(folder)
    if folders:
        yield "dbt's folders"


def _remove_unfinished(settings: Settings) -> Iterator[str]:
    scratch = [
        path
        for path in (settings.home / "scratch").glob("*")
        if path.name not in _KEPT_IN_SCRATCH
    ]
    revisions = list(settings.published.glob("billing_month=*/.incoming-*"))
    samples = list((settings.home / "sample").glob(".*"))
    for path in (*scratch, *revisions, *samples):
        remove(path)
    if scratch:
        yield "scratch"
    if revisions:
        yield "an unfinished revision"
    if samples:
        yield "an unfinished sample month"


def _mend_warehouse(warehouse: Path) -> Iterator[str]:
    """Let DuckDB take up what was written last, or have the warehouse made again."""
    if not write_ahead_log(warehouse).exists():
        return
    try:
        duckdb.connect(str(warehouse)).close()
    except duckdb.Error as error:
        if isinstance(error, duckdb.IOException) and "lock" in str(error).lower():
            return  # Somebody looks at it, so it is well.
        remove_database(warehouse)
        yield "a damaged warehouse, which is made again from the lake"
