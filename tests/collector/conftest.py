"""A cluster behind a real API server, and collectors that watch it."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.collector import collect as collecting
from orchestration.collector import watching
from orchestration.collector.collect import collect
from orchestration.collector.files import file_name
from orchestration.collector.history import SETTLING_SECONDS
from orchestration.collector.stores import open_store
from orchestration.inventory.gaps import GAPS
from tests.collector.objects import HOUR, T0, node
from tests.collector.server import NODES, Cluster, serve, write_kubeconfig

PATIENCE_SECONDS = 60
"""Until a test gives up; nothing waits so long but on a machine that stands still."""


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for another thread to get there."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.01)


@dataclass
class Running:
    """A collector in a thread, with a clock that the test sets."""

    cluster: Cluster
    kubeconfig: Path
    to: str
    now: float = T0 + 60
    said: list[str] = field(default_factory=list)
    error: Exception | None = None
    quotas: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
            assert not self._thread.is_alive()

    def join(self) -> Exception:
        """Wait for a collector that cannot go on."""
        assert self._thread is not None
        self._thread.join(PATIENCE_SECONDS)
        assert self.error is not None
        return self.error

    def heard(self, text: str) -> None:
        wait_until(lambda: any(text in line for line in self.said), f"{text}: {self.said}")

    def asked(self, way: str, path: str, times: int = 1) -> None:
        """Wait until the server was asked."""
        wait_until(
            lambda: self.cluster.requests[way, path] >= times,
            f"{way} {path}: {self.cluster.requests} {self.said}",
        )

    def pass_hour(self, hour: int = T0) -> list[dict[str, Any]]:
        """Let an hour pass, and read its pods as they were written."""
        self.now = max(self.now, hour + HOUR + SETTLING_SECONDS)
        name = file_name("prod", "pod_hours", hour)
        wait_until(lambda: self._bookmarked(name), f"{name}: {self.said}")
        return self.rows(hour)

    def rows(self, hour: int = T0) -> list[dict[str, Any]]:
        return list(pq.read_table(self._open("pod_hours", hour)).to_pylist())

    def nodes(self, hour: int = T0) -> list[dict[str, Any]]:
        return list(pq.read_table(self._open("node_hours", hour)).to_pylist())

    def quotas_of(self, hour: int = T0) -> list[dict[str, Any]]:
        return list(pq.read_table(self._open("quota_hours", hour)).to_pylist())

    def gaps(self, hour: int = T0) -> list[dict[str, str]]:
        metadata = pq.read_schema(self._open("pod_hours", hour)).metadata
        gaps: list[dict[str, str]] = json.loads(metadata[GAPS])
        return gaps

    def _bookmarked(self, name: str) -> bool:
        self.cluster.bookmark()
        return open_store(self.to).read(name) is not None

    def _open(self, kind: Any, hour: int) -> io.BytesIO:
        content = open_store(self.to).read(file_name("prod", kind, hour))
        assert content is not None
        return io.BytesIO(content)

    def _run(self) -> None:
        try:
            collect(
                "prod",
                self.to,
                context="test",
                kubeconfig=self.kubeconfig,
                quotas=self.quotas,
                progress=self.said.append,
                stop=self._stop,
                clock=lambda: self.now,
            )
        except Exception as error:  # told to the test, which is in another thread
            self.error = error


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits as short as a test can bear; what they wait for is the same."""
    monkeypatch.setattr(watching, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(collecting, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(collecting, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(collecting, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def cluster() -> Cluster:
    """A cluster with one node."""
    cluster = Cluster()
    cluster.put(NODES, node())
    return cluster


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    address, end = serve(cluster)
    yield write_kubeconfig(tmp_path / "kubeconfig", address)
    end()


@pytest.fixture
def collector(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path, _quick: None
) -> Iterator[Running]:
    """A collector that is not started yet; it writes to a folder."""
    running = Running(cluster, kubeconfig, str(tmp_path / "pods"))
    yield running
    running.stop()
