"""A session of Spark: where it runs, whether its executors can do our work, and its errors.

Holds everything about connecting. ``SPARK_REMOTE`` names a Spark Connect server; without
it, Spark runs in this process, on all cores. dbt opens a session of its own, which the
target ``spark`` of ``profiles.yml`` describes; it may first ask here whether it can.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pyarrow as pa

from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import spark_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PACKAGES = ("podledger", "pyarrow", "numpy", "numba")
"""What must be the same here and on executors, so that every engine books the same."""

_RAISED = re.compile(r"[\w.]*(Error|Exception): ")
"""How the last line of a Python traceback begins."""

_CONNECT_PORT = 15002
_PATIENCE_SECONDS = 10

_ROWS_TO_PYTHON = 1_000
"""Rows that go to Python at a time. Spark 4.3 measures again at every row what it gathered,
so the cost grows with the square: 131,072 rows took twenty times the CPU of 1,000."""

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(_ROWS_TO_PYTHON),
}
"""Set on every session; neither can change a figure."""

_IN_PROCESS: dict[str, bool | float | int | str | None] = {
    "spark.master": "local[*]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
"""How Spark runs in this process, seen by nobody else."""


def require_spark() -> None:
    """Look whether Spark's client is installed and its server, if one is named, is there.

    Raises:
        PodledgerError: Neither, or not both.
    """
    missing = [name for name in ("pyspark", "dbt.adapters.spark") if not _is_there(name)]
    if missing:
        raise PodledgerError(
            f"PODLEDGER_ENGINE is spark, and {', '.join(missing)} is not installed. Install"
            " podledger[spark], or set PODLEDGER_ENGINE=local."
        )
    remote = spark_remote()
    if remote:
        _require_reachable(remote)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


@contextmanager
def open_spark() -> Iterator[SparkSession]:
    """Open a session, look whether its executors can do our work, and end it afterwards.

    Raises:
        PodledgerError: pyspark or Java is missing, the server cannot be reached, versions
            differ, or Spark fails at what is done with the session.
    """
    require_spark()
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # no types
    from pyspark.errors import PySparkException

    remote = spark_remote()
    place = remote.partition(";")[0] if remote else "in this process"
    try:
        spark = _connect(remote) if remote else _start()
        try:
            for name, value in _SETTINGS.items():
                spark.conf.set(name, value)
            _require_same_versions(spark, place)
            yield spark
        finally:
            spark.stop()
    except (PySparkException, Py4JError) as error:
        raise PodledgerError(
            f"Spark ({place}) failed: {_reason(error)}. Nothing was written. Look into the"
            " logs of the driver and of the executors, and close the month again."
        ) from error


def _connect(remote: str) -> SparkSession:
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    return cast("SparkSession", ConnectSession.builder.remote(remote).create())


def _start() -> SparkSession:
    from pyspark.sql import SparkSession

    # Its workers run the Python that they find by this name alone, else any python3.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return SparkSession.builder.config(map=_IN_PROCESS).getOrCreate()


def _require_reachable(remote: str) -> None:
    """Knock at the server's door: Spark's own client tries for minutes.

    Raises:
        PodledgerError: The address is none, or nobody answers.
    """
    try:
        address = urlsplit(remote)
        place = (address.hostname or "", address.port or _CONNECT_PORT)
        if address.scheme != "sc" or not address.hostname:
            raise ValueError("it is not sc://host:port")
        socket.create_connection(place, timeout=_PATIENCE_SECONDS).close()
    except (OSError, ValueError) as error:
        raise PodledgerError(
            f"Spark Connect cannot be reached at {remote.partition(';')[0]}: {error}. Start"
            " the server, correct SPARK_REMOTE (sc://host:15002), or unset it to run Spark"
            " in this process."
        ) from error


def _require_same_versions(spark: SparkSession, place: str) -> None:
    """Hold what server and executors have against what is here.

    Raises:
        PodledgerError: Something is missing there or is of another version.
    """
    differing = _differences({"pyspark": spark.version})
    if not differing:
        differing = _differences(_versions_there(spark))
    if differing:
        raise PodledgerError(
            f"Spark ({place}) does not have the versions that podledger has here:"
            f" {', '.join(differing)}. Install the same on both sides (deploy/spark.md)."
        )


def _differences(theirs: dict[str, str]) -> list[str]:
    ours = {name: version(name) for name in theirs}
    return [
        f"{name} is {theirs[name]} there and {ours[name]} here"
        for name in theirs
        if theirs[name] != ours[name]
    ]


def _versions_there(spark: SparkSession) -> dict[str, str]:
    """Ask one executor for its packages, by a function that needs nothing of ours."""
    packages = _PACKAGES

    def tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from importlib.metadata import PackageNotFoundError, version

        found = []
        for name in packages:
            try:
                found.append(version(name))
            except PackageNotFoundError:
                found.append("missing")
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"name": packages, "version": found})

    rows = spark.range(0, 1, 1, 1).mapInArrow(tell, "name string, version string").collect()
    return {row.name: row.version for row in rows}


def _reason(error: Exception) -> str:
    """The last line that an exception of Python left, else the first line of Spark's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised[-1] if raised else lines[0] if lines else type(error).__name__).rstrip(
        ". "
    )
