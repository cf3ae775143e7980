"""The recipes of ``deploy/`` against the checkout, the settings and the tools they call."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import click
import pytest
import yaml
from dagster._core.workspace.config_schema import process_workspace_config

from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.deploy.conftest import DEPLOY

SCRIPTS = {script.name: script for script in entry_points(group="console_scripts")}
SETTINGS = {f"PODLEDGER_{name.upper()}" for name in Settings.model_fields}
LIMITS = yaml.safe_load((PROJECT_DIR / "dagster.yaml").read_text())


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def parse_command(words: list[str]) -> None:
    """Have the tool that the words call parse them; it raises where it cannot."""
    command = importlib.import_module(SCRIPTS[words[0]].module).cli
    arguments = words[1:]
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    command.make_context(words[0], arguments)


def commands(compose: dict) -> list[list[str]]:
    (image,) = [value for name, value in instructions() if name == "CMD"]
    services = compose["services"].values()
    return [
        yaml.safe_load(image),
        *(one["command"] for one in services if "command" in one),
        *(
            one["healthcheck"]["test"][1:]
            for one in services
            if one.get("healthcheck", {}).get("test", [""])[0] == "CMD"
        ),
    ]


def test_every_command_of_image_and_compose_is_one_that_its_tool_understands(
    compose: dict,
) -> None:
    called = commands(compose)
    assert {words[0] for words in called} == {
        "dagster",
        "dagster-webserver",
        "dagster-daemon",
    }
    for words in called:
        parse_command(words)


def test_the_web_server_only_shows_and_listens_on_its_own_machine(compose: dict) -> None:
    web = compose["services"]["webserver"]
    assert "--read-only" in web["command"]
    assert web["ports"] == ["127.0.0.1:3000:3000"]
    assert all(
        "ports" not in compose["services"][n] for n in ("postgres", "code", "daemon")
    )


def test_the_image_copies_only_what_is_there_and_is_sent_to_the_builder() -> None:
    sent = [
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = {
        source
        for name, value in instructions()
        if name == "COPY" and "--from" not in value
        for source in value.split()[:-1]
    }
    assert copied == set(sent)
    for source in copied:
        assert (PROJECT_DIR / source).exists(), source


def test_the_image_runs_as_a_user_who_is_not_root() -> None:
    names = [name for name, _ in instructions()]
    (user,) = [value for name, value in instructions() if name == "USER"]
    assert user == "podledger"
    assert names.index("USER") < names.index("CMD")


def test_compose_sets_what_postgres_storage_and_the_settings_ask_for(
    compose: dict,
) -> None:
    asked = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.postgres.yaml").read_text()))
    for name in ("code", "webserver", "daemon"):
        service = compose["services"][name]
        given = set(service["environment"])
        assert asked <= given
        assert {one for one in given if one.startswith("PODLEDGER_")} <= SETTINGS
        assert "home:/data" in service["volumes"]
        assert service["environment"]["PODLEDGER_HOME"] == "/data"
        assert service["build"]["dockerfile"] == "deploy/Dockerfile"
        assert (DEPLOY / service["build"]["context"]).resolve() == PROJECT_DIR
    database = compose["services"]["postgres"]["environment"]
    assert database["POSTGRES_PASSWORD"] == service["environment"]["DAGSTER_PG_PASSWORD"]
    assert database["POSTGRES_DB"] == service["environment"]["DAGSTER_PG_DB"]


def test_the_workspace_names_the_code_server_of_compose(compose: dict) -> None:
    text = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
    assert process_workspace_config(text).success
    (server,) = [entry["grpc_server"] for entry in text["load_from"]]
    assert server["host"] in compose["services"]
    command = compose["services"][server["host"]]["command"]
    assert command[command.index("-p") + 1] == str(server["port"])
    alone = yaml.safe_load((PROJECT_DIR / "workspace.yaml").read_text())
    assert (
        server["location_name"] == alone["load_from"][0]["python_module"]["location_name"]
    )


def test_helm_runs_the_same_code_with_settings_that_exist(helm_values: dict) -> None:
    (code,) = helm_values["dagster-user-deployments"]["deployments"]
    assert code["codeServerArgs"] == ["-m", "orchestration.definitions"]
    assert code["includeConfigInLaunchedRuns"]["enabled"] is True
    names = {one["name"] for one in code["env"]}
    assert {one for one in names if one.startswith("PODLEDGER_")} <= SETTINGS
    assert names - SETTINGS == {"AWS_REGION"}
    home = next(one["value"] for one in code["env"] if one["name"] == "PODLEDGER_HOME")
    assert [mount["mountPath"] for mount in code["volumeMounts"]] == [home]
    claim = yaml.safe_load((DEPLOY / "home.yaml").read_text())
    (volume,) = code["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_helm_has_the_limits_of_a_laptop(helm_values: dict) -> None:
    def snake(value: object) -> object:
        if isinstance(value, dict):
            return {
                # What Dagster itself spells so stays so.
                key
                if key == "applyLimitPerUniqueValue"
                else re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): snake(inner)
                for key, inner in value.items()
            }
        return [snake(one) for one in value] if isinstance(value, list) else value

    limits = {k: v for k, v in helm_values["concurrency"].items() if k != "enabled"}
    assert snake(limits) == LIMITS["concurrency"]
    retries = helm_values["dagsterDaemon"]["runRetries"]
    assert snake(retries) == LIMITS["run_retries"]
    assert helm_values["dagsterWebserver"]["enableReadOnly"] is True
    assert helm_values["runLauncher"]["type"] == "K8sRunLauncher"


def test_the_chart_is_of_the_dagster_that_is_locked() -> None:
    text = (DEPLOY / "helm-values.yaml").read_text()
    assert re.findall(r"--version (\S+)", text) == [version("dagster")]


@pytest.mark.slow
def test_what_the_image_is_built_by_works_in_a_clean_folder(tmp_path: Path) -> None:
    """All of the build stage, but for the base image: install, parse, compile."""
    app, bin_ = tmp_path / "app", tmp_path / "bin"
    app.mkdir()
    bin_.mkdir()
    (bin_ / "python").symlink_to(sys.executable)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PODLEDGER_", "DAGSTER_", "VIRTUAL_ENV"))
    } | {"PATH": f"{bin_}:{os.environ['PATH']}"}
    for name, value in instructions():
        if name == "FROM" and " AS " not in value:
            break
        if name == "ARG":
            key, _, default = value.partition("=")
            environment[key] = shlex.split(default)[0]
        elif name == "COPY":
            *sources, target = value.split()
            for source in sources:
                _copy(PROJECT_DIR / source, app / target, is_folder=len(sources) > 1)
        elif name == "RUN":
            done = subprocess.run(
                ["/bin/sh", "-c", value],
                cwd=app,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{value}\n{done.stdout}{done.stderr}"
    assert (app / "dbt_project" / "target" / "manifest.json").is_file()
    loaded = subprocess.run(
        [".venv/bin/dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=app,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr


def _copy(source: Path, target: Path, *, is_folder: bool) -> None:
    if source.is_dir():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("target", "logs", "__pycache__")
        )
        return
    if is_folder or target.is_dir():
        target = target / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
