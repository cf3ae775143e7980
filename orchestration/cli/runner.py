"""Runs the job ``monthly_close`` in this process, for the command line and for tests.

A deployment runs the same job under Dagster's daemon; nothing is closed in another way.
See https://docs.dagster.io/guides/test/unit-testing-assets-and-ops
"""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

import dagster as dg

from orchestration.automation.failures import why
from orchestration.close.presence import Presence
from orchestration.close.publish import Publication
from orchestration.close.signing import signing_tags
from orchestration.close.turns import tags_of, taking_turns
from orchestration.definitions import defs
from orchestration.engines.instance import open_instance
from orchestration.engines.partitions import billing_months
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import find_revision

_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The run's events are in the instance and in ``progress``; the console is the user's."""

_DBT_STEP = "_models"
"""How the names of the steps end that run dbt."""


def close_month(
    month: Month,
    settings: Settings,
    progress: Callable[[str], None],
    instance: dg.DagsterInstance | None = None,
    run_id: str | None = None,
    restate: str | None = None,
) -> Publication:
    """Close one month and return what was published.

    It first clears what killed runs have left, and waits where another closes the month.

    Args:
        month: The billing month.
        settings: Used for every step, instead of the environment's.
        progress: Called with one line whenever a step starts or has something to say.
        instance: Where the run is recorded; by default, the deployment's own.
        run_id: A UUID for the run; by default, a new one.
        restate: Why a month that is final may change.

    Raises:
        PodledgerError: The month has not begun, a step or a control failed, or another run
            did not end in time; nothing was published.
    """
    _require_begun(month)
    job = defs.resolve_job_def("monthly_close")
    run_id = run_id or str(uuid.uuid4())
    presence = Presence.of_this_process(run_id, "monthly_close", month.label)
    with (
        instance or open_instance(settings) as record,
        taking_turns(settings, record, presence, progress),
        _quiet_stdout(),
    ):
        record.add_event_listener(run_id, _listener(progress))
        result = job.execute_in_process(
            partition_key=month.key,
            instance=record,
            resources={"settings": settings},
            run_config=_SILENT,
            run_id=run_id,
            tags={**tags_of(settings), **signing_tags(restate)},
            raise_on_error=False,
        )
    if not result.success:
        raise PodledgerError(
            why(result.all_events, month)
            or f"The run {result.run_id} failed before its first step."
        )
    (published,) = result.asset_materializations_for_node("published_month")
    number = int(str(published.metadata["bill_revision"].value))
    revision = find_revision(settings.published, month, number, settings.remote)
    told = {
        name: bool(published.metadata[name].value) for name in ("is_new", "is_reproduced")
    }
    return Publication.of(revision, month, **told)


def _require_begun(month: Month) -> None:
    keys = billing_months.get_partition_keys()
    if month.key not in keys:
        raise PodledgerError(
            f"{month} cannot be closed: the months that can be are {keys[0][:7]} to"
            f" {keys[-1][:7]}, which is still open. Choose one of them, or set"
            " PODLEDGER_FIRST_MONTH to an earlier first month."
        )


def _listener(progress: Callable[[str], None]) -> Callable[[dg.EventLogEntry], None]:
    """Tell of steps as they start, of models as they are built, and what steps log.

    What dbt's integration logs (its command line, the files that it copies) is left out,
    and so is what is louder than a note: the failure itself tells it better.
    """

    def on_event(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        step = entry.step_key or ""
        if event is None:
            if entry.level == logging.INFO and not step.endswith(_DBT_STEP):
                progress(entry.user_message)
        elif event.event_type == dg.DagsterEventType.STEP_START:
            progress(_words(step))
        elif event.is_step_materialization and step.endswith(_DBT_STEP) and event.asset_key:
            progress(f"{_words(step)}: {event.asset_key.to_user_string()}")

    return on_event


def _words(step: str) -> str:
    return step.replace("__", "_").replace("_", " ")


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Keep dbt's log off the user's standard output; Dagster's compute log still has it.

    Both write to the file descriptor, and Dagster turns that one around for each step: so
    what Python writes goes there too, whatever stands in for ``sys.stdout``.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        with open(1, "w", closefd=False) as descriptor, redirect_stdout(descriptor):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
