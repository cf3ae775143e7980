"""A policy as SQL: each rule a script of a few statements that a person can read.

Holds what a rule does to the costs of a month. The tables that it reads and writes are
made by ``distribute.py``; money is in whole units of 1e-10 USD, so nothing is rounded but
the borders between shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestration.distribution.policy import WEIGHT_DIGITS, Give, Receivers, Rule, Share
from orchestration.engines.duckdb import quote
from orchestration.lake.schemas import BASES

QUOTAS = "int_quotas__held"
"""The model of what quotas hold back, in the warehouse."""

UNITS = tuple(f"{basis}_units" for basis in BASES)

WHOM = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "cluster_name",
    "namespace",
    "workload_type",
    "workload_name",
    "deployment",
    "labels",
)
"""Columns that say whom a charge is for."""

CHARGES = (
    "usage_date",
    *WHOM,
    "charge_type",
    "origin",
    "origin_detail",
    "rule_number",
    "reason",
    "part",
    "who",
    *UNITS,
)
"""Columns of the table that every rule adds to."""

_CIRCLES: Mapping[str, str | None] = {
    "all": None,
    "payer": None,
    "account": "usage_account_id",
    "region": "region_code",
    "cluster": "cluster_name",
    "namespace": "cluster_namespace",
    "node_pool": "cluster_node_pool",
    "node": "instance_id",
}
"""Column that is alike in one circle; the payer is, too, unless a rule crosses payers."""

_COLUMNS: Mapping[str, str] = {
    "payer": "payer_account_id",
    "account": "usage_account_id",
    "region": "region_code",
    "cluster": "cluster_name",
    "namespace": "namespace",
    "workload": "workload_name",
    "node_pool": "node_pool",
    "resource": "resource",
    "reason": "reason",
    "category": "category",
    "line_type": "line_type",
}

_COUNTED: Mapping[str, str] = {
    "workload": "row(cluster_name, namespace, workload_type, workload_name, deployment)"
    "::varchar",
    "namespace": "row(cluster_name, namespace)::varchar",
    "team": "labels['team']",
}
"""Whom ``even`` counts, as one text: null of those who are none of it."""

_NAMED: Mapping[str, str] = {
    "workload": "workload_name",
    "namespace": "namespace",
    "team": "labels['team']",
}
"""Whom fixed weights name."""

_HOURS: Mapping[str, str] = {
    "device_hours": "accelerator",
    "vcpu_hours": "vcpu",
    "gib_hours": "memory",
}

_DETAIL: Mapping[str, str] = {
    "split": "namespace",
    "unused": "resource",
    "unallocated": "resource || '/' || reason",
    "idle": "case when origin = 'unused' then resource else resource || '/' || reason end",
    "quota": "case when origin = 'unused' then resource else resource || '/' || reason end",
    "remainder": "category",
}
"""What ``origin_detail`` says of what a rule took."""

DETAIL = (
    "case origin when 'unused' then resource"
    " when 'unallocated' then resource || '/' || reason"
    " when 'remainder' then category end"
)
"""The same of what no rule took."""


@dataclass(frozen=True)
class Script:
    """The statements of one rule, in order, and what they do in words."""

    number: int
    rule: Rule
    statements: tuple[str, ...]

    @property
    def text(self) -> str:
        """As a person reads it."""
        head = f"-- Rule {self.number}: {' '.join(self.rule.name.split())}"
        return "\n\n".join([head, *(f"{statement};" for statement in self.statements)])


def script_of(number: int, rule: Rule, month_start: str) -> Script:
    """What a rule does, as SQL.

    Args:
        number: Its place in the policy, from 1.
        rule: The rule.
        month_start: First day of the month, ISO; lines without a day count as of it.
    """
    if rule.take == "quota":
        return Script(number, rule, tuple(_held_back(number, rule, month_start)))
    matches = _matches(rule, month_start)
    steps = list(_shared(number, rule, rule.share, matches)) if rule.share else []
    if rule.give:
        steps = list(_given(number, rule, matches))
    if rule.take == "split":
        steps.insert(
            0,
            "create or replace temp table seen as\n"
            f"select cost_id, who from left_over\nwhere {matches}",
        )
        steps.append(
            f"insert into taken_pods\nselect distinct who, {number} from seen\n"
            "where cost_id not in (select cost_id from left_over)"
        )
    reason = "no_owner" if rule.give == "owner" else "nobody_to_share_with"
    return Script(
        number,
        rule,
        (
            f"insert into matched\nselect {number}, payer_account_id, count(*),"
            f" {_sums()}\nfrom left_over\nwhere {matches}\ngroup by payer_account_id",
            *steps,
            f"insert into missed\nselect {number}, payer_account_id, count(*), {_sums()}\n"
            f"from left_over\nwhere {matches}\ngroup by payer_account_id",
            f"update left_over set why = '{reason}'\nwhere {matches}",
        ),
    )


def _sums() -> str:
    return ", ".join(f"sum({units})" for units in UNITS)


def _like(column: str, pattern: str) -> str:
    if "*" not in pattern:
        return f"{column} = {quote(pattern)}"
    escaped = pattern
    for sign in "\\%_":
        escaped = escaped.replace(sign, f"\\{sign}")
    return f"{column} like {quote(escaped.replace('*', '%'))} escape '\\'"


def _any_of(column: str, patterns: tuple[str, ...]) -> str:
    found = " or ".join(_like(column, pattern) for pattern in patterns)
    # What a column does not tell matches no pattern.
    return f"coalesce({found}, false)"


def _labelled(patterns: tuple[str, ...]) -> str:
    found = []
    for pattern in patterns:
        name, _, value = pattern.partition("=")
        found.append(_like(f"labels[{quote(name)}]", value))
    return f"coalesce({' or '.join(found)}, false)"


def _conditions(where: Receivers, namespace: str = "namespace") -> Iterator[str]:
    for name, patterns in where.given().items():
        if name == "label":
            yield _labelled(patterns)
        else:
            column = namespace if name == "namespace" else _COLUMNS[name]
            yield _any_of(column, patterns)


def _matches(rule: Rule, month_start: str) -> str:
    """What the rule takes of what is left, as a condition."""
    return "\n    and ".join(_in_force(rule, month_start))


def _in_force(rule: Rule, month_start: str, namespace: str = "namespace") -> Iterator[str]:
    origins = ", ".join(quote(origin) for origin in rule.origins)
    yield f"origin in ({origins})"
    yield from _conditions(rule.where, namespace)
    day = f"coalesce(usage_date, date '{month_start}')"
    if rule.start:
        yield f"{day} >= date '{rule.start}'"
    if rule.end:
        yield f"{day} < date '{rule.end}'"


def _charge_type(rule: Rule) -> str:
    return "shared" if rule.take in ("split", "remainder") else "idle"


def _given(number: int, rule: Rule, matches: str) -> Iterator[str]:
    """What a rule gives, whole, to whom it names."""
    somebody = ""
    whom = {**dict.fromkeys(WHOM[4:8], "null"), "labels": "owner_labels"}
    if isinstance(rule.give, Give):
        labels = rule.give.labels()
        names = ", ".join(map(quote, labels))
        values = ", ".join(map(quote, labels.values()))
        whom["labels"] = f"map([{names}], [{values}])"
    elif rule.give == "owner":
        somebody = "\n    and cardinality(owner_labels) > 0"
    else:
        whom = {name: name for name in WHOM[4:]}
    who = "who" if rule.give == "pods" else "null"
    day = "null" if rule.take == "remainder" else "usage_date"
    yield (
        f"insert into charges\nselect\n    {day}, {', '.join(WHOM[:4])},\n"
        f"    {', '.join(whom[name] for name in WHOM[4:])},\n"
        f"    '{_charge_type(rule)}', origin, {_DETAIL[rule.take]}, {number}, null, part,\n"
        f"    {who}, {_sums()}\nfrom left_over\nwhere {matches}{somebody}\ngroup by all"
    )
    yield f"delete from left_over\nwhere {matches}{somebody}"


def _held_back(number: int, rule: Rule, month_start: str) -> Iterator[str]:
    """What a rule takes of idle cost because quotas hold it back, for who holds them.

    A quota holds back the same part of every idle cost of its cluster, day and resource,
    whatever earlier rules left of them: rules for several quotas may come in any order.
    """
    units = ", ".join(UNITS)
    idle = "origin in ('unused', 'unallocated')"
    quotas = "left_over\n    inner join quotas using (usage_date, cluster_name, resource)"
    nobodys = "greatest(any_value(idle) - sum(weight), 0)::hugeint"
    yield f"""\
