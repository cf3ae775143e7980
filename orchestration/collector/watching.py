"""Watching one kind of objects for as long as the collector runs.

Holds the loop of list and watch, and when to do which: a watch is resumed where it ended,
a position that is too old means a new list. Runs in a thread of its own; tells what it
sees through a queue, in order, and decides nothing about it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from urllib3 import HTTPResponse

from orchestration.collector.api import Api, ApiError, GoneError
from orchestration.collector.history import Deleted, Event, Kind, Listed, Reached, Seen
from orchestration.inventory.sources.interface import Progress

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
"""Between two attempts, doubled from one to the next."""

PATIENCE = 3
"""Watches from one position that may fail before the kind is listed again."""

_REFUSED = (401, 403)


@dataclass(frozen=True)
class Failed:
    """A watcher has ended, and the collector cannot go on without it."""

    kind: Kind
    error: Exception


class Refused(Exception):
    """The API server does not let the collector see a kind."""


class Watcher(threading.Thread):
    """A thread that lists and watches one kind.

    Args:
        api: The server.
        kind: What is watched.
        path: Path of its list.
        position: Where to resume; None lists it first.
        events: Takes what is seen.
        clock: The present, seconds since 1970.
        progress: Told each loss of contact once, and the way back.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        path: str,
        position: str | None,
        events: SimpleQueue[Event | Failed],
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        super().__init__(name=f"watch {kind}", daemon=True)
        self.kind = kind
        self._api = api
        self._path = path
        self._position = position
        self._events = events
        self._clock = clock
        self._progress = progress
        self._stopping = threading.Event()
        self._response: HTTPResponse | None = None
        self._failures = 0
        self._was_in_contact = False

    def stop(self) -> None:
        """End the thread soon; a read that waits is cut short."""
        self._stopping.set()
        response = self._response
        if response is not None:
            # The response may end by itself meanwhile: then there is nothing to cut.
            with suppress(Exception):
                response.shutdown()

    def run(self) -> None:
        """List and watch until stopped."""
        try:
            while not self._stopping.is_set():
                self._once()
        except Exception as error:
            self._events.put(Failed(self.kind, error))

    def _once(self) -> None:
        """One list if there is no position, and one watch."""
        try:
            if self._position is None:
                self._position = self._list()
            self._watch(self._position)
        except GoneError:
            self._position = None
            self._stopping.wait(FIRST_WAIT_SECONDS)
        except ApiError as error:
            if not self._stopping.is_set():
                self._lost(error)

    def _list(self) -> str:
        try:
            return self._read_list(is_paged=True)
        except GoneError:
            # A list too long for its pages to stay fresh is taken in one piece.
            return self._read_list(is_paged=False)

    def _read_list(self, *, is_paged: bool) -> str:
        uids: set[str] = set()
        position = ""
        for page in self._api.pages(self._path, is_paged=is_paged):
            self._contact()
            at = self._now()
            for item in page.get("items") or ():
                uids.add(item["metadata"]["uid"])
                self._events.put(Seen(self.kind, item, at))
            position = page["metadata"]["resourceVersion"]
        self._events.put(Listed(self.kind, frozenset(uids), self._now(), position))
        return position

    def _watch(self, position: str) -> None:
        for event in self._api.watch(self._path, position, self._opened):
            self._contact()
            position = self._take(event)
        if not self._stopping.is_set():
            # The server ends a watch when its time is up: nothing else happened until now.
            self._contact()
            self._events.put(Reached(self.kind, self._now(), position))

    def _opened(self, response: HTTPResponse) -> None:
        self._response = response
        if self._stopping.is_set():
            self.stop()

    def _take(self, event: dict[str, Any]) -> str:
        """Pass on one event; gives the position behind it."""
        item, at = event["object"], self._now()
        self._position = position = str(item["metadata"]["resourceVersion"])
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._events.put(Seen(self.kind, item, at, position))
            case "DELETED":
                self._events.put(Deleted(self.kind, item, at, position))
            case _:
                self._events.put(Reached(self.kind, at, position))
        return position

    def _contact(self) -> None:
        if self._failures >= PATIENCE:
            self._progress(f"{self.kind}: in contact with {self._api.host} again")
        self._failures = 0
        self._was_in_contact = True

    def _lost(self, error: ApiError) -> None:
        """Wait before the next attempt, longer each time."""
        if error.status in _REFUSED and not self._was_in_contact:
            raise Refused(str(error)) from error
        self._failures += 1
        if self._failures == PATIENCE:
            self._progress(
                f"{self.kind}: {self._api.host} does not answer ({error}); trying on"
            )
            self._position = None
        wait = FIRST_WAIT_SECONDS * 2 ** (self._failures - 1)
        self._stopping.wait(min(wait, LONGEST_WAIT_SECONDS))

    def _now(self) -> int:
        return int(self._clock())
