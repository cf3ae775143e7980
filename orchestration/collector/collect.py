"""``podledger collect``: watch a cluster, write its hours, until told to stop.

Holds the program around the history: threads that watch, one loop that takes in what they
see, asks for owners, writes hours that are over, and saves its memory. All that is decided
about pods is decided in the core.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from orchestration.collector.api import Api, ApiError
from orchestration.collector.devices import VERSIONS
from orchestration.collector.files import hour_files
from orchestration.collector.history import Event, History, Kind, Seen
from orchestration.collector.hours import read_hour
from orchestration.collector.journal import Journal
from orchestration.collector.metrics import Sampler
from orchestration.collector.owners import Owners
from orchestration.collector.quantities import utc
from orchestration.collector.stores import Store, open_store
from orchestration.collector.watching import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    Failed,
    Refused,
    Watcher,
)
from orchestration.inventory.sources.interface import Progress
from orchestration.lake.errors import PodledgerError

SAVE_SECONDS = 60
"""Between two savings of the history."""

PAUSE_SECONDS = 60
"""After hours were written, or could not be, and before the next are."""

TICK_SECONDS = 1.0
"""Between two looks at the clock while nothing happens."""

EVENTS_A_TURN = 10_000
"""Events that are taken in before the clock is looked at."""

CORE_PATHS: dict[Kind, str] = {"pods": "/api/v1/pods", "nodes": "/api/v1/nodes"}
"""Lists that every API server has."""

QUOTA_PATHS: dict[Kind, str] = {"resourcequotas": "/api/v1/resourcequotas"}
"""The list that is watched on demand."""

DEVICE_GROUP = "resource.k8s.io"
DEVICE_KINDS: tuple[Kind, ...] = ("resourceslices", "resourceclaims")
"""Lists of dynamic resource allocation, where the API serves it."""

_NOT_FOUND = 404


def collect(
    cluster: str,
    to: str,
    *,
    context: str | None = None,
    kubeconfig: Path | None = None,
    quotas: bool = False,
    progress: Progress = print,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Watch a cluster and write its pod-hours and node-hours, an hour at a time.

    Returns when it is told to stop, having saved what it knows; started again with the
    same cluster and place, it goes on.

    Args:
        cluster: Name of the cluster, as in the rows.
        to: A folder or ``s3://bucket/prefix``, which ``PODLEDGER_PODS`` then names.
        context: Context of the kubeconfig. Without it and ``kubeconfig``, the service
            account of the pod that this runs in, if it runs in one.
        kubeconfig: A kubeconfig, instead of where ``kubectl`` looks.
        quotas: Whether ResourceQuotas are watched and written, too.
        progress: Told each hour written, each gap, and each trouble.
        stop: Ends it. None: the signals SIGTERM and SIGINT do.
        clock: The present, seconds since 1970.

    Raises:
        PodledgerError: There is no API to be asked, the API does not let the collector see
            pods, nodes or quotas, or ``to`` is no place to write to.
    """
    if not cluster.strip():
        raise PodledgerError("The cluster has no name. Give the name that its rows carry.")
    store = open_store(to)
    api = Api.connect(context, kubeconfig)
    journal = Journal(store, cluster)
    history = journal.load(progress)
    journal.save(history)
    with _stopped_by_signals() if stop is None else _same(stop) as stopping:
        paths = _paths(api, stopping, progress)
        if quotas:
            paths |= QUOTA_PATHS
        progress(f"Collecting {cluster} from {api.host} to {to}: {', '.join(paths)}")
        _Collector(cluster, store, journal, history, api, progress, clock).run(
            paths, stopping
        )


