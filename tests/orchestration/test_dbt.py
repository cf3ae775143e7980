"""dbt as a step of Dagster runs it: in this process, from the project parsed at set-up."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from orchestration.cli.runner import close_month
from orchestration.engines.dbt import build
from orchestration.engines.dbt.in_process import dbt_resource
from orchestration.engines.dbt.project import parsed_project
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.split.assets import node_hour_models
from tests.worlds import World, a_pod_hour, an_instance_hour, write_cur2, write_pods

OCTOBER = Month(2026, 10)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a home that set-up has never seen, with one node-hour and one pod."""
    hour = dt.datetime(2026, 10, 5, 3, tzinfo=dt.UTC)
    world = World(
        lines=[an_instance_hour("i-0123456789abcdef0", "m5.large", "0.096", hour)],
        pods=[a_pod_hour("i-0123456789abcdef0", hour, "a")],
    )
    write_cur2(world, tmp_path / "bill")
    write_pods(world, tmp_path / "pods")
    return Settings(
        bill=(str(tmp_path / "bill"),),
        pods=(str(tmp_path / "pods"),),
        home=tmp_path / "home",
        _env_file=None,
    )


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What dbt logs in each of its folders, read before the folder is removed."""
    found: list[str] = []
    rmtree = shutil.rmtree

    def remove(folder: Path | str, **how: Any) -> None:
        log = Path(folder) / "dbt.log"
        if log.exists():
            found.append(log.read_text())
        rmtree(folder, **how)

    monkeypatch.setattr(build.shutil, "rmtree", remove)
    return found


def test_a_close_in_a_new_home_parses_nothing_and_stays_where_it_is(
    settings: Settings, logs: list[str]
) -> None:
    here = Path.cwd()
    close_month(OCTOBER, settings, lambda _: None)
    assert Path.cwd() == here
    assert len(logs) == 3
    for log in logs:
        assert "build` succeeded" in log
        # dbt says of each parse whether it is a partial one.
        assert "partial pars" not in log.lower()
        assert str(settings.home) in log


def test_sources_of_the_parsed_project_lie_in_the_home_of_the_run(tmp_path: Path) -> None:
    for home in (tmp_path / "a", tmp_path / "b"):
        for source in parsed_project(home).sources.values():
            assert f"'{home}/lake/" in source.config["external_location"]


def test_what_dbt_refuses_is_told_and_the_warehouse_is_let_go_of(tmp_path: Path) -> None:
    """Nothing was read into this home, so the first view over the lake fails."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    result = dg.materialize(
        [node_hour_models],
        partition_key=OCTOBER.key,
        resources={"settings": settings, "dbt": dbt_resource()},
        raise_on_error=False,
    )
    assert not result.success
    (failure,) = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cls_name == "DagsterDbtCliRuntimeError"
    assert "No files found that match the pattern" in error.message
    assert "\x1b" not in error.message
    with duckdb.connect(str(settings.warehouse), config={"threads": 1}) as connection:
        assert connection.execute("select count(*) from ec2_instance_types").fetchall()
