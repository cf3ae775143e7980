"""The glossary has the words that published files and pages are written in."""

from __future__ import annotations

import re

import pytest

from orchestration.lake.schemas import BASES, POD_RESOURCES
from orchestration.lake.settings import PROJECT_DIR
from orchestration.ledger import tables
from orchestration.split.unallocated import REASONS

PAGE = (PROJECT_DIR / "docs" / "glossary.md").read_text()
ROWS = [
    tuple(cell.strip() for cell in row.strip("|").split("|"))
    for row in PAGE.splitlines()
    if row.startswith("| ") and not row.startswith("| podledger |")
]
PUBLISHED = {
    one.name for one in vars(tables).values() if isinstance(one, tables.PublishedTable)
}


def test_every_word_has_the_word_of_the_field_and_a_meaning() -> None:
    assert len(ROWS) > 50
    assert [row for row in ROWS if len(row) != 3 or not all(row)] == []


def test_no_word_stands_twice() -> None:
    words = [row[0] for row in ROWS]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("word", [*BASES, *POD_RESOURCES, *sorted(PUBLISHED), *REASONS])
def test_what_published_files_say_is_in_the_glossary(word: str) -> None:
    assert any(word in re.findall(r"`(\w+)`", row[0]) for row in ROWS)
