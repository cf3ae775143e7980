"""The catalogue of controls: what each means, how severe it is, who acts, and how.

Holds reading it from the YAML of the controls' models, which is where it is written. dbt's
manifest says the same, and whoever reads that waits for dbt to compile the project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import DBT_PROJECT_DIR

Severity = Literal["blocking", "warning"]

CONTROLS_YAML = DBT_PROJECT_DIR / "models/marts/controls/_controls__models.yml"

PREFIX = "ctl_"
"""Of the models of controls."""

_SEVERITIES = ("blocking", "warning")
_NEEDED = frozenset({"severity", "who", "what_to_do"})
_ALLOWED = _NEEDED | {"only_method"}
_GRAIN = " One row "
"""What the last sentence of a description begins with."""


@dataclass(frozen=True)
class ControlRule:
    """One entry of the catalogue.

    Attributes:
        name: A sentence that is true in a good month.
        severity: ``blocking``: the month is not published while it fails.
        meaning: What the control compares, in one sentence.
        who: Who acts when it fails.
        what_to_do: Where to look and what to do, as sentences.
        only_method: The version of the split that it belongs to; None for every version.
    """

    name: str
    severity: Severity
    meaning: str
    who: str
    what_to_do: str
    only_method: int | None = None


@cache
def catalogue() -> dict[str, ControlRule]:
    """Every control of the close by its name, in the order in which it is told.

    Raises:
        PodledgerError: An entry lacks something, or has what nobody reads.
    """
    return read_catalogue(CONTROLS_YAML)


def controls_of(method: int) -> list[ControlRule]:
    """The controls that a month needs when it is closed with a version of the split."""
    return [rule for rule in catalogue().values() if rule.only_method in (None, method)]


def read_catalogue(path: Path) -> dict[str, ControlRule]:
    """Read the catalogue from a YAML file of dbt's.

    Args:
        path: Models with their description, and with the rest in ``config.meta``.

    Raises:
        PodledgerError: The file is not there or no YAML; an entry lacks something, or has
            what nobody reads.
    """
    try:
        # The C parser, where PyYAML has it: every command that shows a month reads this.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        models = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["models"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise PodledgerError(
            f"The controls cannot be read from {path}: {error}. It lists them below"
            " models; restore it from the repository."
        ) from error
    return {rule.name: rule for rule in _rules(models, path)}


def _rules(models: list[dict[str, Any]], path: Path) -> Iterator[ControlRule]:
    for model in models:
        name = str(model["name"])
        meta: Mapping[str, Any] = (model.get("config") or {}).get("meta") or {}
        meaning, grain, _ = _one_line(model.get("description")).rpartition(_GRAIN)
        if mistakes := list(_mistakes(name, bool(grain), meta)):
            raise PodledgerError(
                f"{path}: {name}: {'; '.join(mistakes)}. CONTRIBUTING.md says what the"
                " entry of a control has."
            )
        yield ControlRule(
            name=name.removeprefix(PREFIX),
            severity=cast("Severity", meta["severity"]),
            meaning=meaning,
            who=_one_line(meta["who"]),
            what_to_do=_one_line(meta["what_to_do"]),
            only_method=meta.get("only_method"),
        )


def _mistakes(name: str, has_grain: bool, meta: Mapping[str, Any]) -> Iterator[str]:
    if not name.startswith(PREFIX):
        yield f"the name does not begin with {PREFIX}"
    if not has_grain:
        yield 'the description does not end in its grain, "One row ..."'
    for key in sorted(_NEEDED - meta.keys()):
        yield f"meta has no {key}"
    for key in sorted(meta.keys() - _ALLOWED):
        yield f"meta has {key}, which nobody reads"
    severity = meta.get("severity", "warning")
    if severity not in _SEVERITIES:
        yield f"severity is {severity}, not blocking or warning"


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
