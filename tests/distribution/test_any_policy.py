"""Random policies over random worlds: the law, rule by rule, and the definition itself."""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.distribution.distribute import distribute
from orchestration.distribution.policy import Rule, contradictions
from orchestration.distribution.policy_file import Policy
from orchestration.lake.schemas import BASES
from tests.distribution.costs import (
    DAY,
    MONTH,
    Cost,
    Quota,
    charges_of,
    month_of,
    read_charges,
)
from tests.distribution.definition import meaning

UNIT = Fraction(1, 10**10)

PAYERS = ("999900001111", "999900002222")
ACCOUNTS = {PAYERS[0]: ("111100001111", "111100002222"), PAYERS[1]: ("222200001111",)}
DAYS = (DAY, DAY + dt.timedelta(days=1))
NAMESPACES = ("kube-system", "chat", "vision_a", "vision%b")
TEAMS = ("red", "blue", None)
POOLS = ("gpu", "cpu", None)
RESOURCES = ("accelerator", "vcpu", "memory")
CATEGORIES = ("support", "tax", "ebs", "eks_fees")

amounts = st.one_of(
    st.decimals("0.0000000001", "0.0000000099", places=10),
    st.decimals("0.01", "5000", places=10),
    st.sampled_from([Decimal(0), Decimal(1), Decimal("0.3333333333")]),
)


@st.composite
def places(draw: st.DrawFn) -> dict[str, Any]:
    payer = draw(st.sampled_from(PAYERS))
    return {
        "payer_account_id": payer,
        "usage_account_id": draw(st.sampled_from(ACCOUNTS[payer])),
        "region_code": draw(st.sampled_from(["us-east-1", "eu-west-1", None])),
        "cluster_name": draw(st.sampled_from(["one", "two", None])),
    }


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    origin = draw(
        st.sampled_from(["split", "split", "split", "pod", "unused", "unallocated"])
        | st.just("remainder")
    )
    place = draw(places())
    team = draw(st.sampled_from(TEAMS))
    labels = {"team": team} if team else {}
    owned = draw(st.sampled_from([{}, {"team": "owner"}]))
    if origin == "remainder":
        sign = draw(st.sampled_from([1, 1, -1]))
        return Cost(
            "remainder",
            sign * draw(amounts),
            usage_date=draw(st.sampled_from([*DAYS, None])),
            namespace=draw(st.sampled_from([None, "chat"])),
            resource=None,
            category=draw(st.sampled_from(CATEGORIES)),
            line_type=draw(st.sampled_from(["Fee", "Usage"])),
            labels=owned,
            owner_labels=owned,
            **place,
        )
    more: dict[str, Any] = {
        "usage_date": draw(st.sampled_from(DAYS)),
        "resource": draw(st.sampled_from(RESOURCES)),
        "node_pool": draw(st.sampled_from(POOLS)),
        "instance_id": draw(st.sampled_from(["i-1", "i-2"])),
        **place,
    }
    if origin == "unallocated":
        return Cost(
            origin,
            draw(amounts),
            reason=draw(st.sampled_from(["no_pods", "unclaimed"])),
            labels=owned,
            owner_labels=owned,
            **more,
        )
    if origin == "unused":
        more["owner_labels"] = owned
    else:
        more["hours"] = draw(st.integers(0, 50))
    return Cost(
        origin,
        draw(amounts),
        namespace=draw(st.sampled_from(NAMESPACES)),
        workload_name=draw(st.sampled_from(["api", "job"])),
        labels=labels,
        **more,
    )


@st.composite
def quotas(draw: st.DrawFn) -> list[Quota]:
    """One a namespace, day, resource and cluster; what is idle is alike for all of them."""
    keys = st.tuples(
        st.sampled_from(["one", "two"]), st.sampled_from(DAYS), st.sampled_from(RESOURCES)
    )
    hours = st.decimals("0.000000000001", "900", places=12) | st.just(Decimal(24))
    found = []
    for cluster, day, resource in draw(st.lists(keys, max_size=4, unique=True)):
        idle = draw(hours | st.just(Decimal(0)))
        for namespace in draw(st.lists(st.sampled_from(NAMESPACES), unique=True)):
            team = draw(st.sampled_from(TEAMS))
            labels = {"team": team} if team else {}
            held = draw(hours)
            found.append(Quota(namespace, held, idle, day, cluster, resource, labels))
    return found