class _Collector:
    """One run of the collector."""

    def __init__(
        self,
        cluster: str,
        store: Store,
        journal: Journal,
        history: History,
        api: Api,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._journal = journal
        self._history = history
        self._api = api
        self._progress = progress
        self._clock = clock
        self._owners = Owners(api, progress)
        self._events: SimpleQueue[Event | Failed] = SimpleQueue()
        self._told: set[str] = set()
        self._write_after = 0.0

    def run(self, paths: dict[Kind, str], stopping: threading.Event) -> None:
        contacts = self._history.contacts
        watchers = [
            Watcher(
                self._api,
                kind,
                path,
                contacts[kind].position if kind in contacts else None,
                self._events,
                self._clock,
                self._progress,
            )
            for kind, path in paths.items()
        ]
        sampler = Sampler(self._api, self._events, self._clock, self._progress)
        threads: list[Watcher | Sampler] = [*watchers, sampler]
        for thread in threads:
            thread.start()
        try:
            saved_at = time.monotonic()
            while True:
                self._take_in()
                self._adopt()
                self._write(list(paths))
                if time.monotonic() - saved_at >= SAVE_SECONDS:
                    self._save()
                    saved_at = time.monotonic()
                if stopping.is_set():
                    return
        finally:
            for thread in threads:
                thread.stop()
            for thread in threads:
                thread.join(timeout=10)
            self._save()

    def _take_in(self) -> None:
        """Apply what has happened; wait for a tick if nothing has."""
        timeout = TICK_SECONDS
        for _ in range(EVENTS_A_TURN):
            try:
                event = (
                    self._events.get(timeout=timeout)
                    if timeout
                    else self._events.get_nowait()
                )
            except Empty:
                return
            timeout = 0
            if isinstance(event, Failed):
                raise _failure(event) from event.error
            try:
                self._history.apply(event)
            except (KeyError, TypeError, ValueError) as error:
                self._tell(f"{_named(event)} is left out: it cannot be read ({error!r})")
            self._tell_foreign_node(event)

    def _adopt(self) -> None:
        """Find what new pods belong to; those that cannot be asked for now wait."""
        for uid in list(self._history.orphans):
            pod = self._history.pods[uid]
            if pod.controller is None:
                self._history.adopt(uid, None)
                continue
            try:
                workload = self._owners.workload(pod.controller, pod.namespace)
            except ApiError:
                return
            self._history.adopt(uid, workload)

    def _write(self, kinds: list[Kind]) -> None:
        """Write the hours that are due; one that cannot be written is tried again."""
        if time.monotonic() < self._write_after:
            return
        for hour in self._history.due(int(self._clock()), kinds):
            content = read_hour(
                self._history,
                self._cluster,
                hour,
                with_quotas="resourcequotas" in kinds,
            )
            try:
                for name, data in hour_files(self._cluster, hour, content):
                    self._store.write(name, data)
            except PodledgerError as error:
                self._progress(str(error))
                self._write_after = time.monotonic() + PAUSE_SECONDS
                return
            self._history.wrote(hour)
            self._write_after = time.monotonic() + PAUSE_SECONDS
            self._progress(
                f"{utc(hour):%Y-%m-%d %H}:00 {content.pod_hours.num_rows:,} pod-hours,"
                f" {content.node_hours.num_rows:,} node-hours"
            )
            for gap in content.gaps:
                self._tell(f"gap: {gap}")
            if content.without_node:
                self._progress(
                    f"{len(content.without_node):,} pods are left out of this hour: their"
                    f" nodes are unknown (first: {content.without_node[0]})"
                )
            self._save()

    def _save(self) -> None:
        try:
            self._journal.save(self._history)
        except PodledgerError as error:
            self._tell(str(error))

    def _tell_foreign_node(self, event: Event) -> None:
        """Say once that the cluster has nodes that no EC2 bill knows."""
        if isinstance(event, Seen) and event.kind == "nodes":
            node = self._history.nodes.get(event.item["metadata"]["uid"])
            if node is not None and node.state.instance_id is None:
                self._tell(
                    "Nodes that are not EC2 instances are left out, with their pods",
                    f" (first: {node.state.name}, provider id {node.state.provider_id!r})",
                )

    def _tell(self, message: str, detail: str = "") -> None:
        """Say something once, however often it happens."""
        if message not in self._told:
            self._told.add(message)
            self._progress(message + detail)


def _paths(api: Api, stopping: threading.Event, progress: Progress) -> dict[Kind, str]:
    """What to watch, at the best version that the API serves; waits for a slow server."""
    wait = FIRST_WAIT_SECONDS
    while not stopping.is_set():
        try:
            return {**CORE_PATHS, **_device_paths(api, progress)}
        except ApiError as error:
            progress(f"{api.host} does not answer ({error}); trying again in {wait:.0f} s")
            stopping.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
    return dict(CORE_PATHS)


def _device_paths(api: Api, progress: Progress) -> dict[Kind, str]:
    try:
        group = api.get(f"/apis/{DEVICE_GROUP}")
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return {}
        raise
    served = {version["version"] for version in group.get("versions") or ()}
    for version in VERSIONS:
        if version in served:
            return {kind: f"/apis/{DEVICE_GROUP}/{version}/{kind}" for kind in DEVICE_KINDS}
    progress(
        f"The API serves {DEVICE_GROUP} only as {', '.join(sorted(served))}, which is not"
        " understood: devices of claims are left out"
    )
    return {}


def _failure(failed: Failed) -> Exception:
    if isinstance(failed.error, Refused):
        return PodledgerError(
            f"The Kubernetes API does not let the collector watch {failed.kind}"
            f" ({failed.error}). Give its service account or user the ClusterRole of"
            " deploy/collector.yaml."
        )
    return failed.error


def _named(event: Event) -> str:
    item = getattr(event, "item", {})
    meta = item.get("metadata") or {}
    kind = getattr(event, "kind", "")
    return f"{kind} {meta.get('namespace', '')}/{meta.get('name', '')}"


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set while this lasts."""
    stopping = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopping.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _same(stop: threading.Event) -> Iterator[threading.Event]:
    yield stop
