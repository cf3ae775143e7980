"""A real Postgres on loopback, as Debian's package ``postgresql`` brings it."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestration.lake.settings import PROJECT_DIR

DEPLOY = PROJECT_DIR / "deploy"
USER, PASSWORD, DATABASE = "dagster", "not-a-secret", "dagster"


@pytest.fixture(scope="session")
def compose() -> dict:
    """``deploy/compose.yaml``."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="session")
def helm_values() -> dict:
    """``deploy/helm-values.yaml``."""
    return yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """A new cluster with an empty database; in CI, doing without it is a failure.

    Postgres refuses to run as root: then it runs as the package's own user.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not binaries:
        message = "Postgres not found: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    tools = binaries[-1].parent
    is_root = os.geteuid() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="podledger-postgres-"))
    password = folder / "password"
    password.write_text(PASSWORD)
    if is_root:
        for path in (folder, password):
            shutil.chown(path, "postgres")

    def run(*command: str) -> None:
        become = ["runuser", "-u", "postgres", "--"] if is_root else []
        subprocess.run(
            [*become, *command],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    data = str(folder / "data")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        run(
            *(str(tools / "initdb"), "-D", data, "-U", USER, f"--pwfile={password}"),
            *("-A", "scram-sha-256", "--no-sync"),
        )
        run(
            *(str(tools / "pg_ctl"), "-D", data, "-w", "-o", options),
            *("-l", str(folder / "log"), "start"),
        )
        try:
            # The package has no psql of its own folder everywhere: ask through the driver.
            psycopg2 = pytest.importorskip("psycopg2", reason="podledger[postgres]")
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres"
            )
            connection.autocommit = True
            connection.cursor().execute(f"create database {DATABASE}")
            connection.close()
            yield port
        finally:
            run(str(tools / "pg_ctl"), "-D", data, "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def team_home(postgres_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``deploy/dagster.postgres.yaml``, and the environment it asks for."""
    for name, value in {
        "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(postgres_port),
        "DAGSTER_PG_USERNAME": USER,
        "DAGSTER_PG_PASSWORD": PASSWORD,
        "DAGSTER_PG_DB": DATABASE,
        "DAGSTER_COMPUTE_LOGS": str(tmp_path / "compute_logs"),
    }.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "dagster_home"
    home.mkdir()
    shutil.copyfile(DEPLOY / "dagster.postgres.yaml", home / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home
