"""A real Prometheus on loopback, filled with blocks that promtool made."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

PROGRAMS = ("prometheus", "promtool")


def missing_programs() -> str:
    """What is not installed and how to have it; empty if nothing is missing."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    return (
        f"{' and '.join(missing)} not found: apt-get install prometheus" if missing else ""
    )


@contextlib.contextmanager
def serving(lines: Iterable[str], folder: Path) -> Iterator[str]:
    """Start a Prometheus that holds OpenMetrics lines; gives ``host:port``.

    Args:
        lines: In the order of time, with ``# EOF`` at the end.
        folder: Empty folder for samples, blocks and log.

    Raises:
        RuntimeError: It does not become ready.
    """
    with (folder / "samples.txt").open("w") as samples:
        samples.writelines(lines)
    (folder / "empty.yml").write_text("")
    create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q"]
    subprocess.run(
        [*create, str(folder / "samples.txt"), str(folder / "data")],
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


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"Prometheus did not become ready:\n{log.read_text()[-2000:]}")
