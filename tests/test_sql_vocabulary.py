"""Lists that stand both in Python and in SQL are the same lists."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import yaml

from orchestration.close.catalogue import Severity, catalogue
from orchestration.engines.spark import session
from orchestration.inventory.owners import OWNER_LABELS
from orchestration.lake.schemas import BASES, BILL_MONEY_COLUMNS, RESOURCES
from orchestration.lake.settings import DBT_PROJECT_DIR, METHODS, Settings
from orchestration.split.unallocated import REASONS

VOCABULARY = (DBT_PROJECT_DIR / "macros" / "vocabulary.sql").read_text()


def listed_in(macro: str) -> tuple[str, ...]:
    """The strings that a macro of the vocabulary returns."""
    body = re.search(rf"macro {macro}\(\).*?endmacro", VOCABULARY, re.DOTALL)
    assert body is not None, macro
    returned = re.search(r"return\(\[(.*?)\]\)", body[0], re.DOTALL)
    assert returned is not None, macro
    return tuple(re.findall(r"'([^']+)'", returned[1]))


@pytest.mark.parametrize(
    ("macro", "names"),
    [
        ("bases", BASES),
        ("resources", RESOURCES),
        ("bill_money_columns", BILL_MONEY_COLUMNS),
        ("owner_labels", OWNER_LABELS),
    ],
)
def test_python_and_sql_speak_of_the_same_names(macro, names):
    assert listed_in(macro) == tuple(names)


def test_sql_puts_every_control_of_the_catalogue_together_in_its_order():
    model = (DBT_PROJECT_DIR / "models/marts/close/fct_close_controls.sql").read_text()
    listed = re.search(r"set controls = \[(.*?)\]", model, re.DOTALL)
    assert listed is not None
    assert re.findall(r"'(\w+)'", listed[1]) == list(catalogue())


def test_python_and_sql_speak_of_the_same_versions_of_the_split():
    listed = re.search(r"macro methods\(\).*?return\(\[(.*?)\]\)", VOCABULARY, re.DOTALL)
    assert listed is not None
    assert tuple(map(int, listed[1].split(","))) == METHODS


def test_who_runs_dbt_by_hand_has_the_defaults_of_a_close():
    defaults = Settings.model_construct()
    asked = {}
    for path in [*DBT_PROJECT_DIR.glob("*.yml"), *DBT_PROJECT_DIR.glob("m*/**/*.*")]:
        found = re.findall(r"env_var\('PODLEDGER_(\w+)', '([^']*)'\)", path.read_text())
        for name, default in found:
            asked.setdefault(name, set()).add(default)
    assert asked == {
        "LABELS": {",".join(defaults.labels)},
        "METHOD": {str(defaults.method)},
        "MEMORY": {defaults.memory},
    }


def test_spark_in_this_process_is_the_same_for_dbt_and_for_the_split():
    profiles = yaml.safe_load((DBT_PROJECT_DIR / "profiles.yml").read_text())
    of_dbt = profiles["podledger"]["outputs"]["spark"]["server_side_parameters"]
    of_split = session._SETTINGS | session._IN_PROCESS
    shared = of_dbt.keys() & of_split.keys()
    assert {name: of_dbt[name] for name in shared} == {
        name: of_split[name] for name in shared
    }
    assert of_split.keys() - shared == {
        # dbt has all cores by itself, and sends no rows to Python.
        "spark.master",
        "spark.sql.execution.arrow.maxRecordsPerBatch",
    }


def accepted(model: str) -> dict[str, tuple[str, ...]]:
    """Values that dbt accepts in the columns of a mart."""
    found = {}
    for path in (DBT_PROJECT_DIR / "models" / "marts").rglob("*.yml"):
        for one in yaml.safe_load(path.read_text()).get("models", ()):
            if one["name"] != model:
                continue
            for column in one["columns"]:
                for test in column.get("data_tests", ()):
                    values = test["accepted_values"]["arguments"]["values"]
                    found[column["name"]] = tuple(values)
    return found


def test_dbt_accepts_in_a_mart_what_the_code_writes_and_nothing_else():
    remainder = DBT_PROJECT_DIR / "models/intermediate/remainder"
    grouped = (remainder / "int_bill_remainder__grouped.sql").read_text()
    cases = re.search(r"categorized as \((.*?)end as category", grouped, re.DOTALL)
    assert cases is not None
    categories = re.findall(r"(?:then|else) '(\w+)'", cases[1])
    assert accepted("fct_bill_remainder") == {"category": tuple(categories)}
    assert accepted("fct_unallocated") == {"resource": RESOURCES, "reason": REASONS}
    assert accepted("rpt_month_totals") == {"cost_basis": BASES}
    assert accepted("fct_close_controls") == {
        "cost_basis": BASES,
        "severity": get_args(Severity),
    }
