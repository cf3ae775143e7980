"""Fixtures that every room's tests share."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Months of real bills are of 2018; the partitions are made when Dagster's are imported.
os.environ["PODLEDGER_FIRST_MONTH"] = "2018-01"

import boto3
import pytest
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage import local_compute_log_manager
from moto.server import ThreadedMotoServer

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.engines.dbt.project import manifest_path
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests import workers
from tests.purchases import Closed, close_purchases
from tests.spark_server import SparkServer, running_spark_server
from tests.worlds import PAYERS, WORLD, write_cur2, write_legacy, write_pods

_SKIPPED: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make dbt's manifest before there are several processes that would each make it."""
    if getattr(config.option, "numprocesses", None):
        manifest_path()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several processes, files that take long go first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: workers.place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.WholeFiles:
    return workers.WholeFiles(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped: in CI a skip is a failure, for nobody reads it there."""
    if report.skipped and os.environ.get("CI"):
        _SKIPPED.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _SKIPPED and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in _SKIPPED:
        terminalreporter.line(f"skipped, which CI does not allow: {name}", red=True)


@pytest.fixture(scope="session", autouse=True)
def _no_instance_of_the_developer() -> Iterator[None]:
    """Runs are recorded in the tests' own homes, although ``make`` exports DAGSTER_HOME."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_processes_that_mirror_logs() -> Iterator[None]:
    """What steps print goes to their logs alone, of closes in this process.

    To show it on the terminal too, Dagster starts four processes for every step.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_compute_log_manager, "mirror_stream_to_file", redirect_to_file)
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the settings that it makes, whatever the shell or a .env file says."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PODLEDGER_{name.upper()}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture
def october() -> Month:
    return Month(2026, 10)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")


@pytest.fixture(scope="session")
def closed_world(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """The world as CUR 2.0, one export a payer, its pods as Parquet; closed once.

    Its home is three folders above the revision, its bill and pods beside the home.
    """
    folder = tmp_path_factory.mktemp("world")
    for payer in PAYERS:
        write_cur2(WORLD, folder / payer, [payer])
    write_pods(WORLD, folder / "pods")
    settings = Settings(
        bill=tuple(str(folder / payer) for payer in PAYERS),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        _env_file=None,
    )
    return close_month(Month(2026, 10), settings, lambda _: None)


@pytest.fixture(scope="session")
def closed_legacy_world(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """The same world as a legacy report, its pods shuffled and as NDJSON; closed once."""
    folder = tmp_path_factory.mktemp("legacy")
    write_legacy(WORLD, folder / "bill")
    write_pods(WORLD, folder / "pods", "ndjson", shuffle=3)
    settings = Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        _env_file=None,
    )
    return close_month(Month(2026, 10), settings, lambda _: None)


@pytest.fixture(scope="session", params=["cur2", "legacy"])
def closed_purchases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Closed:
    """The month of purchases, closed from each kind of export in turn."""
    return close_purchases(tmp_path_factory.mktemp("purchases"), request.param)


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    """AWS over HTTP on loopback, for the session."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Point boto3 at an empty AWS, as a user would: by environment. Gives its address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.DEFAULT_SESSION = None
    yield moto_address
    urllib.request.urlopen(
        urllib.request.Request(f"{moto_address}/moto-api/reset", method="POST"), timeout=10
    ).close()
    boto3.DEFAULT_SESSION = None


@pytest.fixture(scope="session")
def spark_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkServer]:
    """A real Spark Connect server on loopback, for the session."""
    with running_spark_server(tmp_path_factory.mktemp("spark")) as server:
        yield server


@pytest.fixture
def connected(spark_server: SparkServer, monkeypatch: pytest.MonkeyPatch) -> SparkServer:
    """The server, and ``SPARK_REMOTE`` that names it."""
    monkeypatch.setenv("SPARK_REMOTE", spark_server.address)
    return spark_server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Public captures that lie beside the checkout of those who have them."""
    folder = PROJECT_DIR.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder}")
    return folder
