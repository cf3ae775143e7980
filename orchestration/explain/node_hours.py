"""A node-hour in full: its bill lines, its resources, and who pays what of each.

Holds the account of one instance in one hour. Its cost is read twice, from the bill's
lines and from what the split gave to pods or left over; both are shown, and both add up to
the same amount.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from orchestration.explain.detail import Detail
from orchestration.explain.figure import Figure, Lead, Reach, ranked
from orchestration.explain.lines import lines_where
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.schemas import RESOURCES

_ZERO = Decimal(0)
_PRICE = Decimal("0.0000000001")
_ROUNDING = Decimal("0.00000000000001")

_WEIGHTS = {
    (1, True): (None, "9", "1"),
    (1, False): (None, "9", "1"),
    (2, True): ("9", "0.9", "0.1"),
    (2, False): (None, "9", "1"),
}
"""Weights of accelerator, vCPU and GiB; those of method 3 are of the instance type."""


@dataclass(frozen=True)
class Claim:
    """What a pod holds of one resource of a node-hour, as the lake has it.

    Attributes:
        pod: Row of ``pod_hours``.
        resource: Which of its resources.
    """

    pod: dict[str, Any]
    resource: str

    def hours(self, measure: str) -> float | None:
        """Resource-hours that are reserved, used or allocated; None where not measured."""
        found: float | None = self.pod[f"{self.resource}_{measure}_hours"]
        return found

    def usd(self, part: str) -> Decimal:
        """What it pays: ``split`` or ``unused``."""
        return Decimal(self.pod[f"{self.resource}_{part}_usd"] or 0)

    @property
    def ratio(self) -> float:
        """The pod's share of the resource."""
        found: float | None = self.pod.get(f"{self.resource}_split_usage_ratio")
        return found or 0.0

    @property
    def total(self) -> Decimal:
        """All that it pays."""
        return self.usd("split") + self.usd("unused")


@dataclass(frozen=True)
class NodeHour:
    """One instance in one hour: its pods, and what none of them claimed."""

    instance_id: str
    hour: dt.datetime
    pods: Sequence[dict[str, Any]]
    unallocated: Sequence[dict[str, Any]]

    @property
    def name(self) -> str:
        """The instance and the hour."""
        return f"{self.instance_id} at {told_hour(self.hour)}"

    @property
    def usd(self) -> Decimal:
        """What it cost."""
        return sum((self.resource_usd(resource) for resource in RESOURCES), _ZERO)

    def claims(self, resource: str) -> list[Claim]:
        """What its pods hold of a resource."""
        return [Claim(pod, resource) for pod in self.pods]

    def resource_usd(self, resource: str) -> Decimal:
        """What a resource of it cost: all that pods pay, and what nobody claimed."""
        return sum(
            (claim.total for claim in self.claims(resource)),
            sum((row["usd"] for row in self._left(resource)), _ZERO),
        )

    @property
    def weights(self) -> dict[str, str | None]:
        """Weight of a unit of each resource; None where it has none, or one of its type."""
        known = (self.pods or self.unallocated)[0]
        is_accelerated = bool(self.resource_usd("accelerator"))
        weights = _WEIGHTS.get((known["method_version"], is_accelerated), (None,) * 3)
        return dict(zip(RESOURCES, weights, strict=True))

    def capacity(self, resource: str) -> float | None:
        """Resource-hours that it offers; None where they cannot be told.

        The lake has them of what nobody claimed, and the shares of the pods tell them where
        something is left. Of what is claimed whole, the price of the other resources does.
        """
        offered = self._offered(resource)
        weight = self.weights[resource]
        if offered is not None or weight is None:
            return offered
        for other in RESOURCES:
            known, of_other = self._offered(other), self.weights[other]
            if known and of_other and self.resource_usd(other):
                unit = self.resource_usd(other) / (Decimal(of_other) * Decimal(known))
                hours = self.resource_usd(resource) / (Decimal(weight) * unit)
                return round(float(hours), 6)
        return None

    def _offered(self, resource: str) -> float | None:
        for row in self._left(resource):
            return float(row["capacity_hours"])
        claims = self.claims(resource)
        claimed = sum(claim.hours("allocated") or 0 for claim in claims)
        share = sum(claim.ratio for claim in claims)
        if not claimed or share > 1 - 1e-12:
            return None
        # Shares are doubles: what is beyond nine digits is theirs, not the node's.
        return round(claimed / share, 9)

    def rounding(self, claim: Claim) -> Decimal:
        """What a pod pays of a resource, less its share of it in exact fractions."""
        whole = Fraction(self.resource_usd(claim.resource))
        claims = self.claims(claim.resource)
        claimed = sum(
            (Fraction(one.hours("allocated") or 0) for one in claims), Fraction(0)
        )
        if not claimed:
            return _ZERO
        taken = sum((Fraction(one.ratio) for one in claims), Fraction(0))
        part = Fraction(claim.hours("allocated") or 0) / claimed
        one = Fraction(1)
        share = part * whole * (min(taken, one) + max(one - taken, Fraction(0)))
        difference = Fraction(claim.total) - share
        return (Decimal(difference.numerator) / Decimal(difference.denominator)).quantize(
            _ROUNDING
        )

    def _left(self, resource: str) -> list[dict[str, Any]]:
        return [row for row in self.unallocated if row["resource"] == resource]


