"""Whose turn it is: a run clears after the dead, waits for the living, and shows itself.

Holds the rule for every run, from the command line, a schedule or the UI. Runs of several
months work side by side and take turns in the warehouse; a month is one run's at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import dagster as dg

from orchestration.close.leftovers import HOME_TAG, RUN_VARIABLE, clear, home_of
from orchestration.close.presence import Presence, announced, one_at_a_time, presences
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import Settings

_POLL_SECONDS = 1.0


@contextmanager
def taking_turns(
    settings: Settings,
    instance: dg.DagsterInstance,
    presence: Presence,
    tell: Callable[[str], None],
) -> Iterator[None]:
    """Work as a run of a home: from its turn on, until the block ends.

    Args:
        settings: Of the home; ``wait`` bounds how long the run waits for another.
        instance: That the run is recorded in.
        presence: Of the run.
        tell: Called with one line for what was cleared, and for whom is waited.

    Raises:
        PodledgerError: Another run of the month works, and did not end in time. The same
            is raised within the block, where a step waits for the warehouse.
    """
    with ExitStack() as stack:
        _announce(settings, instance, presence, tell, stack)
        if instance.has_run(presence.run_id):
            instance.add_run_tags(presence.run_id, tags_of(settings))
        instance.add_event_listener(
            presence.run_id, _listener(settings, instance, presence, tell)
        )
        stack.enter_context(_marked(presence.run_id))
        yield


def tags_of(settings: Settings) -> dict[str, str]:
    """Tags of a run of this home."""
    return {HOME_TAG: home_of(settings)}


def _announce(
    settings: Settings,
    instance: dg.DagsterInstance,
    presence: Presence,
    tell: Callable[[str], None],
    stack: ExitStack,
) -> None:
    """Clear, wait for other runs of the month, and say that this one works."""
    patience = _Patience(settings, tell)
    while True:
        with one_at_a_time(settings.home):
            clear(settings, instance, tell)
            working, _ = presences(settings.home)
            if any(other.run_id == presence.run_id for other in working):
                return  # A process of this run, which did announce it.
            others = [
                other for other in working if other.month and other.month == presence.month
            ]
            if not others:
                stack.enter_context(announced(settings.home, presence))
                return
        patience.wait_for(others, "a month is closed by one run at a time")


def _listener(
    settings: Settings,
    instance: dg.DagsterInstance,
    presence: Presence,
    tell: Callable[[str], None],
) -> Callable[[dg.EventLogEntry], None]:
    """Wait where Dagster finds the pool taken: by itself, it asks as fast as it can.

    See https://docs.dagster.io/guides/operate/managing-concurrency/concurrency-pools
    """
    storage = instance.event_log_storage

    def on_event(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.event_type != dg.DagsterEventType.ENGINE_EVENT:
            return
        pool = event.engine_event_data.metadata.get("pool")
        if pool is None or event.step_key is None:
            return
        patience = _Patience(settings, tell)
        while True:
            name = str(pool.value)
            found = storage.get_concurrency_info(name)
            holders = {slot.run_id for slot in found.claimed_slots} - {presence.run_id}
            claim = storage.check_concurrency_claim(name, presence.run_id, event.step_key)
            if claim.is_assigned or not holders:
                return
            with one_at_a_time(settings.home):
                clear(settings, instance, tell)
            working, _ = presences(settings.home)
            others = [other for other in working if other.run_id in holders]
            patience.wait_for(others, f"one step at a time works in the {name}")

    return on_event


class _Patience:
    """Waits, second by second, and says once for whom."""

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self._minutes = settings.wait
        self._until = time.monotonic() + 60 * settings.wait
        self._tell = tell
        self._told: set[str] = set()

    def wait_for(self, others: Sequence[Presence], why: str) -> None:
        """Let a second pass.

        Raises:
            PodledgerError: It was the last.
        """
        whom = " and ".join(map(str, others)) or "another run of this Dagster instance"
        if time.monotonic() >= self._until:
            raise PodledgerError(
                f"Waited {self._minutes:g} minutes for {whom}, and it is still running:"
                f" {why}. Wait until it ends, or stop it (in Dagster, or by its process)."
                " To wait longer, set PODLEDGER_WAIT, in minutes."
            )
        if whom not in self._told:
            self._told.add(whom)
            self._tell(
                f"Warning: waiting for {whom}, at most {self._minutes:g} minutes: {why}."
            )
        # The other may be on another machine, or die: nothing tells when it is done.
        time.sleep(min(_POLL_SECONDS, max(0.0, self._until - time.monotonic())))


@contextmanager
def _marked(run_id: str) -> Iterator[None]:
    """Mark the processes that are started from here on as this run's."""
    os.environ[RUN_VARIABLE] = run_id
    try:
        yield
    finally:
        os.environ.pop(RUN_VARIABLE, None)
