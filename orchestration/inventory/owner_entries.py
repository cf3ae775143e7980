"""Entries of the ownership file, as they stand there and on which line.

Holds the two forms of the file, YAML and CSV. What keys there are, and what their values
mean, is in ``owners.py``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from orchestration.lake.errors import PodledgerError


@dataclass(frozen=True)
class Entry:
    """One entry as it stands in the file.

    Attributes:
        line: Where it begins, from 1.
        values: Key -> text; empty ones are left out.
        lines: Key -> its line, of empty ones too.
    """

    line: int
    values: Mapping[str, str]
    lines: Mapping[str, int]


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one key of one entry, or with the entry."""

    line: int
    key: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.key}: {self.problem}"


def read_entries(path: Path) -> tuple[list[Entry], list[Mistake]]:
    """Read the file's entries.

    Args:
        path: A ``.yml``, ``.yaml`` or ``.csv`` file.

    Returns:
        The entries in order, and what is wrong with their form.

    Raises:
        PodledgerError: The file cannot be read at all.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise PodledgerError(
            f"The ownership file {path} is neither .yml, .yaml nor .csv. Name it for what"
            " it is."
        )
    mistakes: list[Mistake] = []
    try:
        entries = list(reader(path.read_text(encoding="utf-8-sig"), mistakes))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, csv.Error) as error:
        raise PodledgerError(
            f"The ownership file {path} cannot be read ({' '.join(str(error).split())})."
            " Correct it, or write it again in UTF-8."
        ) from error
    return entries, mistakes


def _read_yaml(text: str, mistakes: list[Mistake]) -> Iterator[Entry]:
    """A list of flat mappings. Values are taken as written: 007 and no are text."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    if document is None:
        return
    if not isinstance(document, yaml.SequenceNode):
        mistakes.append(Mistake(_line(document), "the file", "is not a list of entries"))
        return
    for node in document.value:
        if not isinstance(node, yaml.MappingNode):
            mistakes.append(
                Mistake(_line(node), "entry", "is not a mapping of keys to values")
            )
            continue
        values: dict[str, str] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in lines:
                mistakes.append(Mistake(_line(key_node), key, "appears twice in one entry"))
            if not isinstance(value_node, yaml.ScalarNode):
                mistakes.append(Mistake(_line(key_node), key, "is not one value"))
                continue
            lines[key] = _line(key_node)
            is_null = value_node.tag == "tag:yaml.org,2002:null"
            values[key] = "" if is_null else value_node.value
        yield _entry(_line(node), values, lines)


def _read_csv(text: str, mistakes: list[Mistake]) -> Iterator[Entry]:
    """A row an entry, a column a key; empty cells say nothing."""
    rows = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    line = 2
    for row in rows:
        if "" in row:
            mistakes.append(Mistake(line, "row", "has more cells than the header"))
            row.pop("")
        values = {key: value or "" for key, value in row.items()}
        yield _entry(line, values, dict.fromkeys(values, line))
        line = rows.line_num + 1


_Reader = Callable[[str, list[Mistake]], Iterator[Entry]]
_READERS: dict[str, _Reader] = {".yml": _read_yaml, ".yaml": _read_yaml, ".csv": _read_csv}


def _entry(line: int, values: Mapping[str, str], lines: Mapping[str, int]) -> Entry:
    stripped = {key: value.strip() for key, value in values.items()}
    return Entry(line, {key: value for key, value in stripped.items() if value}, lines)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
