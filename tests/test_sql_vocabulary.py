"""Lists that stand both in Python and in SQL are the same lists."""

from __future__ import annotations

import re

import pytest

from orchestration.close.controls import CATALOGUE
from orchestration.inventory.owners import OWNER_LABELS
from orchestration.lake.schemas import BASES, BILL_MONEY_COLUMNS, RESOURCES
from orchestration.lake.settings import DBT_PROJECT_DIR

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


def test_every_control_of_the_catalogue_is_a_row_in_sql():
    model = (DBT_PROJECT_DIR / "models/marts/close/fct_close_controls.sql").read_text()
    listed = re.search(r"set controls = \[(.*?)\]", model, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"'(\w+)'", listed[1])) == set(CATALOGUE)
