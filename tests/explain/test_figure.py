"""The shape of an explanation: it adds up, or there is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orchestration.explain.figure import Figure, Lead, Reach, ranked
from orchestration.lake.errors import PodledgerError


def row(name: str, usd: str) -> Figure:
    return Figure("row", name, Decimal(usd))


def test_parts_that_miss_a_unit_are_refused():
    whole = row("whole", "1.0000000000")
    parts = [row("a", "0.6000000000"), row("b", "0.3999999999")]
    with pytest.raises(PodledgerError, match=r"rows of whole add up to 0\.9999999999 USD"):
        whole.by("rows", parts)
    assert whole.by("rows", [parts[0], row("b", "0.4")]).usd == 1


def test_the_rest_is_a_row_so_that_what_is_shown_adds_up():
    leads = [Lead(row(str(number), f"{number}.5")) for number in range(1, 8)]
    shown = ranked(leads, Reach(limit=3))
    assert [one.name for one in shown] == ["7", "6", "5", "4 more"]
    assert shown[-1].facts == {"count": 4}
    assert sum(one.usd for one in shown) == sum(lead.figure.usd for lead in leads)


def test_a_rest_of_one_row_is_shown_as_what_it_is():
    leads = [Lead(row(str(number), "1")) for number in range(4)]
    assert [one.name for one in ranked(leads, Reach(limit=3))] == ["0", "1", "2", "3"]


def test_only_the_largest_are_followed_and_credits_count_by_their_size():
    asked: list[str] = []

    def follow(figure: Figure) -> Figure:
        asked.append(figure.name)
        return figure

    leads = [Lead(row(usd, usd), follow) for usd in ("1", "-9", "3")]
    ranked(leads, Reach(follow=2))
    assert asked == ["-9", "3"]


def test_json_has_money_as_exact_text():
    part = Figure("part", "p", Decimal("0E-10"), {"hours": 1.5, "price": Decimal("0.10")})
    told = Figure("whole", "w", Decimal("0"), part_of=row("all", "2.50")).by("rows", [part])
    assert told.as_json() == {
        "kind": "whole",
        "name": "w",
        "usd": "0",
        "part_of": {"kind": "row", "name": "all", "usd": "2.50"},
        "breakdowns": {
            "rows": [
                {
                    "kind": "part",
                    "name": "p",
                    "usd": "0.0000000000",
                    "hours": 1.5,
                    "price": "0.10",
                }
            ]
        },
    }
