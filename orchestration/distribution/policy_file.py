"""Reading a policy: from its file, or one that is built in; mistakes by line and rule.

Holds YAML with its lines. What a rule may say is in ``policy.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from orchestration.distribution.policy import Rule, contradictions
from orchestration.lake.errors import PodledgerError

BUILT_IN = ("scad", "separate")
"""Policies that need no file."""

_BUILT_IN_FOLDER = Path(__file__).parent / "policies"
_MOST_BYTES = 1_000_000
_MOST_DEPTH = 8
_MOST_NESTED = 100
"""Levels at which the file is not read on, to name its rule."""
_MISTAKES_TOLD = 10


@dataclass(frozen=True)
class Policy:
    """A policy that was understood.

    Attributes:
        name: Of a built-in policy, or of the file without its ending.
        text: As it was written.
        rules: In order.
        lines: Line of each rule in the text, from 1.
    """

    name: str
    text: str
    rules: tuple[Rule, ...]
    lines: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """Digest of the rules, in hex: the version of the policy, whatever its comments."""
        rules = [
            rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for rule in self.rules
        ]
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    @property
    def needs_nodes(self) -> bool:
        """Whether a rule shares within nodes."""
        return any(
            rule.share is not None and "node" in rule.share.circles for rule in self.rules
        )


def built_in(name: str) -> Policy:
    """One of ``BUILT_IN``."""
    return parse_policy((_BUILT_IN_FOLDER / f"{name}.yml").read_text(), name, name)


def read_policy(where: str | Path, labels: Collection[str] | None = None) -> Policy:
    """Read a policy.

    Args:
        where: Name of a built-in one, or its YAML file.
        labels: That charges keep; rules may speak of no other. None: not looked at.

    Raises:
        PodledgerError: The file cannot be read or holds mistakes; names the first ten of
            them by line and rule.
    """
    if str(where) in BUILT_IN:
        return built_in(str(where))
    path = Path(where)
    if path.suffix.lower() not in (".yml", ".yaml"):
        raise PodledgerError(
            f"The policy {where} is neither a YAML file nor one of {', '.join(BUILT_IN)},"
            " which are built in. Set PODLEDGER_POLICY to one of them."
        )
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise PodledgerError(
                f"The policy {path} is larger than {_MOST_BYTES:,} bytes. A policy is a"
                " list of rules that people read; correct PODLEDGER_POLICY."
            )
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not valid UTF-8"
        raise PodledgerError(
            f"The policy {path} cannot be read ({reason}). Correct PODLEDGER_POLICY, or put"
            " the file back. Nothing was changed."
        ) from error
    return parse_policy(text, path.stem, str(path), labels)


def parse_policy(
    text: str, name: str, place: str, labels: Collection[str] | None = None
) -> Policy:
    """Understand a policy's text.

    Args:
        text: YAML, a list of rules.
        name: Of the policy.
        place: Where the text is from, for messages.
        labels: That charges keep; None: not looked at.

    Raises:
        PodledgerError: It holds mistakes.
    """
    mistakes: list[str] = []
    rules: list[Rule] = []
    lines: list[int] = []
    for written in _rules(text, place, mistakes):
        try:
            rule = _RULE.validate_python(written.value)
        except ValidationError as error:
            mistakes += _told(error, written)
            continue
        rules.append(rule)
        lines.append(written.line)
        for label in sorted(rule.labels_used() - set(labels or rule.labels_used())):
            mistakes.append(
                f"line {written.line}, rule {rule.name!r}: speaks of the label {label},"
                f" which PODLEDGER_LABELS ({', '.join(labels or ())}) does not keep"
            )
    mistakes += [
        f"line {lines[place]}, rule {rules[place].name!r}: {problem}"
        for place, problem in contradictions(rules)
    ]
    if not rules and not mistakes:
        mistakes.append(
            "line 1: holds no rule; to move nothing, set PODLEDGER_POLICY to separate"
        )
    if mistakes:
        more = f" (and {len(mistakes) - _MISTAKES_TOLD} more)"
        raise PodledgerError(
            f"The policy {place} cannot be used: {'; '.join(mistakes[:_MISTAKES_TOLD])}"
            f"{more if len(mistakes) > _MISTAKES_TOLD else ''}. Correct the file; nothing"
            " was changed."
        )
    return Policy(name, text, tuple(rules), tuple(lines))


_RULE = TypeAdapter(Rule)


@dataclass(frozen=True)
class _Written:
    """A rule as it stands in the file.

    Attributes:
        line: Where it begins, from 1.
        value: Mappings, lists and texts.
        lines: Path of keys -> line.
    """

    line: int
    value: object
    lines: dict[tuple[str, ...], int]

    @property
    def name(self) -> str:
        """Of the rule, as far as it has one."""
        named = self.value.get("name") if isinstance(self.value, dict) else None
        return f", rule {named!r}" if isinstance(named, str) else ""


def _rules(text: str, place: str, mistakes: list[str]) -> Iterator[_Written]:
    try:
        # Before anything is built: a few aliases of aliases are a memory full of lists, and
        # the time that nested lists take grows with the square of their depth.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                mistakes.append(
                    f"line {line}: uses an anchor or alias, which no rule needs"
                )
                return
            if depth > _MOST_NESTED:
                mistakes.append(f"line {line}: is nested too deeply")
                return
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise PodledgerError(
            f"The policy {place} is no YAML ({reason}). Correct the file; nothing was"
            " changed."
        ) from error
    if document is None:
        return
    if not isinstance(document, yaml.SequenceNode):
        mistakes.append(f"line {document.start_mark.line + 1}: is no list of rules")
        return
    for node in document.value:
        lines: dict[tuple[str, ...], int] = {}
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            mistakes.append(
                f"line {line}: is no rule, which has name, take, and give or share"
            )
            continue
        found: list[str] = []
        value = _value(node, (), lines, found)
        if found:
            mistakes += found
            continue
        yield _Written(line, value, lines)


def _value(
    node: yaml.Node,
    path: tuple[str, ...],
    lines: dict[tuple[str, ...], int],
    mistakes: list[str],
) -> object:
    """A node as mappings, lists and texts; every scalar as it is written: 007 is text."""
    line = node.start_mark.line + 1
    if len(path) > _MOST_DEPTH:
        mistakes.append(f"line {line}: is nested too deeply")
        return None
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(item, (*path, str(place)), lines, mistakes)
            for place, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                mistakes.append(f"line {key_line}: has a key that is no text")
                continue
            key = str(key_node.value)
            if key in found:
                mistakes.append(f"line {key_line}: {key} stands twice")
            lines[(*path, key)] = key_line
            found[key] = _value(value_node, (*path, key), lines, mistakes)
        return found
    return None if node.tag == "tag:yaml.org,2002:null" else node.value


def _told(error: ValidationError, written: _Written) -> Iterator[str]:
    """Pydantic's findings in the words of the file, one a key."""
    errors = [(_path(one["loc"]), one) for one in error.errors(include_url=False)]
    told: set[tuple[str, ...]] = set()
    for path, one in errors:
        # Of the alternatives of a type, that speaks which was meant: it looked deeper.
        if path in told or any(
            len(other) > len(path) and other[: len(path)] == path for other, _ in errors
        ):
            continue
        told.add(path)
        line = next(
            (
                written.lines[path[:length]]
                for length in range(len(path), 0, -1)
                if path[:length] in written.lines
            ),
            written.line,
        )
        named = f", {'.'.join(path)}" if path else ""
        yield f"line {line}{written.name}{named}: {_problem(one)}"


_BRANCHES = ("Give", "literal[", "dict[", "function-", "constrained-str", "tuple[")
"""How pydantic names the alternatives of a type, which are no keys of the file."""


def _path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(
        text
        for text in map(str, location)
        if not text.startswith(_BRANCHES) and text != "[key]"
    )


def _problem(one: Any) -> str:
    kind, message = one["type"], one["msg"]
    if kind == "extra_forbidden":
        return "is no key of a rule"
    if kind == "missing":
        return "is missing"
    return str(message).removeprefix("Value error, ").removeprefix("Input ").strip()
