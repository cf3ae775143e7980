"""The catalogue of controls: where it is written, and all that is made from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.close.catalogue import (
    CONTROLS_YAML,
    ControlRule,
    catalogue,
    read_catalogue,
)
from orchestration.close.publish import Publication
from orchestration.engines.dbt.project import manifest_of_project
from orchestration.lake.errors import PodledgerError
from tests.docs import controls as page

ENTRY = """\
models:
  - name: ctl_every_dollar_counts
    description: >
      The dollars are
      counted. One row per payer.
    config:
      meta:
        severity: blocking
        who: whoever counts
        what_to_do: >
          Count
          again.
        only_method: 3
"""
UNIQUE_ID = "model.podledger.fct_close_controls"


def write(folder: Path, text: str) -> Path:
    path = folder / "_controls__models.yml"
    path.write_text(text)
    return path


def test_an_entry_becomes_a_rule_whose_texts_are_one_line_each(tmp_path: Path) -> None:
    assert read_catalogue(write(tmp_path, ENTRY)) == {
        "every_dollar_counts": ControlRule(
            name="every_dollar_counts",
            severity="blocking",
            meaning="The dollars are counted.",
            who="whoever counts",
            what_to_do="Count again.",
            only_method=3,
        )
    }


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("        who: whoever counts\n", "", "meta has no who"),
        ("severity: blocking", "severity: fatal", "severity is fatal, not blocking or"),
        ("only_method", "only_methods", "meta has only_methods, which nobody reads"),
        (" One row per payer.", "", "does not end in its grain"),
        ("ctl_every", "every", "the name does not begin with ctl_"),
    ],
)
def test_an_entry_that_lacks_something_is_refused_by_name(
    there: str, instead: str, told: str, tmp_path: Path
) -> None:
    assert there in ENTRY
    path = write(tmp_path, ENTRY.replace(there, instead))
    with pytest.raises(PodledgerError) as refusal:
        read_catalogue(path)
    for part in (str(path), "every_dollar_counts", told, "CONTRIBUTING.md"):
        assert part in str(refusal.value)


@pytest.mark.parametrize("text", ["models: [", "version: 2", ""])
def test_a_file_that_lists_no_controls_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match="The controls cannot be read from"):
        read_catalogue(write(tmp_path, text))
    with pytest.raises(PodledgerError, match=r"No such file.*restore it"):
        read_catalogue(tmp_path / "not_there.yml")


def test_every_control_has_its_model_and_no_model_is_without_an_entry() -> None:
    models = sorted(path.stem for path in CONTROLS_YAML.parent.glob("*/*.sql"))
    assert models == sorted(f"ctl_{name}" for name in catalogue())


def test_reading_it_needs_neither_dagster_nor_dbt_nor_a_manifest() -> None:
    code = (
        "import sys; from orchestration.close.catalogue import catalogue;"
        " print(len(catalogue()));"
        " print(sorted({'dagster', 'dagster_dbt', 'dbt'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [str(len(catalogue())), "[]"]


def test_the_page_of_the_controls_is_what_the_catalogue_makes_of_it() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.draw(), (
        "If this change is meant: python -m tests.docs.controls, and read the diff"
    )


def test_the_page_says_of_every_control_what_the_program_says() -> None:
    words = " ".join(page.PAGE.read_text(encoding="utf-8").split())
    for rule in catalogue().values():
        section = words.partition(f"## {rule.name} ")[2].partition(" ## ")[0]
        for part in (rule.severity.capitalize(), rule.meaning, rule.who, rule.what_to_do):
            assert part in section, rule.name


def operators(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("children", ()):
        yield from operators(child)


@pytest.mark.parametrize(
    ("month", "is_closed"),
    [("2026-10-01", True), ("2026-09-01", False)],
)
def test_the_controls_of_a_month_read_no_file_of_another(
    month: str, is_closed: bool, closed_world: Publication
) -> None:
    """Dbt puts the month around a control; that it reaches the files is DuckDB's doing."""
    home = closed_world.path.parents[2]
    compiled = manifest_of_project()["nodes"][UNIQUE_ID]["compiled_code"]
    sql = compiled.replace("/podledger-home", str(home))
    with duckdb.connect(str(home / "warehouse/podledger.duckdb"), read_only=True) as read:
        plan = read.execute(
            f"explain (analyze, format json) select * from ({sql})"
            f" where billing_month = date '{month}'"
        ).fetchall()[0][1]
    read_files = sum(
        int(one["extra_info"]["Total Files Read"])
        for one in operators(json.loads(plan))
        if one.get("operator_name", "").strip() == "READ_PARQUET"
    )
    assert (read_files > 0) == is_closed
