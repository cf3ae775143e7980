"""A real Spark Connect server on loopback, out of the pyspark package."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

EXECUTORS = 2

_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For a JVM of some minutes: compiling its code for speed takes longer than the queries."""


@dataclass(frozen=True)
class SparkServer:
    """A running server: its address, and the process that its others descend from."""

    address: str
    pid: int

    def processes(self, kind: str) -> list[int]:
        """Its executors, or the Python workers that these have forked."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                parents[int(status.parent.name)] = int(fields[1])
        ours = [pid for pid in parents if self._descends(pid, parents)]
        if kind == "executor":
            return [pid for pid in ours if b"CoarseGrainedExecutor" in _command(pid)]
        daemons = [pid for pid in ours if b"pyspark.daemon" in _command(pid)]
        return [pid for pid in daemons if parents[pid] in daemons]

    @contextlib.contextmanager
    def one_killed(self, kind: str, folder: Path, pattern: str) -> Iterator[None]:
        """Kill one of its processes as soon as a file of the pattern is in the folder."""
        killed: list[int] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                if any(folder.glob(pattern)):
                    for process in self.processes(kind)[:1]:
                        os.kill(process, signal.SIGKILL)
                        killed.append(process)
                    return
                # What Spark writes tells nobody; a task takes some milliseconds.
                time.sleep(0.002)

        killer = threading.Thread(target=watch)
        killer.start()
        try:
            yield
        finally:
            done.set()
            killer.join()
        assert len(killed) == 1, f"no {kind} was killed"

    def _descends(self, pid: int, parents: dict[int, int]) -> bool:
        while pid > 1 and pid != self.pid:
            pid = parents.get(pid, 0)
        return pid == self.pid


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def running_spark_server(folder: Path) -> Iterator[SparkServer]:
    """A server with two executors, each a process of its own; it works in the folder.

    Skips the test where pyspark or Java is missing. In CI that is a failure.
    """
    missing = [
        name
        for name, found in {
            "pyspark": importlib.util.find_spec("pyspark"),
            "grpc_status": importlib.util.find_spec("grpc_status"),
            "java": shutil.which("java"),
        }.items()
        if not found
    ]
    if missing:
        message = (
            f"{', '.join(missing)} not found: install podledger[spark] and a Java 17"
            " (apt-get install openjdk-17-jre-headless)"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    import pyspark

    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "768m",
        "spark.executor.memory": "512m",
        "spark.driver.extraJavaOptions": _SHORT_LIVED,
        "spark.executor.extraJavaOptions": _SHORT_LIVED,
        # Of tables of a few rows; Spark's own 200 are for large ones.
        "spark.sql.shuffle.partitions": 4,
        # Compiling code for each of hundreds of queries takes longer than running them.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.warehouse.dir": folder / "warehouse",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                str(home / "sbin" / "start-connect-server.sh"),
                *("--master", f"local-cluster[{EXECUTORS},1,512]"),
                *(
                    part
                    for item in settings.items()
                    for part in ("--conf", "=".join(map(str, item)))
                ),
            ],
            cwd=folder,
            env={
                **os.environ,
                "SPARK_HOME": str(home),
                "SPARK_NO_DAEMONIZE": "1",
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_LOCAL_DIRS": str(folder / "local"),
                "SPARK_LOG_DIR": str(folder),
                "SPARK_PID_DIR": str(folder),
                "PYSPARK_PYTHON": sys.executable,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(port, server, folder / "log")
        yield SparkServer(f"sc://127.0.0.1:{port}", server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_until_ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(3000):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"Spark Connect did not become ready:\n{log.read_text()[-4000:]}")
