"""Real Prometheus servers on loopback, filled with blocks that promtool made."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.inventory.sources.prometheus import world

Serve = Callable[[Iterable[str]], contextlib.AbstractContextManager[str]]
"""Starts a Prometheus that holds OpenMetrics lines; gives ``host:port``."""


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Debian's package ``prometheus``; in CI, doing without it is a failure."""
    if missing := [name for name in ("prometheus", "promtool") if not shutil.which(name)]:
        message = f"{' and '.join(missing)} not found: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    @contextlib.contextmanager
    def serving(lines: Iterable[str]) -> Iterator[str]:
        folder = tmp_path_factory.mktemp("prometheus")
        with (folder / "samples.txt").open("w") as samples:
            samples.writelines(lines)
        (folder / "empty.yml").write_text("")
        subprocess.run(
            [
                "promtool",
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "-q",
                str(folder / "samples.txt"),
                str(folder / "data"),
            ],
            check=True,
            capture_output=True,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'empty.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--storage.tsdb.retention.time=100y",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_ready(address, server, folder / "log")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=20)

    return serving


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"Prometheus did not become ready:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def world_server(serve: Serve) -> Iterator[str]:
    """The world of ``world.py`` in a Prometheus."""
    with serve(world.open_metrics()) as address:
        yield address