create temp table if not exists held as
with quotas as (
    select usage_date, cluster_name, resource, namespace as holder, labels as holder_labels,
        {_whole_hours("held_hours")} as weight, {_whole_hours("idle_hours")} as idle
    from {QUOTAS}
    where billing_month = date '{month_start}' and held_hours > 0
),
facing as (
    select cost_id, holder, holder_labels, weight, {units}
    from {quotas}
    where {idle}
    union all
    -- What no quota holds back is nobody's.
    select cost_id, null, null, {nobodys},
        {", ".join(f"any_value({one})" for one in UNITS)}
    from {quotas}
    where {idle}
    group by cost_id
),
parts as (
{_apportioned("facing", "cost_id", "holder nulls last", "weight")}
)
select cost_id, holder, holder_labels, {units}
from parts
where holder is not null"""
    known = dict.fromkeys((*WHOM[:4], "usage_date", "origin", "resource", "reason", "part"))
    conditions = "\n    and ".join(_in_force(rule, month_start, namespace="holder"))
    yield f"""\
create or replace temp table taken as
select cost_id, holder, holder_labels, {", ".join(known)},
    {", ".join(f"held.{one}" for one in UNITS)}
from held
inner join left_over using (cost_id)
where {conditions}"""
    yield (
        f"insert into matched\nselect {number}, payer_account_id, count(distinct cost_id),"
        f" {_sums()}\nfrom taken\ngroup by payer_account_id"
    )
    yield (
        f"insert into charges\nselect\n    usage_date, {', '.join(WHOM[:4])},\n"
        "    holder, null, null, null, holder_labels,\n"
        f"    '{_charge_type(rule)}', origin, {_DETAIL[rule.take]}, {number}, null, part,\n"
        f"    null, {_sums()}\nfrom taken\ngroup by all"
    )
    less = ", ".join(f"{one} = left_over.{one} - gone.{one}" for one in UNITS)
    yield (
        f"update left_over set {less}\n"
        f"from (select cost_id, {_sums_named()} from taken group by cost_id) as gone\n"
        "where left_over.cost_id = gone.cost_id"
    )
    nothing = " and ".join(f"coalesce({one}, 0) = 0" for one in UNITS)
    yield (
        "delete from left_over\nwhere cost_id in (select cost_id from taken)\n"
        f"    and {nothing}"
    )
    yield "delete from held\nwhere (cost_id, holder) in (select cost_id, holder from taken)"


def _shared(number: int, rule: Rule, share: Share, matches: str) -> Iterator[str]:
    """What a rule spreads: each circle takes what the ones before it left."""
    by_resource = share.by == "split_cost" and rule.take in (
        "unused",
        "unallocated",
        "idle",
    )
    for circle in share.circles:
        # Where nobody in the circle has cost of the resource, all their cost counts.
        for of_resource in (True, False) if by_resource else (False,):
            yield from _attempt(number, rule, share, matches, circle, of_resource)


def _attempt(
    number: int, rule: Rule, share: Share, matches: str, circle: str, of_resource: bool
) -> Iterator[str]:
    column = _CIRCLES[circle]
    is_daily = rule.take != "remainder"
    # What takes part in it is alike on both sides.
    alike = [
        *(["usage_date"] if is_daily else []),
        *([] if rule.across_payers else ["payer_account_id"]),
        *([column] if column else []),
        *(["resource"] if of_resource else []),
    ]
    grouped = list(
        dict.fromkeys([*alike, "payer_account_id", "origin", "origin_detail", "part"])
    )
    unnamed = [name for name in (column,) if name] or ["payer_account_id"]
    has_circle = "".join(f"\n        and {name} is not null" for name in unnamed)
    known = ", ".join(grouped)
    keys = [name for name in grouped if name != "origin_detail"]
    day = "usage_date" if is_daily else "null::date as usage_date"
    yield f"""\
