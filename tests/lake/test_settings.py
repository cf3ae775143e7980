import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.engines.duckdb import connect
from orchestration.inventory.sources import SOURCES
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import PROJECT_DIR, Settings, dagster_home


def example() -> dict[str, str]:
    lines = (PROJECT_DIR / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_names_every_setting_and_no_other():
    assert set(example()) == {f"PODLEDGER_{name.upper()}" for name in Settings.model_fields}


def test_the_example_shows_the_defaults(monkeypatch):
    monkeypatch.chdir(PROJECT_DIR)
    defaults = Settings(_env_file=None)
    for name, value in example().items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == defaults


def test_roots_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("PODLEDGER_BILL", "s3://payer-a/exports/cur2, /bills/payer-b ,")
    assert Settings().bill == ("s3://payer-a/exports/cur2", "/bills/payer-b")


@pytest.mark.parametrize(
    ("name", "value"), [("METHOD", "4"), ("METHOD", "two"), ("ENGINE", "x")]
)
def test_a_setting_that_is_not_one_of_its_choices_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"PODLEDGER_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("value", ["2017-12", "2026", "2026-13", "2026-01-01", "soon"])
def test_the_first_month_is_a_month_that_dbt_can_begin_with(monkeypatch, value):
    monkeypatch.setenv("PODLEDGER_FIRST_MONTH", value)
    with pytest.raises(ValidationError, match="first_month"):
        Settings()


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({}, "2026-01-01"),
        # A setting that is wrong fails a run, and not the loading.
        ({"PODLEDGER_FIRST_MONTH": "2025-11", "PODLEDGER_METHOD": "x"}, "2025-11-01"),
    ],
)
def test_partitions_begin_with_the_first_month(tmp_path, given, first):
    script = (
        "from orchestration.engines.partitions import billing_months\n"
        "print(billing_months.get_partition_keys()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)} | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [first]


@pytest.mark.parametrize("value", ["2", "two GB", "-1GB", "2GB; drop table x"])
def test_memory_is_an_amount_with_a_unit(monkeypatch, value):
    monkeypatch.setenv("PODLEDGER_MEMORY", value)
    with pytest.raises(ValidationError, match="memory"):
        Settings()


def test_the_memory_set_is_that_of_duckdb(monkeypatch, tmp_path):
    monkeypatch.setenv("PODLEDGER_MEMORY", "512MiB")
    with connect(tmp_path) as connection:
        limit = connection.execute("select current_setting('memory_limit')").fetchone()
    assert limit == ("512.0 MiB",)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("PODLEDGER_LABEL", "Did you mean PODLEDGER_LABELS? "),
        ("podledger_biil", "Did you mean PODLEDGER_BILL? "),
        ("PODLEDGER_COLOUR_OF_PAPER", "nothing. Correct or remove it"),
    ],
)
def test_a_variable_that_is_no_setting_stops_and_names_the_nearest(
    monkeypatch, name, advice
):
    monkeypatch.setenv(name, "x")
    with pytest.raises(PodledgerError, match="is not a setting of podledger") as refused:
        Settings()
    assert str(refused.value).startswith(f"{name.upper()} in the environment is not")
    assert advice in str(refused.value)


def test_a_misspelled_line_of_the_env_file_stops_too(monkeypatch, tmp_path):
    file = tmp_path / ".env"
    file.write_text("PODLEDGER_BILLS=/bills\nOTHER=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", str(file))
    with pytest.raises(PodledgerError, match="Did you mean PODLEDGER_BILL") as refused:
        Settings()
    assert f"PODLEDGER_BILLS in the file {file} is not" in str(refused.value)


def test_what_kubernetes_sets_for_a_service_named_podledger_is_no_setting(monkeypatch):
    for name in (
        "PODLEDGER_SERVICE_HOST",
        "PODLEDGER_SERVICE_PORT",
        "PODLEDGER_SERVICE_PORT_HTTP",
        "PODLEDGER_PORT",
        "PODLEDGER_PORT_3000_TCP_ADDR",
        "PODLEDGER_WEBSERVER_SERVICE_HOST",
    ):
        monkeypatch.setenv(name, "10.0.0.1")
    assert Settings().bill == ()


def test_dagster_keeps_its_runs_beneath_the_home_unless_told_otherwise(
    monkeypatch, tmp_path
):
    settings = Settings(home=tmp_path)
    assert dagster_home(settings) == tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))
    assert dagster_home(settings) == tmp_path / "elsewhere"


def test_a_home_in_s3_has_a_folder_of_its_own_to_work_in(monkeypatch, tmp_path):
    monkeypatch.setenv("PODLEDGER_WORK", str(tmp_path))
    monkeypatch.setenv("PODLEDGER_HOME", "s3://bucket/prefix/")
    settings = Settings()
    assert settings.remote == "s3://bucket/prefix"
    assert settings.home.parent == tmp_path
    assert settings.warehouse.is_relative_to(settings.home)
    assert dagster_home(settings).is_relative_to(settings.home)
    assert Settings(home="s3://bucket/prefix").home == settings.home
    assert Settings(home="s3://bucket/other").home != settings.home
    assert settings.model_copy(update={"method": 3}).remote == settings.remote


def test_a_home_in_a_folder_is_that_folder(tmp_path):
    settings = Settings(home=tmp_path / "home")
    assert (settings.home, settings.remote) == (tmp_path / "home", None)
    assert Settings(home=str(tmp_path / "home")) == settings


@pytest.mark.parametrize("home", ["s3://", "s3:///prefix", "gs://bucket/prefix"])
def test_a_home_that_is_neither_a_folder_nor_in_s3_is_refused(monkeypatch, home):
    monkeypatch.setenv("PODLEDGER_HOME", home)
    with pytest.raises(ValidationError, match=r"(?s)home.*neither a folder nor s3://"):
        Settings()


def test_only_the_settings_read_the_environment():
    """What a deployment can choose is in one typed place, or nobody finds it."""
    reading = re.compile(r"os\.getenv|os\.environ(?:\.get\(|\[[^]]+\](?!\s*=))|dg\.EnvVar")
    offenders = [
        str(path.relative_to(PROJECT_DIR))
        for path in sorted((PROJECT_DIR / "orchestration").rglob("*.py"))
        if path.name != "settings.py" and reading.search(Path(path).read_text())
    ]
    assert offenders == []


def test_the_example_and_the_sources_text_name_every_way_to_bring_pods():
    told = {
        "the example": (PROJECT_DIR / ".env.example").read_text(),
        "the field": str(Settings.model_fields["pods"].description),
    }
    sources = (PROJECT_DIR / "docs" / "sources.md").read_text().partition("\n## ")[0]
    told = {place: text.replace("http(s)", "http, https") for place, text in told.items()}
    for scheme in SOURCES:
        assert f"{scheme}://" in sources
        tool, _, way = scheme.partition("+")
        for place, text in told.items():
            is_told = tool == "file" or re.search(rf"{tool}(\+|://)", text)
            assert is_told, f"{tool} in {place}"
            assert way in text, f"{scheme} in {place}"
