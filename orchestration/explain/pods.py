"""Pods behind an amount: by workload, day, pod and hour, down to the node-hour.

Holds the way from what pods cost to the node-hours that they cost it on. Where the pods
behind a charge cannot be told apart, the charge stands as it is, with a note.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from orchestration.explain.detail import Detail
from orchestration.explain.figure import Fact, Figure, Lead, Reach, ranked
from orchestration.explain.lines import lines_where
from orchestration.explain.node_hours import (
    Claim,
    NodeHour,
    account,
    claim_facts,
    read_node_hour,
    rows_of,
    told_hour,
)
from orchestration.lake.schemas import POD_RESOURCES

Measure = Literal["split", "unused", "total"]
"""What of a pod's cost is explained: its split, the unused capacity beside it, or both."""

AMOUNTS: Mapping[Measure, str] = {
    "split": "split_usd",
    "unused": "unused_usd",
    "total": "(split_usd + unused_usd)",
}

WORKLOAD = ("cluster_name", "namespace", "workload_type", "workload_name", "deployment")
"""Columns that name a workload."""

_PAYS = ("payer_account_id", "usage_account_id", "region_code")


@dataclass(frozen=True)
class Charged:
    """A row of direct charges: whom, on which day, and how much."""

    day: dt.date | None
    whom: tuple[str | None, ...]
    pays: tuple[str | None, ...]
    labels: Mapping[str, str]
    usd: Decimal


def by_workload(
    detail: Detail, charges: Sequence[Charged], origin: str, reach: Reach
) -> tuple[Figure, ...]:
    """Direct charges by workload, and the pods behind them."""
    grouped: dict[tuple[str | None, ...], list[Charged]] = defaultdict(list)
    for charge in charges:
        grouped[charge.whom].append(charge)
    leads = []
    for whom, rows in grouped.items():
        facts: dict[str, Fact] = dict(zip(WORKLOAD, whom, strict=True))
        figure = Figure("workload", told_workload(whom), _sum(rows), facts)

        def follow(figure: Figure, rows: list[Charged] = rows) -> Figure:
            return figure.by("days", _days(detail, rows, origin, reach))

        leads.append(Lead(figure, follow))
    return ranked(leads, reach)


def told_workload(whom: Sequence[str | None]) -> str:
    """A workload as it is asked for: cluster/namespace/name."""
    cluster, namespace, _, name, _ = whom
    return "/".join(part or "?" for part in (cluster, namespace, name))


def _sum(rows: Sequence[Charged]) -> Decimal:
    return sum((row.usd for row in rows), Decimal(0))


def _days(
    detail: Detail, rows: Sequence[Charged], origin: str, reach: Reach
) -> tuple[Figure, ...]:
    grouped: dict[dt.date | None, list[Charged]] = defaultdict(list)
    for row in rows:
        grouped[row.day].append(row)
    leads = []
    for day, of_day in grouped.items():
        figure = Figure("day", str(day), _sum(of_day))

        def follow(figure: Figure, of_day: list[Charged] = of_day) -> Figure:
            return _with_pods(detail, figure, of_day, origin, reach)

        leads.append(Lead(figure, follow))
    return ranked(leads, reach)


def _with_pods(
    detail: Detail, figure: Figure, rows: Sequence[Charged], origin: str, reach: Reach
) -> Figure:
    """A day of a workload with its pods, if these can be told."""
    if detail.missing:
        return Figure(figure.kind, figure.name, figure.usd, note=detail.missing)
    first = rows[0]
    same = " and ".join(f"{name} is not distinct from ${name}" for name in WORKLOAD)
    where = "instance_id is null" if origin == "pod" else "instance_id is not null"
    pods = rows_of(
        detail,
        f"select pod_uid, pod_name, labels, {', '.join(_PAYS)}, sum(split_usd) as usd,"
        f" count(*) as hours from pod_hours where usage_date = $day and {same}"
        f" and {where} group by all",
        {"day": first.day, **dict(zip(WORKLOAD, first.whom, strict=True))},
    )
    found = [pod for pod in pods if any(_may_be_of(pod, row) for row in rows)]
    if sum((pod["usd"] for pod in found), Decimal(0)) != figure.usd:
        return Figure(
            figure.kind,
            figure.name,
            figure.usd,
            figure.facts,
            note="Other labels, or rules of the policy, take part of this workload's pods"
            " on that day. What is charged cannot be told pod by pod",
        )
    assert first.day is not None, "direct cost has a day"
    return figure.by("pods", _pods(detail, found, first.day, "split", reach))


def _may_be_of(pod: Mapping[str, Any], row: Charged) -> bool:
    """Whether a pod's own labels allow that it is charged by a row."""
    if tuple(pod[name] for name in _PAYS) != row.pays:
        return False
    own = json.loads(pod["labels"] or "{}")
    return all(own[name] == value for name, value in row.labels.items() if own.get(name))


