"""A figure with what it is made of: a tree in which every level adds up.

Holds the one shape that an explanation has, for terminal, JSON and pages alike. That the
parts of a figure are the figure, to the last unit, is checked as it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact

Fact = Decimal | int | float | str | None
"""What is said of a figure. Money and exact numbers are decimals, hours are floats."""


@dataclass(frozen=True)
class Figure:
    """An amount, what is known of it, and what it is made of.

    Attributes:
        kind: What it is: ``charge``, ``workload``, ``bill_line``, ``rest`` ...
        name: Which one, for people.
        usd: The amount, in the explanation's cost basis.
        facts: What else is known of it, by name.
        breakdowns: What it is made of, in one or several ways, each by the name of its
            parts. The parts of each way add up to ``usd``.
        part_of: The whole that it is a part of, if that is no sum of such figures.
        note: What cannot be told further down, and why.
    """

    kind: str
    name: str
    usd: Decimal
    facts: Mapping[str, Fact] = field(default_factory=dict)
    breakdowns: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    part_of: Figure | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name, parts in self.breakdowns.items():
            total = sum((part.usd for part in parts), Decimal(0))
            if total != self.usd:
                raise PodledgerError(
                    f"The {name.replace('_', ' ')} of {self.name} add up to"
                    f" {exact(total)} USD, and it is {exact(self.usd)} USD. What the lake"
                    " holds is not what the month was published from, or podledger is at"
                    " fault. Close the month again; if it stays so, report this message."
                )

    def by(self, name: str, parts: Iterable[Figure]) -> Figure:
        """The same figure with one more breakdown."""
        return replace(self, breakdowns={**self.breakdowns, name: tuple(parts)})

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; money and exact numbers as text."""
        found: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "usd": f"{self.usd:f}",
            **{
                name: f"{fact:f}" if isinstance(fact, Decimal) else fact
                for name, fact in self.facts.items()
            },
        }
        if self.note:
            found["note"] = self.note
        if self.part_of:
            found["part_of"] = self.part_of.as_json()
        if self.breakdowns:
            found["breakdowns"] = {
                name: [part.as_json() for part in parts]
                for name, parts in self.breakdowns.items()
            }
        return found


@dataclass(frozen=True)
class Reach:
    """How much of an explanation is wanted.

    Attributes:
        limit: Rows of each level, the largest first; the others are one row. None: all.
        follow: How many rows of each level are explained further. None: all.
    """

    limit: int | None = None
    follow: int | None = None


@dataclass(frozen=True)
class Lead:
    """A figure, and how to find out what it is made of; called only if it is followed."""

    figure: Figure
    follow: Callable[[Figure], Figure] | None = None


def ranked(leads: Iterable[Lead], reach: Reach) -> tuple[Figure, ...]:
    """The largest figures, those that are followed explained, and the rest as one row."""
    ordered = sorted(leads, key=lambda one: (-abs(one.figure.usd), one.figure.name))
    limit = len(ordered) if reach.limit is None else reach.limit
    follow = limit if reach.follow is None else reach.follow
    # One row that stands for one row would hide it for nothing.
    limit = limit + 1 if len(ordered) == limit + 1 else limit
    found = [
        lead.follow(lead.figure) if lead.follow and place < follow else lead.figure
        for place, lead in enumerate(ordered[:limit])
    ]
    rest = ordered[limit:]
    usd = sum((lead.figure.usd for lead in rest), Decimal(0))
    return (*found, *rest_of(len(rest), usd))


def rest_of(count: int, usd: Decimal) -> list[Figure]:
    """One row for all that is not shown, or none."""
    return [Figure("rest", f"{count:,} more", usd, {"count": count})] if count else []
