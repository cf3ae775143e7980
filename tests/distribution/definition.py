"""What a policy means, in exact fractions: docs/chargeback.md, read word by word.

Written for reading and not for speed: no SQL, no rounding, one cost after the other.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from orchestration.distribution.policy import Give, Receivers, Rule, Share
from orchestration.lake.schemas import BASES
from tests.distribution.costs import MONTH, Cost, Quota

Whom = tuple[Any, ...]


@dataclass
class Meaning:
    """Charges by (day, whom, type, origin, rule), each with an amount a basis.

    ``gone`` is the part of a cost that was charged to those whose quotas hold it back.
    """

    gone: dict[int, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    charges: dict[tuple[Any, ...], dict[str, Fraction]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Fraction))
    )

    def add(self, key: tuple[Any, ...], money: dict[str, Fraction]) -> None:
        for basis, usd in money.items():
            self.charges[key][basis] += usd


def whom(cost: Cost) -> Whom:
    return (
        cost.payer_account_id,
        cost.usage_account_id,
        cost.region_code,
        cost.cluster_name,
        cost.namespace,
        cost.workload_name,
        frozenset(cost.labels.items()),
    )


def money(found: Meaning, cost: Cost) -> dict[str, Fraction]:
    """What is left of a cost: all of it, but for what quotas hold back."""
    part = 1 - found.gone[id(cost)]
    return {basis: part * Fraction(cost.money(basis) or 0) for basis in BASES}


def meaning(
    costs: Sequence[Cost], rules: Sequence[Rule], quotas: Sequence[Quota] = ()
) -> Meaning:
    left = list(costs)
    found = Meaning()
    reasons: dict[int, str] = {}
    used: set[tuple[int, int]] = set()
    for rule in rules:
        if rule.take == "quota":
            _take_held(found, rule, left, quotas, used)
            continue
        matched = [cost for cost in left if matches(rule, cost)]
        if rule.give is not None:
            taken = [cost for cost in matched if _give(found, rule, cost)]
        else:
            taken = _share(found, rule, rule.share, matched, left)
        gone = {id(cost) for cost in taken}
        for cost in matched:
            if id(cost) not in gone:
                reasons[id(cost)] = (
                    "no_owner" if rule.give == "owner" else "nobody_to_share_with"
                )
        left = [cost for cost in left if id(cost) not in gone]
    for cost in left:
        if cost.origin in ("split", "pod"):
            key = (cost.usage_date, whom(cost), "direct", cost.origin, None, None)
        else:
            nobody = (*whom(cost)[:4], None, None, frozenset())
            reason = reasons.get(id(cost), "no_rule")
            key = (day_of(cost), nobody, "unassigned", cost.origin, None, reason)
        found.add(key, money(found, cost))
    return found


def day_of(cost: Cost) -> dt.date | None:
    return None if cost.origin == "remainder" else cost.usage_date


def matches(rule: Rule, cost: Cost) -> bool:
    if cost.origin not in rule.origins or not meets(rule.where, cost):
        return False
    day = cost.usage_date or MONTH.start.date()
    return (not rule.start or day >= rule.start) and (not rule.end or day < rule.end)


def meets(where: Receivers, cost: Cost) -> bool:
    facts = {
        "payer": cost.payer_account_id,
        "account": cost.usage_account_id,
        "region": cost.region_code,
        "cluster": cost.cluster_name,
        "namespace": cost.namespace,
        "workload": cost.workload_name,
        "node_pool": cost.node_pool,
        "resource": cost.resource,
        "reason": cost.reason,
        "category": cost.category,
        "line_type": cost.line_type,
    }
    for name, patterns in where.given().items():
        if name == "label":
            pairs = [pattern.split("=", 1) for pattern in patterns]
            if not any(
                key in cost.labels and is_like(cost.labels[key], value)
                for key, value in pairs
            ):
                return False
        else:
            fact = facts[name]
            if fact is None or not any(is_like(fact, pattern) for pattern in patterns):
                return False
    return True


def is_like(text: str, pattern: str) -> bool:
    """``*`` is any text, and everything else itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    if not text.startswith(first):
        return False
    text = text[len(first) :]
    *middle, last = rest
    for part in middle:
        place = text.find(part)
        if place < 0:
            return False
        text = text[place + len(part) :]
    return text.endswith(last)


def charge_type(rule: Rule) -> str:
    return "shared" if rule.take in ("split", "remainder") else "idle"


def _give(found: Meaning, rule: Rule, cost: Cost) -> bool:
    place = whom(cost)[:4]
    if isinstance(rule.give, Give):
        to = (*place, None, None, frozenset(rule.give.labels().items()))
    elif rule.give == "pods":
        to = whom(cost)
    elif cost.owner_labels:
        to = (*place, None, None, frozenset(cost.owner_labels.items()))
    else:
        return False
    found.add(
        (day_of(cost), to, charge_type(rule), cost.origin, rule.name, None),
        money(found, cost),
    )
    return True


