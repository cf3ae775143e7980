"""Dagster as ``make ui`` serves it, on a port and a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestration.lake.settings import PROJECT_DIR

CHROMIUM = "/usr/bin/chromium"
"""Debian's; Playwright's own browsers are a download that is not made here."""

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
"""For a container: no user namespaces, and little shared memory."""


@contextlib.contextmanager
def serve(home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start webserver and daemon, and give the address when GraphQL answers.

    Args:
        home: ``PODLEDGER_HOME``; Dagster's own home is ``dagster`` beneath it.
        environment: Further settings.
    """
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_DIR / "dagster.yaml", home / "dagster" / "dagster.yaml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("dagster")), "dev"]
    command += ["-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    settings = {"PODLEDGER_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    with (home / "ui.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=PROJECT_DIR,
            env={**os.environ, **settings, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}", server, home / "ui.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def ask(address: str, query: str) -> dict[str, Any]:
    """One GraphQL query."""
    request = urllib.request.Request(
        f"{address}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
    return found


def _wait_until_it_answers(
    address: str, server: subprocess.Popen[bytes], log: Path
) -> None:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    for _ in range(1800):
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if ask(address, query)["repositoriesOrError"].get("nodes"):
                return
        time.sleep(0.2)
    raise RuntimeError(f"Dagster did not answer:\n{log.read_text()[-3000:]}")
