"""The page of the controls, made from their catalogue.

Run ``python -m tests.docs.controls`` after a change of a control's YAML.
"""

from __future__ import annotations

import os
import textwrap

from orchestration.close.catalogue import (
    CONTROLS_YAML,
    PREFIX,
    ControlRule,
    catalogue,
)
from orchestration.lake.settings import PROJECT_DIR

PAGE = PROJECT_DIR / "docs" / "controls.md"

_HEAD = (
    "A month must pass these controls before it is published. They are listed in the order"
    " in which podledger reports them. The residual is the expected amount minus the actual"
    " amount. A control that concerns payers has a row for each, in each cost basis."
    " [close.md](close.md#what-happens-when-a-control-fails) says what happens when one"
    " fails.",
    f"<!-- python -m tests.docs.controls makes this page from {CONTROLS_YAML.name}. -->",
)


def draw() -> str:
    """The whole page."""
    head = "\n\n".join(["# Controls", *map(_wrapped, _HEAD)]) + "\n"
    return "\n".join([head, *(section(rule) for rule in catalogue().values())])


def section(rule: ControlRule) -> str:
    """A control as people read of it: how severe, what it means, who does what."""
    (model,) = CONTROLS_YAML.parent.glob(f"*/{PREFIX}{rule.name}.sql")
    link = os.path.relpath(model, PAGE.parent)
    only = f", version {rule.only_method} of the split only" if rule.only_method else ""
    paragraphs = (
        f"**{rule.severity.capitalize()}**{only}. {rule.meaning} [SQL]({link})",
        f"To do, by {rule.who}: {rule.what_to_do}",
    )
    return "\n\n".join([f"## {rule.name}", *map(_wrapped, paragraphs)]) + "\n"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(
        paragraph, width=120, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    PAGE.write_text(draw(), encoding="utf-8")