def _take_held(
    found: Meaning,
    rule: Rule,
    left: list[Cost],
    quotas: Sequence[Quota],
    used: set[tuple[int, int]],
) -> None:
    """Of each idle cost, what quotas of its cluster, day and resource hold back."""
    named = rule.where.namespace
    others = rule.model_copy(
        update={"where": rule.where.model_copy(update={"namespace": None})}
    )
    for cost in left:
        if not matches(others, cost):
            continue
        near = [
            quota
            for quota in quotas
            if (quota.cluster_name, quota.usage_date, quota.resource)
            == (cost.cluster_name, cost.usage_date, cost.resource)
        ]
        total = sum(Fraction(quota.held) for quota in near)
        for quota in near:
            wanted = named is None or any(is_like(quota.namespace, one) for one in named)
            if not wanted or (id(cost), id(quota)) in used:
                continue
            used.add((id(cost), id(quota)))
            part = Fraction(quota.held) / max(total, Fraction(quota.idle))
            holder = (quota.namespace, None, frozenset(quota.labels.items()))
            to = (*whom(cost)[:4], *holder)
            found.add(
                (cost.usage_date, to, "idle", cost.origin, rule.name, None),
                {basis: part * Fraction(cost.money(basis) or 0) for basis in BASES},
            )
            found.gone[id(cost)] += part


def circle_of(circle: str, cost: Cost) -> Any:
    cluster = (cost.cluster_name,)
    if circle in ("cluster", "namespace", "node_pool") and cost.cluster_name is None:
        return None
    part = {"namespace": cost.namespace, "node_pool": cost.node_pool}
    if circle in part:
        return None if part[circle] is None else (*cluster, part[circle])
    return {
        "all": "all",
        "payer": cost.payer_account_id,
        "account": cost.usage_account_id,
        "region": cost.region_code,
        "cluster": cluster,
        "node": cost.instance_id,
    }[circle]


def _share(
    found: Meaning, rule: Rule, share: Share | None, matched: list[Cost], left: list[Cost]
) -> list[Cost]:
    assert share is not None
    out = {id(cost) for cost in matched}
    direct = [
        cost
        for cost in left
        if cost.origin in ("split", "pod")
        and id(cost) not in out
        and meets(share.where, cost)
    ]
    # What earlier rules gave counts as it was before this one.
    so_far = {key: dict(amounts) for key, amounts in found.charges.items()}
    taken: list[Cost] = []
    for cost in matched:
        for circle in share.circles:
            place = circle_of(circle, cost)
            if place is None:
                continue
            near = [
                one
                for one in direct
                if circle_of(circle, one) == place
                and (rule.take == "remainder" or one.usage_date == cost.usage_date)
                and (rule.across_payers or one.payer_account_id == cost.payer_account_id)
            ]
            parts = _parts(share, near, cost, so_far)
            if not parts:
                continue
            for to, part in parts.items():
                found.add(
                    (day_of(cost), to, charge_type(rule), cost.origin, rule.name, None),
                    {basis: usd * part for basis, usd in money(found, cost).items()},
                )
            taken.append(cost)
            break
    return taken


def weight(cost: Cost) -> Fraction:
    usd = cost.money("amortized")
    return Fraction(usd if usd is not None else cost.money("unblended") or 0)


def _parts(
    share: Share,
    near: list[Cost],
    cost: Cost,
    so_far: dict[tuple[Any, ...], dict[str, Fraction]],
) -> dict[Whom, Fraction]:
    if share.by == "split_cost" and cost.origin in ("unused", "unallocated"):
        same = [one for one in near if one.resource == cost.resource]
        per_whom: dict[Whom, Fraction] = defaultdict(Fraction)
        for one in same:
            per_whom[whom(one)] += weight(one)
        if any(usd > 0 for usd in per_whom.values()):
            near = same
    direct: dict[Whom, Fraction] = defaultdict(Fraction)
    for one in near:
        direct[whom(one)] += weight(one)
    direct = {to: usd for to, usd in direct.items() if usd > 0}
    weights = dict(direct)
    if share.by in ("device_hours", "vcpu_hours", "gib_hours"):
        resource = {
            "device_hours": "accelerator",
            "vcpu_hours": "vcpu",
            "gib_hours": "memory",
        }
        hours: dict[Whom, Fraction] = defaultdict(Fraction)
        for one in near:
            if one.resource == resource[share.by]:
                hours[whom(one)] += Fraction(one.hours or 0)
        weights = {to: hours[to] for to in direct if hours[to] > 0}
    elif share.by == "charged_so_far":
        day = day_of(cost)
        for (at, to, _type, _origin, _rule, _reason), amounts in so_far.items():
            if to in weights and (cost.origin == "remainder" or at == day):
                weights[to] += amounts["amortized"]
        weights = {to: usd for to, usd in weights.items() if usd > 0}
    elif share.by == "even" or isinstance(share.by, dict):
        return _counted(share, direct)
    total = sum(weights.values())
    return {to: one / total for to, one in weights.items()}


def _counted(share: Share, direct: dict[Whom, Fraction]) -> dict[Whom, Fraction]:
    def unit(to: Whom) -> Any:
        team = dict(to[6]).get("team")
        if share.counts == "team":
            return team
        if isinstance(share.by, dict):
            return to[5] if share.counts == "workload" else to[4]
        return to[3:6] if share.counts == "workload" else to[3:5]

    within: dict[Any, Fraction] = defaultdict(Fraction)
    for to, usd in direct.items():
        if unit(to) is not None:
            within[unit(to)] += usd
    weights = {
        one: Fraction(share.by[one]) if isinstance(share.by, dict) else Fraction(1)
        for one in within
        if not isinstance(share.by, dict) or one in share.by
    }
    total = sum(weights.values())
    return {
        to: weights[unit(to)] / total * usd / within[unit(to)]
        for to, usd in direct.items()
        if unit(to) in weights
    }
