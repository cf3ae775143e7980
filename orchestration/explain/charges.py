"""What somebody is charged, and what the rules behind it took from where.

Holds the first two levels of an explanation: charges by kind, origin and rule; and for
what a rule shared, all that it took, and all that there was of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.distribution.policy_file import Policy
from orchestration.explain.detail import Detail
from orchestration.explain.figure import Figure, Lead, Reach, ranked
from orchestration.explain.lines import largest_lines
from orchestration.explain.node_hours import account, read_node_hour, rows_of, told_hour
from orchestration.explain.pods import WORKLOAD, Charged, by_workload

ORIGINS: Mapping[str, str] = {
    "split": "what pods were allocated",
    "pod": "what Fargate bills pods for",
    "unused": "capacity beside pods that nobody used",
    "unallocated": "node cost that no pod claimed",
    "remainder": "the rest of the bill",
}
"""Where a charge came from, for people."""


@dataclass(frozen=True)
class Chosen:
    """Whose charges are explained.

    Attributes:
        name: For people, like ``team research``.
        receiver: Who is charged, as a text of the same kind, in SQL.
        no_receiver: What those are called that are none of the kind.
        where: Condition on the published charges, in SQL.
        values: Of its parameters.
        day: Only the charges of that day; None for the whole month.
    """

    name: str
    receiver: str
    no_receiver: str
    where: str
    values: Mapping[str, object]
    day: dt.date | None

    @property
    def condition(self) -> str:
        """Condition, with the day."""
        return f"({self.where})" + self.of_day

    @property
    def of_day(self) -> str:
        """The condition on the day alone, to be added to another."""
        return f" and usage_date = date '{self.day}'" if self.day else ""


def explain_charges(detail: Detail, policy: Policy, chosen: Chosen, reach: Reach) -> Figure:
    """What somebody is charged, as a figure with all that it is made of."""
    rows = rows_of(
        detail,
        "select charge_type, origin, rule, sum(usd)::decimal(38, 10) as usd from charges"
        f" where {chosen.condition} group by all",
        dict(chosen.values),
    )
    order = {rule.name: place for place, rule in enumerate(policy.rules)}
    rows.sort(
        key=lambda row: (
            CHARGE_TYPES.index(row["charge_type"]),
            order.get(row["rule"], -1),
            row["origin"],
        )
    )
    keys = {rule.name: rule.key for rule in policy.rules}
    charges = []
    for row in rows:
        # Direct, idle and shared are followed each by itself.
        same = [one for one in rows if one["charge_type"] == row["charge_type"]]
        larger = sum(abs(one["usd"]) > abs(row["usd"]) for one in same)
        is_followed = reach.follow is None or larger < reach.follow
        further = reach if is_followed else Reach(reach.limit, 0)
        charges.append(_charge(detail, policy, chosen, row, keys.get(row["rule"]), further))
    usd = sum((row["usd"] for row in rows), Decimal(0))
    return Figure("selection", chosen.name, usd).by("charges", charges)


def _charge(
    detail: Detail,
    policy: Policy,
    chosen: Chosen,
    row: Mapping[str, Any],
    key: str | None,
    reach: Reach,
) -> Figure:
    origin, rule = row["origin"], row["rule"]
    figure = Figure(
        "charge",
        f"{row['charge_type']}: {ORIGINS[origin]}",
        row["usd"],
        {
            "charge_type": row["charge_type"],
            "origin": origin,
            "rule": rule,
            "key": key,
        },
    )
    if rule is None:
        charges = _direct(detail, chosen, row)
        return figure.by("workloads", by_workload(detail, charges, origin, reach))
    return figure.by("taken", _taken(detail, policy, chosen, row, reach))


def _direct(detail: Detail, chosen: Chosen, row: Mapping[str, Any]) -> list[Charged]:
    found = rows_of(
        detail,
        f"select usage_date, {', '.join(WORKLOAD)}, bill_payer_account_id,"
        " line_item_usage_account_id, product_region_code, labels,"
        " sum(usd)::decimal(38, 10) as usd from charges"
        f" where {chosen.condition} and charge_type = $charge_type and origin = $origin"
        " and rule is null group by all",
        {
            **chosen.values,
            "charge_type": row["charge_type"],
            "origin": row["origin"],
        },
    )
    return [
        Charged(
            one["usage_date"],
            tuple(one[name] for name in WORKLOAD),
            (
                one["bill_payer_account_id"],
                one["line_item_usage_account_id"],
                one["product_region_code"],
            ),
            dict(one["labels"]),
            one["usd"],
        )
        for one in found
    ]


# ---------------------------------------------------------------- what rules took


def _taken(
    detail: Detail,
    policy: Policy,
    chosen: Chosen,
    row: Mapping[str, Any],
    reach: Reach,
) -> tuple[Figure, ...]:
    """What a rule charges of each thing that it took, with all that it took of it."""
    of_rule = "rule = $rule and origin = $origin"
    values = {"rule": row["rule"], "origin": row["origin"]}
    details = rows_of(
        detail,
        "select origin_detail, sum(usd)::decimal(38, 10) as usd,"
        " array_agg(distinct bill_payer_account_id) as payers from charges"
        f" where {chosen.condition} and charge_type = $charge_type and {of_rule}"
        " group by 1",
        {**chosen.values, "charge_type": row["charge_type"], **values},
    )
    # What moves between payers is all of one whole.
    is_one = any(rule.across_payers for rule in policy.rules)
    leads = []
    for one in details:
        payers = None if is_one else sorted(one["payers"])
        what = _What(row["origin"], one["origin_detail"], payers, chosen)
        ((whole,),) = detail.connection.execute(
            f"select sum(usd)::decimal(38, 10) from charges where {of_rule}"
            f" and origin_detail is not distinct from $detail{what.of_payers()}"
            f"{chosen.of_day}",
            {**values, "detail": one["origin_detail"], **what.payer_values},
        ).fetchall()
        part = round(one["usd"] / whole, 8) if whole else None
        figure = Figure(
            "taken",
            what.name,
            one["usd"],
            {"origin_detail": one["origin_detail"], "rule_usd": whole, "part": part},
        )
        everything = _of_rule(detail, what, row["rule"], whole, reach)
        leads.append(Lead(figure, everything))
    return ranked(leads, reach)


@dataclass(frozen=True)
class _What:
    """One thing that rules take from: a category, a resource, a namespace's pods."""

    origin: str
    detail: str | None
    payers: Sequence[str] | None
    chosen: Chosen

    @property
    def name(self) -> str:
        first, _, reason = (self.detail or "?").partition("/")
        words = first.replace("_", " ")
        if self.origin in ("split", "pod"):
            return f"pods in {self.detail or '?'}"
        if self.origin == "unused":
            return f"unused {words}"
        return f"{words}, {reason.replace('_', ' ')}" if reason else words

    def of_payers(self, column: str = "bill_payer_account_id") -> str:
        return f" and {column} in (select unnest($payers))" if self.payers else ""

    @property
    def payer_values(self) -> dict[str, object]:
        return {"payers": list(self.payers)} if self.payers else {}


