"""What AWS bills for the sample month, payer by payer.

Holds how a bill is put together, and its lines that belong to no resource: discounts,
support, credits, refunds and tax. Instances are in ``instances.py``, what is around them in
``services.py``, pods without any in ``fargate.py``; how lines are delivered is in
``exports.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa

from orchestration.bill.catalogue import InstanceType
from orchestration.sample.fargate import fargate_lines
from orchestration.sample.instances import instance_lines
from orchestration.sample.lines import (
    AMOUNT_UNIT,
    Batch,
    Integers,
    assemble,
    one,
    rounded,
    usd,
)
from orchestration.sample.payer import PRODUCT_NAMES, Payer
from orchestration.sample.services import service_lines
from orchestration.sample.world import DAY, INFERENCE, MANAGEMENT, RESEARCH, TRAINING, World

_DISCOUNT_PERCENT = 6
"""What the first payer's agreement with AWS takes off, in columns and in rows."""

_TAXES = {MANAGEMENT: ("USSalesTax", "US Sales Tax", 66), RESEARCH: ("VAT", "VAT", 230)}
"""Kind, name and rate, in thousandths."""

_WITHOUT_TWIN = {"total_commitment_to_date", "used_commitment"}
"""Commitments are what was agreed, before any discount."""


def make_bills(world: World, catalogue: Mapping[str, InstanceType]) -> dict[str, pa.Table]:
    """Bill the month: lines in the normal form, by payer.

    The first payer has a discount agreement and so its columns; the second has neither.
    """
    bills = {}
    for account_id in (MANAGEMENT, RESEARCH):
        payer = Payer(account_id, world, catalogue)
        batches = [*instance_lines(payer), *service_lines(payer), *fargate_lines(payer)]
        batches = [batch for batch in batches if len(batch.start)]
        if account_id == MANAGEMENT:
            batches = [_discounted(batch) for batch in batches]
            batches += _discounts(payer, batches)
        batches += _adjustments(payer)
        batches += _taxes(payer, batches)
        bills[account_id] = assemble(world.month, account_id, batches)
    return bills


def _discounted(batch: Batch) -> Batch:
    """Columns of the discount agreement: its net twin beside each cost."""
    money = batch.money
    unblended = money["line_item_unblended_cost"]
    is_discounted = (
        batch.facts["bill_billing_entity"] == "AWS"
        and batch.facts["line_item_line_item_type"] != "Fee"
    )
    percent = _DISCOUNT_PERCENT if is_discounted else 0
    net = {
        twin: cost - cost * percent // 100
        for column, cost in money.items()
        if (twin := _net_twin(column)) is not None
    }
    taken = rounded(unblended * percent // 100)
    batch = batch.with_money(**net, line_item_net_unblended_cost=unblended - taken)
    return batch.with_money(discount_total_discount=-taken) if percent else batch


def _net_twin(column: str) -> str | None:
    """The net column of a reservation's or a Savings Plan's cost; None if it has none."""
    for group in ("reservation", "savings_plan"):
        name = column.removeprefix(f"{group}_")
        if name != column and name not in _WITHOUT_TWIN:
            return f"{group}_net_{name}"
    return None


def _discounts(payer: Payer, batches: Sequence[Batch]) -> list[Batch]:
    """What the agreement takes off, as rows: one a day, account and service."""
    days = payer.world.hours // 24
    totals: dict[tuple[str, str], Integers] = defaultdict(lambda: np.zeros(days, np.int64))
    for batch in batches:
        taken = batch.money.get("discount_total_discount")
        if taken is not None:
            key = (
                batch.facts["line_item_usage_account_id"],
                batch.facts["line_item_product_code"],
            )
            np.add.at(totals[key], np.minimum(batch.start // DAY, days - 1), taken)
    rows = []
    for (account, product_code), total in totals.items():
        start = np.flatnonzero(total) * DAY
        zero = np.zeros_like(start)
        rows.append(
            Batch(
                facts={
                    **payer.facts(account, product_code),
                    "line_item_line_item_type": "EdpDiscount",
                    "line_item_line_item_description": "Enterprise Program Discount",
                },
                start=start,
                end=start + DAY,
                amount=zero + AMOUNT_UNIT,
                money={
                    "line_item_unblended_cost": total[start // DAY],
                    "line_item_net_unblended_cost": zero,
                    "pricing_public_on_demand_cost": zero,
                },
                product={"product_name": PRODUCT_NAMES[product_code]},
            )
        )
    return [row for row in rows if len(row.start)]


def _adjustments(payer: Payer) -> list[Batch]:
    """Support, credits and refunds."""
    if payer.account_id == MANAGEMENT:
        return [
            _month_line(
                payer,
                MANAGEMENT,
                "AWSSupportEnterprise",
                "Fee",
                "18450.75",
                "AWS Support (Enterprise), monthly",
            ),
            _month_line(
                payer,
                TRAINING,
                "AmazonEC2",
                "Credit",
                "-12500",
                "Migration and modernization program credit",
            ),
            _month_line(
                payer,
                INFERENCE,
                "AmazonEC2",
                "Refund",
                "-312.4087",
                "Service level agreement refund",
                bill_type="Refund",
            ),
        ]
    return [
        _month_line(
            payer,
            RESEARCH,
            "AWSSupportBusiness",
            "Fee",
            "2871.4",
            "AWS Support (Business), monthly",
        ),
        _month_line(
            payer, RESEARCH, "AmazonS3", "Credit", "-450", "Research programme credit"
        ),
    ]


def _taxes(payer: Payer, batches: Sequence[Batch]) -> list[Batch]:
    """Tax on what is left after discounts, a row an account and service, in cents."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for batch in batches:
        money = batch.money
        net = money.get("line_item_net_unblended_cost", money["line_item_unblended_cost"])
        key = (
            batch.facts["line_item_usage_account_id"],
            batch.facts["line_item_product_code"],
        )
        totals[key] += int(net.sum())
    kind, name, permille = _TAXES[payer.account_id]
    lines = []
    for (account, product_code), total in totals.items():
        cents = total * permille // usd("10")
        if cents > 0:
            text = f"{name} to be collected for product code {product_code}"
            cost = str(Decimal(cents) / 100)
            line = _month_line(payer, account, product_code, "Tax", cost, text)
            lines.append(replace(line, facts={**line.facts, "line_item_tax_type": kind}))
    return lines


def _month_line(
    payer: Payer,
    account_id: str,
    product_code: str,
    line_type: str,
    cost_usd: str,
    text: str,
    bill_type: str = "Anniversary",
) -> Batch:
    cost = one(usd(cost_usd))
    money = {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": one(0)}
    if payer.account_id == MANAGEMENT:
        money["line_item_net_unblended_cost"] = cost
    return Batch(
        facts={
            **payer.facts(account_id, product_code),
            "bill_bill_type": bill_type,
            "line_item_line_item_type": line_type,
            "line_item_line_item_description": text,
        },
        start=one(0),
        end=one(payer.world.seconds),
        amount=one(AMOUNT_UNIT),
        money=money,
        product={"product_name": PRODUCT_NAMES.get(product_code, product_code)},
    )
