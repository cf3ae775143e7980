"""Pods on Fargate: what a cluster without nodes is billed for.

Holds the pods as data and their lines. A pod's own lines name it, by the ARN that it has in
EKS, and tell its vCPUs, memory and storage apart; a Savings Plan covers the first two. No
inventory knows these pods: the bill does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from orchestration.sample.commitments import FARGATE_PLAN
from orchestration.sample.instances import commitment, negations, plan_terms
from orchestration.sample.lines import Batch, Integers, hours_as_amount
from orchestration.sample.payer import Payer
from orchestration.sample.services import Price, control_plane, service
from orchestration.sample.spans import Calendar
from orchestration.sample.world import DESK, HOUR, Span, at, hex_id


def _price(what: str, usd: str, unit: str, text: str) -> Price:
    return Price(
        product_code="AmazonEKS",
        usage_type=f"USE1-Fargate-{what}",
        operation="FargatePod",
        family="Compute",
        usd=usd,
        unit=unit,
        text=f"AWS Fargate - {text} - US East (N. Virginia)",
    )


_VCPU = _price("vCPU-Hours:perCPU", "0.04048", "hours", "vCPU - per hour")
_MEMORY = _price("GB-Hours", "0.004445", "hours", "Memory - per GB per hour")
_STORAGE = _price(
    "EphemeralStorage-GB-Hours",
    "0.000111",
    "GB-Hours",
    "Ephemeral storage - per GB per hour",
)

_PLAN_USD = {_VCPU: "0.032384", _MEMORY: "0.003556"}
"""The plan's rates, a fifth below; it does not cover storage."""


@dataclass(frozen=True)
class FargatePod:
    """One pod, in the size that Fargate gave it.

    Attributes:
        storage_gb: Storage above the 20 GB that come with every pod.
    """

    namespace: str
    name: str
    uid: str
    span: Span
    vcpu: int
    memory_gib: int
    storage_gb: int = 0


def fargate_pods(calendar: Calendar) -> list[FargatePod]:
    """All pods of the cluster, in the order in which the plan comes to them."""
    released = at(12, 10, 14, 20)
    workloads: list[tuple[str, str, tuple[int, ...], tuple[Span, ...]]] = [
        ("annotation", "label-studio", (2, 8, 30), ((0, released),)),
        ("annotation", "label-studio", (2, 8, 30), (calendar.until_end(released + 25),)),
        *(
            ("annotation", "review-queue", (1, 2), calendar.daytime(f"review {n}", 7, 17))
            for n in range(2)
        ),
        ("reports", "usage-digest", (4, 16), calendar.scheduled("digest", (3,), 25)),
    ]
    pods: list[FargatePod] = []
    for namespace, name, size, spans in workloads:
        for span in spans:
            digits = hex_id(calendar.month, f"fargate {namespace}/{name}/{len(pods)}", 32)
            template = hex_id(calendar.month, f"template {namespace}/{name}", 10)
            uid = str(uuid.UUID(hex=digits, version=4))
            pod = f"{name}-{template}-{digits[:5]}"
            pods.append(FargatePod(namespace, pod, uid, span, *size))
    return pods


def fargate_lines(payer: Payer) -> Iterator[Batch]:
    """Everything that AWS bills for the cluster whose pods run on Fargate."""
    if payer.account_id != DESK.payer_id:
        return
    yield control_plane(payer, DESK)
    terms = plan_terms(payer, FARGATE_PLAN)
    left = np.full(payer.world.hours, FARGATE_PLAN.commitment, np.int64)
    covered: list[Batch] = []
    for pod in fargate_pods(Calendar(payer.month)):
        hours, seconds = _hours(pod.span)
        for price, size in (
            (_VCPU, pod.vcpu),
            (_MEMORY, pod.memory_gib),
            (_STORAGE, pod.storage_gb),
        ):
            if not size:
                continue
            amount = hours_as_amount(size * seconds)
            under_plan = np.zeros_like(amount)
            if price in _PLAN_USD:
                rate = _millionths(_PLAN_USD[price])
                under_plan = np.minimum(amount, left[hours] * 1000 // rate)
                effective = (rate * under_plan + 500) // 1000
                left[hours] -= effective
                batch = _lines(payer, pod, price, hours, under_plan)
                covered.append(
                    replace(
                        batch,
                        facts={
                            **batch.facts,
                            "line_item_line_item_type": "SavingsPlanCoveredUsage",
                            **terms,
                            "savings_plan_savings_plan_rate": _PLAN_USD[price],
                        },
                    ).with_money(
                        savings_plan_savings_plan_effective_cost=effective[under_plan > 0]
                    )
                )
            yield _lines(payer, pod, price, hours, amount - under_plan)
    covered = [batch for batch in covered if len(batch.start)]
    yield from covered
    yield from negations(payer, terms, covered)
    used = FARGATE_PLAN.commitment - left
    yield commitment(payer, FARGATE_PLAN, terms, used)


def _lines(
    payer: Payer, pod: FargatePod, price: Price, hours: Integers, amount: Integers
) -> Batch:
    is_there = amount > 0
    return service(
        payer,
        DESK,
        price,
        hours[is_there],
        amount[is_there],
        resource_id=f"arn:aws:eks:{DESK.region}:{DESK.account_id}:pod/{DESK.name}/"
        f"{pod.namespace}/{pod.name}/{pod.uid}",
    )


def _hours(span: Span) -> tuple[Integers, Integers]:
    """Clock hours of a span, and the seconds of it in each."""
    start, end = span
    hours = np.arange(start // HOUR, -(-end // HOUR), dtype=np.int64)
    seconds = np.minimum((hours + 1) * HOUR, end) - np.maximum(hours * HOUR, start)
    return hours, seconds


def _millionths(usd: str) -> int:
    return int(Decimal(usd) * 10**6)