def told_hour(hour: dt.datetime) -> str:
    """An hour, like ``2026-10-03 14:00 UTC``."""
    return f"{hour:%Y-%m-%d %H:%M} UTC"


def rows_of(detail: Detail, sql: str, values: dict[str, object]) -> list[dict[str, Any]]:
    """Rows of a query, by name."""
    found = detail.connection.execute(sql, values)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def read_node_hour(detail: Detail, instance_id: str, hour: dt.datetime) -> NodeHour:
    """Read what the split made of a node-hour.

    The lake's files are opened once a node and day: a pod's hours are often of one node.
    """
    day = hour.date()
    if (instance_id, day) not in detail.node_days:
        values: dict[str, object] = {"instance": instance_id, "day": day}
        where = (
            "where instance_id = $instance and usage_hour >= $day::timestamp"
            " and usage_hour < $day::timestamp + interval 1 day"
        )
        detail.node_days[instance_id, day] = {
            "pods": rows_of(
                detail, f"select * from pod_hours {where} order by pod_uid", values
            ),
            "left": rows_of(
                detail, f"select * from unallocated {where} order by resource", values
            ),
        }
    of_day = detail.node_days[instance_id, day]
    pods, left = (
        [row for row in of_day[name] if row["usage_hour"] == hour]
        for name in ("pods", "left")
    )
    return NodeHour(instance_id, hour, pods, left)


def account(detail: Detail, node_hour: NodeHour, reach: Reach) -> Figure:
    """The whole of a node-hour: by bill line, and by resource and pod.

    Raises:
        PodledgerError: The bill's lines do not add up to it.
    """
    known = (node_hour.pods or node_hour.unallocated)[0]
    lines = _lines(detail, node_hour)
    figure = Figure(
        "node_hour",
        node_hour.name,
        node_hour.usd,
        {
            "instance_id": node_hour.instance_id,
            "hour": told_hour(node_hour.hour),
            "instance_type": known["instance_type"],
            "cluster_name": known["cluster_name"],
            "node_name": known["node_name"],
            "payer_account_id": known["payer_account_id"],
            "usage_account_id": known["usage_account_id"],
            "region_code": known["region_code"],
            "method_version": known["method_version"],
            "pods": len(node_hour.pods),
        },
    )
    resources = _resources(node_hour, reach)
    found = [one for one in resources if one.usd or one.breakdowns]
    return (
        figure.by("components", _components(lines))
        .by("bill_lines", lines)
        .by("resources", found)
    )


def _components(lines: Sequence[Figure]) -> list[Figure]:
    """What a node-hour's cost is made of: lines of one kind added up."""
    usd: dict[str, Decimal] = {}
    for line in lines:
        name = str(line.facts["component"])
        usd[name] = usd.get(name, _ZERO) + line.usd
    return [Figure("component", name, amount) for name, amount in usd.items()]


def _resources(node_hour: NodeHour, reach: Reach) -> Iterator[Figure]:
    for resource, weight in node_hour.weights.items():
        usd = node_hour.resource_usd(resource)
        claims = node_hour.claims(resource)
        claimed = sum(claim.hours("allocated") or 0 for claim in claims)
        capacity = node_hour.capacity(resource)
        divisor = max(capacity or 0, claimed)
        leads = [
            Lead(
                Figure(
                    "claim",
                    claim.pod["pod_name"] or claim.pod["pod_uid"],
                    claim.total,
                    claim_facts(node_hour, claim),
                )
            )
            for claim in claims
            if claim.total or claim.hours("allocated")
        ]
        leads += [
            Lead(
                Figure(
                    "unallocated",
                    f"nobody: {row['reason'].replace('_', ' ')}",
                    row["usd"],
                    {"reason": row["reason"]},
                )
            )
            for row in node_hour.unallocated
            if row["resource"] == resource
        ]
        figure = Figure(
            "resource",
            resource,
            usd,
            {
                "weight": weight,
                "capacity_hours": capacity,
                "claimed_hours": claimed,
                "usd_per_hour": (usd / Decimal(divisor)).quantize(_PRICE)
                if divisor
                else None,
            },
        )
        yield figure.by("claims", ranked(leads, reach)) if leads else figure


