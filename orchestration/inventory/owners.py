"""Who owns a pod: an effective-dated mapping that a team keeps in a file.

Holds the reading of ``config/ownership.yml`` (or ``.csv``) into rows that SQL joins pods
with. A pod's own label of an owner's name (``team``) is its own word and not in here; which
pods an entry meets is decided by the join. See ``docs/ownership.md``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.inventory.owner_entries import Entry, Mistake, read_entries
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import HOUR, STRING

TABLE = "raw/ownership"
"""The lake's table of entries that are in force in a month."""

MATCH_KINDS = ("pod_label", "workload", "namespace", "node_pool", "default")
"""Kinds of entries, the most specific first."""

OWNER_LABELS = ("team", "cost_center", "model")
"""What an entry may say of the pods that it matches."""

OWNERSHIP = pa.schema(
    [
        pa.field("priority", pa.int32(), nullable=False),
        pa.field("match_kind", STRING, nullable=False),
        pa.field("cluster_name_like", STRING),
        pa.field("namespace_like", STRING),
        pa.field("workload_type", STRING),
        pa.field("workload_name_like", STRING),
        pa.field("pod_label", STRING),
        pa.field("pod_label_value_like", STRING),
        pa.field("node_pool_like", STRING),
        pa.field("effective_from", HOUR, nullable=False),
        pa.field("effective_to", HOUR, nullable=False),
        pa.field("label", STRING, nullable=False),
        pa.field("value", STRING, nullable=False),
        pa.field("line", pa.int32(), nullable=False),
    ]
)
"""One row an entry and label that it says something of, by priority.

An entry meets a pod-hour if every column of the match that is not null does: ``_like`` ones
by ``LIKE ... ESCAPE '\\'``, the others by equality; and if ``effective_from <= usage_hour <
effective_to``, which are clipped to the month. Of the rows of one ``label`` that meet it,
the one of the lowest ``priority`` says the ``value``. ``line`` is where the entry begins.
"""

_MATCH_KEYS = ("pod_label", "workload", "namespace", "node_pool", "cluster")
_TIME_KEYS = ("from", "to")
_LABEL_NAME = re.compile(r"[A-Za-z0-9._/-]+")
_MISTAKES_TOLD = 10


