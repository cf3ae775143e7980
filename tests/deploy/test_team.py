"""Postgres, code server, web server and daemon together, by the commands of Compose."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration.automation.failures import EVENTS, why
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.deploy.conftest import DEPLOY

BIN = Path(sys.executable).parent
MONTH = "2026-10"
_PATIENCE_SECONDS = 300


@pytest.mark.slow
def test_a_month_that_waits_in_the_queue_of_a_team_is_closed_by_its_code_server(
    team_home: Path, tmp_path: Path, compose: dict
) -> None:
    home = tmp_path / "home"
    code_port, web_port = _free_port(), _free_port()
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": code_port}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    here = {
        "0.0.0.0": "127.0.0.1",
        "4000": str(code_port),
        "3000": str(web_port),
        "deploy/workspace.yaml": str(tmp_path / "workspace.yaml"),
    }
    environment = os.environ | {"PODLEDGER_HOME": str(home)}

    def command(service: str) -> list[str]:
        name, *words = compose["services"][service]["command"]
        return [str(BIN / name), *(here.get(word, word) for word in words)]

    with ExitStack() as running:
        for service in ("code", "webserver", "daemon"):
            log = tmp_path / f"{service}.log"
            running.enter_context(_serving(command(service), environment, log))
            if service == "code":
                _wait(lambda: _is_open(code_port), tmp_path)
        _wait(lambda: _locations(web_port) == ["podledger"], tmp_path)
        subprocess.run(
            [
                *(str(BIN / "dagster"), "job", "launch", "-j", "monthly_close"),
                *("-w", str(tmp_path / "workspace.yaml"), "-l", "podledger"),
                *("--tags", json.dumps({"dagster/partition": f"{MONTH}-01"})),
            ],
            env=environment,
            cwd=PROJECT_DIR,
            check=True,
            capture_output=True,
        )
        with dg.DagsterInstance.from_config(str(team_home)) as instance:
            (run,) = instance.get_runs()
            _wait(lambda: instance.get_run_by_id(run.run_id).is_finished, tmp_path)
            done = instance.get_run_by_id(run.run_id)
            records = instance.all_logs(run.run_id, of_type=EVENTS)
            events = [record.dagster_event for record in records]
            assert done.status is dg.DagsterRunStatus.SUCCESS, why(events, None)
    published = Settings(home=home).published / f"billing_month={MONTH}"
    assert (published / "revision=001" / "manifest.json").is_file()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _serving(words: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        server = subprocess.Popen(
            words, env=environment, cwd=PROJECT_DIR, stdout=out, stderr=out
        )
        try:
            yield
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait(is_so: Callable[[], bool], logs: Path) -> None:
    for _ in range(_PATIENCE_SECONDS):
        if is_so():
            return
        time.sleep(1)
    pytest.fail("\n".join(log.read_text()[-2000:] for log in sorted(logs.glob("*.log"))))


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _locations(port: int) -> list[str]:
    """Code locations that the web server has loaded; none while it starts."""
    query = "{repositoriesOrError {... on RepositoryConnection {nodes {location {name}}}}}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            nodes = json.load(answer)["data"]["repositoriesOrError"].get("nodes", [])
    except OSError:
        return []
    return [node["location"]["name"] for node in nodes]