def _of_rule(
    detail: Detail, what: _What, rule: str, taken: Decimal, reach: Reach
) -> Callable[[Figure], Figure]:
    """All that a rule took of something: whom it charges, and what it took it from."""

    def follow(figure: Figure) -> Figure:
        receivers = rows_of(
            detail,
            f"select {what.chosen.receiver} as name, sum(usd)::decimal(38, 10) as usd"
            " from charges where rule = $rule and origin = $origin and origin_detail is not"
            f" distinct from $detail{what.of_payers()}{what.chosen.of_day} group by 1",
            {
                "rule": rule,
                "origin": what.origin,
                "detail": what.detail,
                **what.payer_values,
            },
        )
        leads = [
            Lead(Figure("receiver", row["name"] or what.chosen.no_receiver, row["usd"]))
            for row in receivers
        ]
        by_rule = Figure(
            "rule",
            what.name,
            taken,
            {"rule": rule},
            part_of=_everything(detail, what, reach),
        ).by("receivers", ranked(leads, reach))
        return Figure(figure.kind, figure.name, figure.usd, figure.facts, part_of=by_rule)

    return follow


def _everything(detail: Detail, what: _What, reach: Reach) -> Figure | None:
    """All that there was to take: who takes what of it, and where it comes from.

    None where that cannot be told without the lake.
    """
    if detail.missing and what.origin != "remainder":
        return None
    takers = rows_of(
        detail,
        "select charge_type, rule, reason, sum(usd)::decimal(38, 10) as usd from charges"
        f" where {_is_of(what)}{what.of_payers()}{what.chosen.of_day} group by all",
        {"detail": what.detail, **what.payer_values},
    )
    usd = sum((row["usd"] for row in takers), Decimal(0))
    figure = Figure("whole", what.name, usd).by(
        "takers",
        ranked(
            (
                Lead(
                    Figure(
                        "taker",
                        row["rule"] or _not_taken(row),
                        row["usd"],
                        {"charge_type": row["charge_type"]},
                    )
                )
                for row in takers
            ),
            Reach(),
        ),
    )
    if what.origin == "remainder":
        return _with_lines(detail, figure, what, reach)
    return figure.by("nodes", _nodes(detail, what, reach))


def _is_of(what: _What) -> str:
    """Charges that carry some of it, rule or none."""
    if what.origin in ("split", "pod"):
        return (
            f"origin = '{what.origin}' and case when rule is null then namespace"
            " else origin_detail end is not distinct from $detail"
        )
    return f"origin = '{what.origin}' and origin_detail is not distinct from $detail"


def _not_taken(row: Mapping[str, Any]) -> str:
    if row["charge_type"] == "direct":
        return "no rule: the pods' own"
    return f"nobody: {str(row['reason'] or 'no_rule').replace('_', ' ')}"