class _MistakeError(Exception):
    """A value of one entry that cannot be."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key
        self.problem = problem


@dataclass(frozen=True)
class _Rule:
    """An entry that was understood.

    Attributes:
        entry: Where it stands.
        kind: One of ``MATCH_KINDS``.
        match: Columns of the match, by name.
        start: First day; None for ever before.
        end: Day after the last; None for ever after.
        owner: Label -> value.
    """

    entry: Entry
    kind: str
    match: Mapping[str, str | None]
    start: dt.date | None
    end: dt.date | None
    owner: Mapping[str, str]

    def overlaps(self, other: _Rule) -> bool:
        """Whether there is a day on which both are in force."""
        return (self.start or dt.date.min) < (other.end or dt.date.max) and (
            other.start or dt.date.min
        ) < (self.end or dt.date.max)


def read_ownership(path: Path, month: Month) -> pa.Table:
    """Read the entries that are in force in a month.

    The whole file is checked, whatever the month.

    Args:
        path: A ``.yml``, ``.yaml`` or ``.csv`` file.
        month: The month to read for.

    Returns:
        Rows of ``OWNERSHIP``, by priority.

    Raises:
        PodledgerError: The file cannot be read or holds mistakes; names the first ten of
            them by line and key.
    """
    entries, mistakes = read_entries(path)
    rules = []
    for entry in entries:
        try:
            rules.append(_understood(entry))
        except _MistakeError as error:
            line = entry.lines.get(error.key, entry.line)
            mistakes.append(Mistake(line, error.key, error.problem))
    mistakes += _contradictions(rules)
    if mistakes:
        told = "; ".join(str(mistake) for mistake in mistakes[:_MISTAKES_TOLD])
        more = f" (and {len(mistakes) - _MISTAKES_TOLD} more)"
        raise PodledgerError(
            f"The ownership in {path} cannot be used: {told}"
            f"{more if len(mistakes) > _MISTAKES_TOLD else ''}. Correct the file; nothing"
            " was changed."
        )
    ordered = sorted(rules, key=lambda rule: MATCH_KINDS.index(rule.kind))
    return pa.Table.from_pylist(
        [
            row
            for priority, rule in enumerate(ordered, start=1)
            for row in _rows(rule, priority, month)
        ],
        schema=OWNERSHIP,
    )


def ingest_ownership(path: Path, month: Month, lake: Lake) -> int:
    """Replace ``raw/ownership`` of a month by the entries of a file.

    Args:
        path: The file; without one nobody owns more than the pods' labels say.
        month: The month to read for.
        lake: The lake to write to.

    Returns:
        Rows written.

    Raises:
        PodledgerError: See ``read_ownership``. The month keeps what it had.
    """
    table = read_ownership(path, month) if path.exists() else OWNERSHIP.empty_table()
    with lake.replace(TABLE, month) as folder:
        pq.write_table(table, folder / "ownership.parquet")
    return len(table)


def _understood(entry: Entry) -> _Rule:
    """Raises ``_MistakeError`` for the first value that cannot be."""
    known = (*_MATCH_KEYS, *_TIME_KEYS, *OWNER_LABELS)
    for key in entry.lines:
        if key not in known:
            raise _MistakeError(key, f"is no key; there are {', '.join(known)}")
    values = entry.values
    matched = [key for key in _MATCH_KEYS if key in values]
    if not matched:
        raise _MistakeError(
            "entry", f"matches nothing; it needs one of {', '.join(_MATCH_KEYS)}"
        )
    owner = {label: values[label] for label in OWNER_LABELS if label in values}
    if not owner:
        raise _MistakeError("entry", f"says none of {', '.join(OWNER_LABELS)}")
    start, end = (_day(values[key], key) if key in values else None for key in _TIME_KEYS)
    if start and end and start >= end:
        raise _MistakeError("to", f"{end} is not after from, {start}")
    kind = "default" if matched[0] == "cluster" else matched[0]
    return _Rule(entry, kind, _match(values), start, end, owner)


def _match(values: Mapping[str, str]) -> dict[str, str | None]:
    workload_type, slash, workload = values.get("workload", "*").rpartition("/")
    if slash and not (workload_type and workload):
        raise _MistakeError("workload", "is not kind/name, like PyTorchJob/llm-*")
    label, equals, label_value = values.get("pod_label", "").partition("=")
    if "pod_label" in values and not (equals and _LABEL_NAME.fullmatch(label)):
        raise _MistakeError("pod_label", "is not name=value, like app=chat")
    return {
        "cluster_name_like": _like(values.get("cluster", "*")),
        "namespace_like": _like(values.get("namespace", "*")),
        "workload_type": workload_type or None,
        "workload_name_like": _like(workload),
        "pod_label": label or None,
        "pod_label_value_like": _like(label_value) if label else None,
        "node_pool_like": _like(values.get("node_pool", "*")),
    }


def _like(pattern: str) -> str | None:
    r"""A pattern with ``*`` as one of SQL's LIKE, escaped by ``\``; None if all match."""
    if pattern == "*":
        return None
    for sign in "\\%_":
        pattern = pattern.replace(sign, f"\\{sign}")
    return pattern.replace("*", "%")


def _day(text: str, key: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise _MistakeError(key, f"{text!r} is not a day like 2026-10-01") from None


def _contradictions(rules: Sequence[_Rule]) -> Iterator[Mistake]:
    """Entries of one match that say different things of one day."""
    by_match: dict[tuple[str | None, ...], list[_Rule]] = {}
    for rule in rules:
        earlier = by_match.setdefault((rule.kind, *rule.match.values()), [])
        for other in earlier:
            for label in rule.owner.keys() & other.owner.keys():
                if rule.owner[label] != other.owner[label] and rule.overlaps(other):
                    yield Mistake(
                        rule.entry.lines[label],
                        label,
                        f"{rule.owner[label]!r} contradicts {other.owner[label]!r} on line"
                        f" {other.entry.lines[label]}, of the same match and time",
                    )
        earlier.append(rule)


def _rows(rule: _Rule, priority: int, month: Month) -> Iterator[dict[str, object]]:
    """The rule's rows, clipped to the month; none if it is not in force in it."""
    first, last = (moment.replace(tzinfo=None) for moment in (month.start, month.end))
    start = max(first, dt.datetime.combine(rule.start or dt.date.min, dt.time.min))
    end = min(last, dt.datetime.combine(rule.end or dt.date.max, dt.time.min))
    if start >= end:
        return
    for label, value in rule.owner.items():
        yield {
            "priority": priority,
            "match_kind": rule.kind,
            **rule.match,
            "effective_from": start,
            "effective_to": end,
            "label": label,
            "value": value,
            "line": rule.entry.line,
        }