create or replace temp table wanted as
select
    cost_id, dense_rank() over (order by {known}) as group_id, {known}, {", ".join(UNITS)}
from (
    select {", ".join(dict.fromkeys([*keys, "cost_id", *UNITS]))},
        {_DETAIL[rule.take]} as origin_detail
    from left_over
    where {matches}{has_circle}
)"""
    receivers = "".join(f"\n        and {one}" for one in _conditions(share.where))
    join = " and ".join(f"groups.{name} = receivers.{name}" for name in alike) or "true"
    unit, unit_weight = _counted(share)
    yield f"""\
create or replace temp table shares as
with groups as (
    select group_id, {known}, {_sums_named()}
    from wanted
    group by group_id, {known}
),
direct as (
    select {", ".join([*alike, "who"])},
        any_value({unit}) as unit,
        sum(direct_units)::hugeint as direct_units,
        {_measured(share)} as measured
    from left_over
    where origin in ('split', 'pod')
        and not ({_inline(matches)}){receivers}
    group by {", ".join([*alike, "who"])}
),
{_receivers(number, share, is_daily)},
facing as (
    select groups.*, receivers.who, receivers.unit, receivers.weight
    from groups
    inner join receivers on {join}
),
{_parts(unit_weight)}
select group_id, {day}, origin, origin_detail, part, who,
    {", ".join(UNITS)}
from parts"""
    yield f"""\
insert into charges
select
    shares.usage_date, {", ".join(f"whom.{name}" for name in WHOM)},
    '{_charge_type(rule)}', shares.origin, shares.origin_detail, {number}, null,
    shares.part, shares.who, {", ".join(f"sum(shares.{units})" for units in UNITS)}