def claim_facts(node_hour: NodeHour, claim: Claim) -> dict[str, Any]:
    """What a pod requested, used and was allocated, and what it pays for it."""
    return {
        "pod_uid": claim.pod["pod_uid"],
        "namespace": claim.pod["namespace"],
        "requested_hours": claim.hours("reserved"),
        "used_hours": claim.hours("used"),
        "allocated_hours": claim.hours("allocated"),
        "share": claim.ratio,
        "split_usd": claim.usd("split"),
        "unused_usd": claim.usd("unused"),
        "rounding_usd": node_hour.rounding(claim),
    }


def _lines(detail: Detail, node_hour: NodeHour) -> list[Figure]:
    """The bill's lines of a node-hour, and its part of fees that are spread over hours.

    Raises:
        PodledgerError: They do not add up to its cost.
    """
    lines = lines_where(
        detail.connection,
        "role = 'node' and instance_id = $instance and started_at >= $hour"
        " and started_at < $hour + interval 1 hour",
        {"instance": node_hour.instance_id, "hour": node_hour.hour},
    )
    spread = node_hour.usd - sum((line.usd for line in lines), _ZERO)
    if spread:
        lines.append(_spread(detail, node_hour, lines, spread))
    return lines


def _spread(
    detail: Detail, node_hour: NodeHour, lines: Sequence[Figure], usd: Decimal
) -> Figure:
    """The part of a node-hour's cost that is on no line of its own."""
    reservations = {
        line.facts["capacity_reservation_id"]
        for line in lines
        if line.facts["capacity_reservation_id"]
    }
    known = (node_hour.pods or node_hour.unallocated)[0]
    in_hour: dict[str, object] = {
        "payer": known["payer_account_id"],
        "hour": node_hour.hour,
    }
    same_hour = (
        "role = 'spread' and payer_account_id = $payer and started_at >= $hour and"
        " started_at < $hour + interval 1 hour"
    )
    is_host = node_hour.instance_id.startswith("h-") or any(
        "HostBoxUsage" in str(line.facts["usage_type"]) for line in lines
    )
    if is_host:
        found = lines_where(
            detail.connection, f"{same_hour} and host_id is not null", in_hour
        )
        name = "part of the hour of Dedicated Hosts"
    elif not any(str(line.facts["component"]).startswith("EC2") for line in lines):
        found = lines_where(detail.connection, f"{same_hour} and is_of_hyperpod", in_hour)
        name = "part of the hour of a HyperPod cluster"
    else:
        # Exports without the columns of reservations name none on the instance's line:
        # there, blocks are told by the type of their instances.
        fees = lines_where(
            detail.connection,
            "is_capacity_block_fee and payer_account_id = $payer",
            {"payer": known["payer_account_id"]},
        )
        found = [
            one
            for one in fees
            if one.facts["capacity_reservation_id"] in reservations
            or (
                not reservations
                and str(one.facts["usage_type"]).endswith(f":{known['instance_type']}")
            )
        ]
        name = "part of the fee of a Capacity Block"
    note = None
    if not found:
        if is_host or not detail.has_earlier_fees:
            raise PodledgerError(
                f"The bill's lines of {node_hour.name} add up to"
                f" {exact(node_hour.usd - usd)} USD, and its cost is"
                f" {exact(node_hour.usd)} USD. The lake's bill and its split are of"
                " different closes, or podledger is at fault: close the month again, and"
                " report this message if it stays."
            )
        note = "The fee is on the bill of an earlier month"
    figure = Figure("spread", name, usd, {"component": name}, note=note)
    if found:
        whole = Figure(
            "fee", "lines that are spread", sum((one.usd for one in found), _ZERO)
        )
        figure = Figure(
            "spread", name, usd, {"component": name}, part_of=whole.by("bill_lines", found)
        )
    return figure
