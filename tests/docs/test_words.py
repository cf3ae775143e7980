"""Words that were taken out of what people read, and do not come back."""

import re
from pathlib import Path

import pytest

from orchestration.lake.settings import PROJECT_DIR

GONE = {
    r"\bdearest\b": "most expensive, or: top ... by cost",
    r"\bdevice-h\b": "accelerator-hours",
    r"\bwho(ever)? wants\b": "say what to do: To ..., ...",
    r"\banew\b": "again",
    r"\bis no quantity\b": "is not a valid quantity",
    r"\bis no JSON\b": "is not valid JSON",
    r"\bis no (whole )?number\b": "is not a number",
    r"\bis no amount\b": "is not an amount",
    r"\bis no UTF-8\b": "is not valid UTF-8",
    r"\bwhoever maintains\b": "the podledger maintainers",
    r"\bthe law of the month\b": "reconciliation",
}
"""Patterns, and what the field says instead."""

READ = sorted(
    path
    for folder, endings in (
        (".", (".md",)),
        ("docs", (".md",)),
        ("deploy", (".md",)),
        ("orchestration", (".py",)),
        ("dbt_project/models", (".md", ".yml")),
    )
    for ending in endings
    for path in (
        (PROJECT_DIR / folder).glob(f"*{ending}")
        if folder == "."
        else (PROJECT_DIR / folder).rglob(f"*{ending}")
    )
)
"""Pages, messages and docstrings, and what dbt docs show."""

LAW = r"\bthe law of the month\b"
"""The name of the equation in code, which no summary or page shows as a heading."""


def found(text: str, *, is_code: bool) -> list[str]:
    patterns = [one for one in GONE if not (is_code and one == LAW)]
    return [hit for one in patterns for hit in re.findall(one, text, flags=re.I)]


def test_no_page_message_or_description_has_a_word_that_went() -> None:
    assert len(READ) > 150
    hits = {
        str(path.relative_to(PROJECT_DIR)): words
        for path in READ
        if (words := found(path.read_text(), is_code=path.suffix == ".py"))
    }
    assert hits == {}


@pytest.mark.parametrize("pattern", GONE)
def test_a_word_that_comes_back_is_found(pattern: str, tmp_path: Path) -> None:
    word = re.sub(r"\\b|\(|\)\?|\)", "", pattern)
    assert found(f"It has the {word} here.", is_code=False)