from shares
inner join whom on shares.who = whom.who
group by all"""
    yield (
        "delete from left_over\nwhere cost_id in (\n    select cost_id from wanted\n"
        "    where group_id in (select group_id from shares)\n)"
    )


def _inline(condition: str) -> str:
    return " ".join(condition.split("\n"))


def _sums_named() -> str:
    return ", ".join(f"sum({units}) as {units}" for units in UNITS)


def _counted(share: Share) -> tuple[str, str | None]:
    """Whom a rule counts, and what each of them weighs; no weight if rows weigh by cost."""
    if share.by == "even":
        return _COUNTED[share.counts], "1::hugeint"
    if isinstance(share.by, dict):
        weights = " ".join(
            f"when {quote(name)} then {int(weight.scaleb(WEIGHT_DIGITS))}::hugeint"
            for name, weight in share.by.items()
        )
        return _NAMED[share.counts], f"case unit {weights} end"
    return "null::varchar", None


def _measured(share: Share) -> str:
    """What a receiver's part is proportional to, as a whole number."""
    if isinstance(share.by, str) and share.by in _HOURS:
        return (
            f"coalesce(sum({_whole_hours('allocated_hours')}) filter (where resource ="
            f" '{_HOURS[share.by]}'), 0)"
        )
    return "sum(direct_units)::hugeint"


def _whole_hours(hours: str) -> str:
    """Resource-hours in units of 1e-12."""
    return f"({hours}::decimal(25, 12) * 1000000000000::decimal(13, 0))::hugeint"


def _receivers(number: int, share: Share, is_daily: bool) -> str:
    """Those with direct cost, and what each of them weighs."""
    if share.by != "charged_so_far":
        return """\
receivers as (
    select *, measured as weight
    from direct
    where direct_units > 0 and measured > 0
)"""
    day = ["usage_date"] if is_daily else []
    known = ", ".join([*day, "who"])
    join = " and ".join(f"direct.{name} = so_far.{name}" for name in [*day, "who"])
    return f"""\
so_far as (
    select {known}, sum({weight_units()})::hugeint as given_units
    from charges
    where who is not null and rule_number < {number}
    group by {known}
),
receivers as (
    select direct.*, measured + coalesce(given_units, 0) as weight
    from direct
    left join so_far on {join}
    where direct_units > 0 and measured + coalesce(given_units, 0) > 0
)"""


def weight_units() -> str:
    """What a cost weighs in every basis: amortized, where the exports tell it."""
    return "coalesce(amortized_units, unblended_units)"


def _border(units: str, weight: str, total: str) -> str:
    """Rounded to the nearest unit, halves away from zero: credits mirror charges."""
    whole = f"(2 * abs({units}) * {weight} + {total}) // (2 * {total})"
    return f"sign({units})::hugeint * ({whole})"


def _apportioned(relation: str, within: str, order: str, weight: str) -> str:
    before = f"((until - {weight}) // scale)"
    parts = ",\n        ".join(
        f"{_border(units, '(until // scale)', '(total // scale)')}"
        f" - {_border(units, before, '(total // scale)')} as {units}"
        for units in UNITS
    )
    return f"""\
    select * exclude ({", ".join(UNITS)}, until, total, scale),
        {parts}
    from (
        select *,
            -- 18 digits of a weight are enough, and leave room for those of the money.
            pow(10, greatest(length(total::varchar) - 18, 0))::hugeint as scale
        from (
            select *,
                (sum({weight}) over (
                    partition by {within} order by {order} rows unbounded preceding
                ))::hugeint as until,
                (sum({weight}) over (partition by {within}))::hugeint as total
            from {relation}
        )
    )"""


def _parts(unit_weight: str | None) -> str:
    """Differences of rounded cumulative shares: they add up by construction."""
    if unit_weight is None:
        return f"parts as (\n{_apportioned('facing', 'group_id', 'who', 'weight')}\n)"
    return f"""\
counted as (
    select group_id, unit, {unit_weight} as unit_weight,
        {", ".join(f"any_value({units}) as {units}" for units in UNITS)}
    from facing
    where unit is not null
    group by group_id, unit
    having unit_weight is not null
),
of_units as (
{_apportioned("counted", "group_id", "unit", "unit_weight")}
),
-- What one of them is counted for goes to its rows by their direct cost.
within_units as (
    select facing.* exclude ({", ".join(UNITS)}),
        {", ".join(f"of_units.{units}" for units in UNITS)}
    from facing
    inner join of_units
        on facing.group_id = of_units.group_id and facing.unit = of_units.unit
),
parts as (
{_apportioned("within_units", "group_id, unit", "who", "weight")}
)"""