# ---------------------------------------------------------------- where it comes from


def _nodes(detail: Detail, what: _What, reach: Reach) -> tuple[Figure, ...]:
    """Nodes that an amount arose on, and their hours."""
    source = _source(what)
    payers = what.of_payers("payer_account_id")
    values = {"detail": what.detail, **what.payer_values}
    day = what.chosen.of_day
    rows = detail.connection.execute(
        f"select coalesce(instance_id, 'Fargate'), sum(amount)::decimal(38, 10), count(*)"
        f" from ({source}) where true{payers}{day} group by 1",
        values,
    ).fetchall()
    leads = []
    for instance, usd, hours in rows:

        def follow(figure: Figure, instance: str = instance) -> Figure:
            found = detail.connection.execute(
                f"select usage_hour, sum(amount)::decimal(38, 10) from ({source})"
                f" where instance_id = $instance{payers}{day} group by 1",
                {**values, "instance": instance},
            ).fetchall()
            return figure.by("hours", ranked(_hours(detail, instance, found, reach), reach))

        figure = Figure("node", instance, usd, {"hours": hours})
        leads.append(Lead(figure, None if instance == "Fargate" else follow))
    return ranked((lead for lead in leads if lead.figure.usd), reach)


def _hours(
    detail: Detail,
    instance: str,
    hours: Sequence[tuple[dt.datetime, Decimal]],
    reach: Reach,
) -> list[Lead]:
    leads = []
    for hour, usd in hours:
        figure = Figure("node_part", f"{told_hour(hour)} on {instance}", usd)

        def follow(figure: Figure, hour: dt.datetime = hour) -> Figure:
            whole = account(detail, read_node_hour(detail, instance, hour), reach)
            return Figure(figure.kind, figure.name, figure.usd, part_of=whole)

        leads.append(Lead(figure, follow))
    return [lead for lead in leads if lead.figure.usd]


def _source(what: _What) -> str:
    """Rows with ``payer_account_id``, ``usage_date``, ``instance_id`` and ``amount``."""
    columns = "payer_account_id, usage_date, usage_hour, instance_id"
    if what.origin == "unallocated":
        return (
            f"select {columns}, usd as amount from unallocated"
            " where resource || '/' || reason = $detail"
        )
    if what.origin == "unused":
        return (
            f"select {columns}, case $detail"
            " when 'accelerator' then accelerator_unused_usd"
            " when 'vcpu' then vcpu_unused_usd when 'memory' then memory_unused_usd end"
            " as amount from pod_hours"
        )
    is_fargate = (
        "instance_id is null" if what.origin == "pod" else "instance_id is not null"
    )
    return (
        f"select {columns}, split_usd as amount from pod_hours"
        f" where namespace is not distinct from $detail and {is_fargate}"
    )


def _with_lines(detail: Detail, figure: Figure, what: _What, reach: Reach) -> Figure:
    """A category of the remainder with its rows, and its lines where the lake has them."""
    payers = what.of_payers()
    values = {"detail": what.detail, **what.payer_values}
    rows = rows_of(
        detail,
        "select line_item_product_code as product, line_item_line_item_type as type,"
        " line_item_usage_account_id as account, sum(usd)::decimal(38, 10) as usd"
        f" from remainder where category = $detail{payers} group by all",
        values,
    )
    leads = [
        Lead(
            Figure(
                "remainder",
                f"{row['product'] or '?'}, {row['type']}, account {row['account'] or '?'}",
                row["usd"],
            )
        )
        for row in rows
    ]
    figure = figure.by("products", ranked(leads, reach))
    if detail.missing:
        return figure
    lines = largest_lines(
        detail.connection,
        "role = 'remainder' and category = $detail" + what.of_payers("payer_account_id"),
        values,
        reach,
    )
    spread = figure.usd - sum((line.usd for line in lines), Decimal(0))
    if spread and _may_be_spread(detail, what):
        lines.append(Figure("spread", _SPREAD[str(what.detail)], spread))
    return figure.by("bill_lines", lines)


_SPREAD = {
    "capacity_blocks": "carried by the hours of the Capacity Blocks",
    "unused_capacity_reservations": "part of the fees of Capacity Blocks, for idle hours",
    "other_services": "part of Dedicated Hosts and HyperPod clusters that no node carries",
}
"""What categories have, or lack, beside their lines: fees that are spread over hours."""


def _may_be_spread(detail: Detail, what: _What) -> bool:
    """Whether a category may differ from its lines: only where there are such fees."""
    if what.detail not in _SPREAD:
        return False
    is_of_hosts = what.detail == "other_services"
    condition = "role = 'spread'" if is_of_hosts else "is_capacity_block_fee"
    found = detail.connection.execute(
        f"select 1 from lines where {condition}{what.of_payers('payer_account_id')}"
        " limit 1",
        what.payer_values,
    ).fetchone()
    return found is not None or (detail.has_earlier_fees and not is_of_hosts)