def _pods(
    detail: Detail,
    pods: Sequence[Mapping[str, Any]],
    day: dt.date,
    measure: Measure,
    reach: Reach,
) -> tuple[Figure, ...]:
    leads = []
    totals: dict[tuple[str, str | None], list[Any]] = defaultdict(lambda: [Decimal(0), 0])
    for pod in pods:
        total = totals[pod["pod_uid"], pod["pod_name"]]
        total[0] += pod["usd"]
        total[1] += pod["hours"]
    for (uid, name), (usd, hours) in totals.items():
        figure = Figure("pod", name or uid, usd, {"pod_uid": uid, "hours": hours})

        def follow(figure: Figure, uid: str = uid) -> Figure:
            return figure.by("hours", pod_hours(detail, uid, day, measure, reach))

        leads.append(Lead(figure, follow))
    return ranked(leads, reach)


def pod_days(
    detail: Detail, uid: str, day: dt.date | None, measure: Measure, reach: Reach
) -> tuple[Figure, ...]:
    """Days of a pod, and their hours."""
    rows = detail.connection.execute(
        f"select usage_date, sum({AMOUNTS[measure]})::decimal(38, 10), count(*)"
        " from pod_hours where pod_uid = $uid"
        " and ($day is null or usage_date = $day) group by 1",
        {"uid": uid, "day": day},
    ).fetchall()
    leads = []
    for date, usd, hours in rows:

        def follow(figure: Figure, date: dt.date = date) -> Figure:
            return figure.by("hours", pod_hours(detail, uid, date, measure, reach))

        leads.append(Lead(Figure("day", str(date), usd, {"hours": hours}), follow))
    return ranked(leads, reach)


def pod_hours(
    detail: Detail, uid: str, day: dt.date, measure: Measure, reach: Reach
) -> tuple[Figure, ...]:
    """Hours of a pod on a day, each with its part of the node-hour."""
    rows = rows_of(
        detail,
        "select * from pod_hours where pod_uid = $uid and usage_date = $day",
        {"uid": uid, "day": day},
    )
    leads = []
    for row in rows:
        usd = {
            "split": row["split_usd"],
            "unused": row["unused_usd"],
            "total": row["split_usd"] + row["unused_usd"],
        }[measure]
        where = row["instance_id"] or "Fargate"
        figure = Figure(
            "pod_hour",
            f"{told_hour(row['usage_hour'])} on {where}",
            usd,
            {
                "pod_uid": uid,
                "pod_name": row["pod_name"],
                "hour": told_hour(row["usage_hour"]),
                "instance_id": row["instance_id"],
                "bound_seconds": row["bound_seconds"],
            },
        )
        leads.append(Lead(figure, _follower(detail, row, measure, reach)))
    return ranked(leads, reach)


def _follower(
    detail: Detail, row: dict[str, Any], measure: Measure, reach: Reach
) -> Callable[[Figure], Figure]:
    if row["instance_id"] is None:
        return lambda figure: _on_fargate(detail, figure, row, measure)

    def follow(figure: Figure) -> Figure:
        node_hour = read_node_hour(detail, row["instance_id"], row["usage_hour"])
        whole = account(detail, node_hour, reach)
        resources = _resources(row, measure, node_hour)
        return Figure(figure.kind, figure.name, figure.usd, figure.facts, part_of=whole).by(
            "resources", resources
        )

    return follow


def _resources(
    row: dict[str, Any], measure: Measure, node_hour: NodeHour | None
) -> list[Figure]:
    """What a pod-hour pays of each resource."""
    found = []
    for resource in POD_RESOURCES if node_hour is None else POD_RESOURCES[:-1]:
        claim = Claim(row, resource) if resource != "storage" else None
        split = Decimal(row[f"{resource}_split_usd"] or 0)
        unused = claim.usd("unused") if claim else Decimal(0)
        usd = {"split": split, "unused": unused, "total": split + unused}[measure]
        allocated = row[f"{resource}_allocated_hours"]
        if not usd and not allocated:
            continue
        facts: dict[str, Any]
        if claim and node_hour:
            facts = claim_facts(node_hour, claim)
            facts["resource_usd"] = node_hour.resource_usd(resource)
        else:
            facts = {
                "requested_hours": row[f"{resource}_reserved_hours"],
                "used_hours": row[f"{resource}_used_hours"],
                "allocated_hours": allocated,
            }
        figure = Figure("resource", resource, usd, facts)
        if measure == "total":
            parts = [Figure("part", "split", split), Figure("part", "unused", unused)]
            figure = figure.by("parts", [part for part in parts if part.usd])
        found.append(figure)
    return found


def _on_fargate(
    detail: Detail, figure: Figure, row: dict[str, Any], measure: Measure
) -> Figure:
    """A pod that Fargate bills by itself: its lines are its own."""
    lines = lines_where(
        detail.connection,
        "role = 'pod' and pod_uid = $uid and started_at >= $hour"
        " and started_at < $hour + interval 1 hour and payer_account_id = $payer"
        " and usage_account_id = $account",
        {
            "uid": row["pod_uid"],
            "hour": row["usage_hour"],
            "payer": row["payer_account_id"],
            "account": row["usage_account_id"],
        },
    )
    return figure.by("bill_lines", lines).by("resources", _resources(row, measure, None))