@st.composite
def rules(draw: st.DrawFn, number: int) -> dict[str, Any]:
    take = draw(
        st.sampled_from(["split", "unused", "unallocated", "idle", "quota", "remainder"])
    )
    found: dict[str, Any] = {"name": f"rule {number}", "take": take}
    where: dict[str, Any] = {}
    if take == "split":
        where["namespace"] = draw(st.sampled_from(["kube-*", "vision_a", "vision%*", "*"]))
    elif take == "remainder":
        if draw(st.booleans()):
            where["category"] = draw(st.lists(st.sampled_from(CATEGORIES), min_size=1))
    elif draw(st.booleans()):
        where["resource"] = draw(st.sampled_from(["accelerator", "v*"]))
    if draw(st.integers(0, 4)) == 0:
        where["cluster"] = draw(st.sampled_from(["one", "t*"]))
    if where:
        found["where"] = where
    if draw(st.integers(0, 4)) == 0:
        found[draw(st.sampled_from(["from", "to"]))] = "2026-10-08"
    if take == "quota":
        if draw(st.booleans()):
            where["namespace"] = draw(st.sampled_from(["chat", "vision*"]))
            found["where"] = where
        found["give"] = "owner"
        return found
    how = draw(st.integers(0, 5))
    if how == 0:
        gives = [{"team": "red"}, {"team": "blue", "cost_center": "12"}]
        if take == "unused":
            gives.append("pods")  # type: ignore[arg-type]
        if take != "split":
            gives.append("owner")  # type: ignore[arg-type]
        found["give"] = draw(st.sampled_from(gives))
        return found
    within = draw(
        st.sampled_from(
            ["payer", "account", "region", "cluster", "namespace", "node_pool", "node"]
        )
    )
    by: Any = draw(
        st.sampled_from(
            [
                "direct_cost",
                "split_cost",
                "charged_so_far",
                "device_hours",
                "vcpu_hours",
                "gib_hours",
                "even",
                {"red": "2", "blue": "0.5"},
            ]
        )
    )
    share: dict[str, Any] = {"within": within, "by": by}
    if by == "charged_so_far" and within in ("node", "node_pool"):
        share["within"] = "cluster"
    if by == "even":
        share["among"] = draw(st.sampled_from(["workload", "namespace", "team"]))
    if draw(st.integers(0, 3)) == 0:
        share["where"] = {"namespace": draw(st.sampled_from(["chat", "vision*"]))}
    if draw(st.booleans()):
        share["else"] = "wider"
    if draw(st.integers(0, 5)) == 0:
        found["across_payers"] = True
    found["share"] = share
    return found


@st.composite
def policies(draw: st.DrawFn) -> list[Rule]:
    count = draw(st.integers(1, 5))
    drawn = [Rule.model_validate(draw(rules(number))) for number in range(count)]
    refused = {place for place, _ in contradictions(drawn)}
    return [rule for place, rule in enumerate(drawn) if place not in refused]


def check(world: list[Cost], chosen: list[Rule], held: list[Quota]) -> None:
    policy = Policy("random", "", tuple(chosen), tuple(range(1, len(chosen) + 1)))
    with month_of(world, held) as connection:
        distribute(connection, MONTH, policy)
        charges = read_charges(connection)
        taken = {
            rule: amounts
            for rule, *amounts in connection.execute(
                f"select rule, {', '.join(f'sum({b}_taken_usd)' for b in BASES)} from rules"
                " group by rule"
            ).fetchall()
        }
    # The law: per payer where nothing may cross, over all payers where it may.
    crosses = any(rule.across_payers for rule in chosen)
    for basis in BASES:
        bill: dict[str, Decimal] = defaultdict(Decimal)
        found: dict[str, Decimal] = defaultdict(Decimal)
        for cost in world:
            bill["" if crosses else cost.payer_account_id] += cost.money(basis) or 0
        for charge in charges:
            found["" if crosses else charge.payer] += charge.usd[basis] or 0
        assert {k: v for k, v in found.items() if v} == {k: v for k, v in bill.items() if v}
    # Each rule gives what it takes.
    for place, basis in enumerate(BASES):
        for rule in chosen:
            given_usd = sum(one.usd[basis] or 0 for one in charges if one.rule == rule.name)
            assert given_usd == (taken[rule.name][place] or 0), rule
    # No part is negative where what is shared is not.
    for charge in charges:
        if charge.origin != "remainder":
            assert all((usd or 0) >= 0 for usd in charge.usd.values())
    # The definition, to within the rounding of each group that a charge is made of.
    expected = meaning(world, chosen, held).charges
    actual: dict[tuple[Any, ...], dict[str, Decimal]] = defaultdict(
        lambda: defaultdict(Decimal)
    )
    for charge in charges:
        for basis in BASES:
            actual[charge.key][basis] += charge.usd[basis] or 0
    for key in expected.keys() | actual.keys():
        for basis in BASES:
            difference = abs(Fraction(actual[key][basis]) - expected[key][basis])
            assert difference <= 4 * len(world) * UNIT, (key, basis)


@settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
@given(st.lists(costs(), min_size=1, max_size=16), policies(), quotas())
def test_any_policy_over_any_world(
    world: list[Cost], chosen: list[Rule], held: list[Quota]
) -> None:
    check(world, chosen, held)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(costs(), min_size=1, max_size=24), policies(), quotas())
def test_a_thousand_policies_over_a_thousand_worlds(
    world: list[Cost], chosen: list[Rule], held: list[Quota]
) -> None:
    check(world, chosen, held)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(costs(), min_size=2, max_size=12), policies(), quotas(), st.randoms())
def test_the_order_of_the_costs_is_no_matter(
    world: list[Cost], chosen: list[Rule], held: list[Quota], chance: random.Random
) -> None:
    policy = Policy("random", "", tuple(chosen), tuple(range(1, len(chosen) + 1)))
    shuffled, shuffled_held = list(world), list(held)
    chance.shuffle(shuffled)
    chance.shuffle(shuffled_held)
    key = str
    assert sorted(charges_of(world, policy, held), key=key) == sorted(
        charges_of(shuffled, policy, shuffled_held), key=key
    )
