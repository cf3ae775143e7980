"""Lines of instances, and of the commitments that pay for them.

Holds one function a purchase option: On-Demand, Spot, reservations with their fees, Savings
Plans with negations and recurring fees, a capacity reservation, a Capacity Block; and the
fee of EKS Auto Mode. Which hours a commitment covers is in ``commitments.py``.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from orchestration.bill.catalogue import InstanceType
from orchestration.lake.months import Month
from orchestration.sample.commitments import (
    CAPACITY_BLOCKS,
    RESERVATIONS,
    SAVINGS_PLANS,
    CapacityBlock,
    Coverage,
    Reservation,
    SavingsPlan,
    apply_commitments,
    capacity_reservation_arn,
    seconds_by_hour,
)
from orchestration.sample.lines import (
    AMOUNT_UNIT,
    Batch,
    Integers,
    for_seconds,
    hours_as_amount,
    one,
    plain,
    present,
    rounded,
    usd,
)
from orchestration.sample.payer import PRODUCT_NAMES, Payer, node_tags
from orchestration.sample.world import ATLAS, HOUR, MANAGEMENT, TRAFFIC, Node, hex_id

_AUTO_MODE_PERCENT = 12
"""What EKS Auto Mode takes, of the On-Demand price, however the instance was bought."""


def instance_lines(payer: Payer) -> Iterator[Batch]:
    """Everything that AWS bills for a payer's instances and for having reserved some."""
    coverage = apply_commitments(payer.world)
    for node in payer.nodes:
        if node.group.market == "spot":
            yield _spot(payer, node)
        elif node.group.market == "on-demand":
            yield _on_demand(payer, node, coverage.on_demand[node.instance_id])
        if node.group.is_auto_mode:
            yield _auto_mode(payer, node)
    yield from _reservations(payer, coverage)
    yield from _savings_plans(payer, coverage)
    if payer.account_id == MANAGEMENT:
        yield from _capacity_reservation(payer)
        for block in CAPACITY_BLOCKS:
            yield from _capacity_block(payer, block)


def _on_demand(payer: Payer, node: Node, seconds: Integers) -> Batch:
    rate = payer.on_demand_rate(node)
    hours, seconds = present(payer.hours, seconds)
    cost = rounded(for_seconds(rate, seconds))
    return _instance_lines(
        payer,
        node,
        hours,
        seconds,
        {
            "line_item_line_item_type": "Usage",
            "line_item_line_item_description": f"${plain(rate)} per On Demand Linux"
            f" {node.group.instance_type} Instance Hour",
            "line_item_unblended_rate": plain(rate),
            "pricing_term": "OnDemand",
        },
        {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
    )


def _spot(payer: Payer, node: Node) -> Batch:
    """Spot lines lack most attributes: the type stands in the usage type only.

    Legacy reports put a public On-Demand cost of 0 on them.
    """
    group = node.group
    on_demand = payer.on_demand_rate(node)
    hours, seconds = present(payer.hours, seconds_by_hour(payer.world, node))
    chance = payer.chance(f"spot {node.instance_id}")
    # The market's price of an hour, to four decimals, a third of On-Demand or so.
    waves = 31 + 6 * np.array(TRAFFIC)[hours % 24] + 2 * chance.random(len(hours))
    step = usd("0.0001")
    rate = np.round(waves * 100).astype(np.int64) * (on_demand // 10_000) // step * step
    pool = int(hex_id(payer.month, f"pool {group.name}", 4), 16) % 90 + 1
    is_company = payer.account_id == MANAGEMENT
    money = {
        "line_item_unblended_cost": rounded(for_seconds(rate, seconds)),
        "pricing_public_on_demand_cost": rounded(
            for_seconds(on_demand * is_company, seconds)
        ),
    }
    batch = _instance_lines(
        payer,
        node,
        hours,
        seconds,
        {
            "line_item_line_item_type": "Usage",
            "line_item_usage_type": f"{group.cluster.usage_prefix}SpotUsage:"
            f"{group.instance_type}",
            "line_item_operation": f"RunInstances:SV{pool:03d}",
            "line_item_line_item_description": f"{group.instance_type} Linux/UNIX Spot"
            f" Instance-hour in {group.cluster.location} in VPC Zone #{pool % 20 + 1}",
            "pricing_term": "Spot",
        },
        money,
    )
    return replace(batch, product={"product_name": PRODUCT_NAMES["AmazonEC2"]})


def _auto_mode(payer: Payer, node: Node) -> Batch:
    """What EKS takes for running an instance of Auto Mode, beside what EC2 takes."""
    cluster, group = node.group.cluster, node.group
    rate = payer.on_demand_rate(node) * _AUTO_MODE_PERCENT // 100
    hours, seconds = present(payer.hours, seconds_by_hour(payer.world, node))
    cost = rounded(for_seconds(rate, seconds))
    usage_type = f"{cluster.usage_prefix or 'USE1-'}EKS-Auto:{group.instance_type}"
    return Batch(
        facts={
            **payer.facts(cluster.account_id, "AmazonEKS"),
            "line_item_line_item_type": "Usage",
            "line_item_usage_type": usage_type,
            "line_item_operation": "EKSAutoUsage",
            "line_item_resource_id": node.instance_id,
            "line_item_line_item_description": f"${plain(rate)} per hour for"
            f" {group.instance_type} managed by Amazon EKS Auto Mode",
            "line_item_unblended_rate": plain(rate),
            "pricing_term": "OnDemand",
            "pricing_unit": "Hrs",
        },
        start=hours * HOUR,
        end=(hours + 1) * HOUR,
        amount=hours_as_amount(seconds),
        money={"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
        product={
            "product_name": PRODUCT_NAMES["AmazonEKS"],
            "region": cluster.region,
            "region_code": cluster.region,
            "location": cluster.location,
            "servicecode": "AmazonEKS",
            "usagetype": usage_type,
        },
        tags=node_tags(node),
    )


def _reservations(payer: Payer, coverage: Coverage) -> Iterator[Batch]:
    for reservation, covered, unused in zip(
        RESERVATIONS, coverage.reserved, coverage.unused_reserved, strict=True
    ):
        if reservation.cluster.payer_id != payer.account_id:
            continue
        arn = _reservation_arn(payer.month, reservation)
        for part in covered:
            hours, seconds = present(payer.hours, part.seconds)
            upfront = for_seconds(reservation.amortized_rate, seconds)
            recurring = for_seconds(reservation.recurring_rate, seconds)
            on_demand = rounded(for_seconds(payer.on_demand_rate(part.node), seconds))
            yield _instance_lines(
                payer,
                part.node,
                hours,
                seconds,
                {
                    "line_item_line_item_type": "DiscountedUsage",
                    "line_item_line_item_description": "Linux/UNIX (Amazon VPC),"
                    f" {reservation.instance_type} reserved instance applied",
                    "line_item_unblended_rate": "0",
                    "pricing_term": "Reserved",
                    **_reserved_terms(reservation),
                    "reservation_reservation_a_r_n": arn,
                },
                {
                    "line_item_unblended_cost": np.zeros_like(seconds),
                    "pricing_public_on_demand_cost": on_demand,
                    "reservation_amortized_upfront_cost_for_usage": upfront,
                    "reservation_recurring_fee_for_usage": recurring,
                    "reservation_effective_cost": upfront + recurring,
                },
            )
        yield from _reservation_fees(payer, reservation, arn, unused)


def _reservation_fees(
    payer: Payer, reservation: Reservation, arn: str, unused: Integers
) -> Iterator[Batch]:
    """The month's recurring fee with what was not used, and the purchase."""
    cluster = reservation.cluster
    facts = {
        **payer.facts(cluster.account_id, "AmazonEC2"),
        "line_item_usage_type": f"{cluster.usage_prefix}HeavyUsage:"
        f"{reservation.instance_type}",
        "line_item_operation": "RunInstances",
        **_reserved_terms(reservation),
        "reservation_reservation_a_r_n": arn,
        "reservation_subscription_id": str(int(hex_id(payer.month, arn, 8), 16)),
    }
    product = {
        "product_name": PRODUCT_NAMES["AmazonEC2"],
        "region_code": cluster.region,
        "region": cluster.region,
    }
    held = (payer.world.hours - reservation.since) * reservation.half_units * HOUR // 2
    idle = int(unused.sum())
    fee = rounded(one(reservation.recurring_rate * held // HOUR))
    yield Batch(
        facts={
            **facts,
            "line_item_line_item_type": "RIFee",
            "line_item_line_item_description": f"USD {reservation.recurring_usd} hourly"
            f" fee per Linux/UNIX (Amazon VPC), {reservation.instance_type} instance",
            "line_item_unblended_rate": reservation.recurring_usd,
        },
        start=one(reservation.since * HOUR),
        end=one(payer.world.seconds - 1),
        amount=hours_as_amount(one(held)),
        money={
            "line_item_unblended_cost": fee,
            "pricing_public_on_demand_cost": one(0),
            "reservation_amortized_upfront_fee_for_billing_period": rounded(
                one(reservation.amortized_rate * held // HOUR)
            ),
            "reservation_unused_amortized_upfront_fee_for_billing_period": rounded(
                one(reservation.amortized_rate * idle // HOUR)
            ),
            "reservation_unused_recurring_fee": rounded(
                one(reservation.recurring_rate * idle // HOUR)
            ),
        },
        figures={"reservation_unused_quantity": hours_as_amount(one(idle))},
        product=product,
    )
    if reservation.since:
        paid = one(usd(reservation.upfront_usd) * reservation.half_units // 2)
        yield Batch(
            facts={
                **facts,
                "line_item_line_item_type": "Fee",
                "line_item_line_item_description": "Sign up charge for subscription:"
                f" {facts['reservation_subscription_id']}",
            },
            start=one(reservation.since * HOUR),
            end=one(payer.world.seconds - 1),
            amount=one(reservation.half_units * AMOUNT_UNIT),
            money={
                "line_item_unblended_cost": paid,
                "pricing_public_on_demand_cost": one(0),
                "reservation_upfront_value": paid,
            },
            product=product,
        )


def _savings_plans(payer: Payer, coverage: Coverage) -> Iterator[Batch]:
    for plan, covered in zip(SAVINGS_PLANS, coverage.planned, strict=True):
        if plan.account_id != payer.account_id:
            continue
        terms = plan_terms(payer, plan)
        used = np.zeros(payer.world.hours, np.int64)
        lines = []
        for part in covered:
            hours, seconds = present(payer.hours, part.seconds)
            rate = plan.rate(part.node)
            effective = for_seconds(rate, seconds)
            used[hours] += effective
            on_demand = rounded(for_seconds(payer.on_demand_rate(part.node), seconds))
            lines.append(
                _instance_lines(
                    payer,
                    part.node,
                    hours,
                    seconds,
                    {
                        "line_item_line_item_type": "SavingsPlanCoveredUsage",
                        "line_item_line_item_description": "Linux"
                        f" {part.node.group.instance_type} Instance Hour covered by"
                        " Savings Plans",
                        "pricing_term": "OnDemand",
                        **terms,
                        "savings_plan_savings_plan_rate": plain(rate),
                    },
                    {
                        "line_item_unblended_cost": on_demand,
                        "pricing_public_on_demand_cost": on_demand,
                        "savings_plan_savings_plan_effective_cost": effective,
                    },
                )
            )
        yield from lines
        yield from negations(payer, terms, lines)
        yield commitment(payer, plan, terms, used)


def plan_terms(payer: Payer, plan: SavingsPlan) -> dict[str, str]:
    """What all lines of a Savings Plan say of it."""
    plan_id = uuid.UUID(hex=hex_id(payer.month, f"plan {plan.name}", 32), version=4)
    return {
        "savings_plan_savings_plan_a_r_n": f"arn:aws:savingsplans::"
        f"{plan.account_id}:savingsplan/{plan_id}",
        "savings_plan_offering_type": plan.offering,
        "savings_plan_payment_option": "No Upfront",
        "savings_plan_purchase_term": "3yr" if "3yr" in plan.usage_type else "1yr",
    }


def negations(
    payer: Payer, terms: Mapping[str, str], lines: Sequence[Batch]
) -> Iterator[Batch]:
    """What takes covered usage off the invoice again, by hour, account and type."""
    together: dict[tuple[str, str], list[Batch]] = defaultdict(list)
    for batch in lines:
        account = batch.facts["line_item_usage_account_id"]
        together[account, batch.facts["line_item_usage_type"]].append(batch)
    for (account, usage_type), batches in together.items():
        covered = batches[0]
        product_code = covered.facts["line_item_product_code"]
        cost = np.zeros(payer.world.hours, np.int64)
        amount = np.zeros(payer.world.hours, np.int64)
        for batch in batches:
            cost[batch.start // HOUR] -= batch.money["line_item_unblended_cost"]
            amount[batch.start // HOUR] += batch.amount
        hours = np.flatnonzero(amount)
        yield Batch(
            facts={
                **payer.facts(account, product_code),
                "line_item_line_item_type": "SavingsPlanNegation",
                "line_item_usage_type": usage_type,
                "line_item_operation": covered.facts["line_item_operation"],
                "line_item_line_item_description": "SavingsPlanNegation used by"
                f" AccountId : {account} and UsageType : {usage_type}",
                **terms,
            },
            start=hours * HOUR,
            end=(hours + 1) * HOUR,
            amount=amount[hours],
            money={
                "line_item_unblended_cost": cost[hours],
                "pricing_public_on_demand_cost": np.zeros_like(hours),
            },
            product={
                key: covered.product[key] for key in ("product_name", "product_family")
            },
        )


def commitment(
    payer: Payer, plan: SavingsPlan, terms: Mapping[str, str], used: Integers
) -> Batch:
    """What was agreed on, hour by hour, with what of it was used."""
    hours = payer.hours
    paid = np.full(len(hours), plan.commitment, np.int64)
    return Batch(
        facts={
            **payer.facts(plan.account_id, "ComputeSavingsPlans"),
            "line_item_line_item_type": "SavingsPlanRecurringFee",
            "line_item_usage_type": plan.usage_type,
            "line_item_resource_id": terms["savings_plan_savings_plan_a_r_n"],
            "line_item_line_item_description": f"{terms['savings_plan_purchase_term']}"
            f" No Upfront {plan.offering}",
            **terms,
        },
        start=hours * HOUR,
        end=(hours + 1) * HOUR,
        amount=np.full(len(hours), AMOUNT_UNIT, np.int64),
        money={
            "line_item_unblended_cost": paid,
            "pricing_public_on_demand_cost": np.zeros_like(hours),
            "savings_plan_total_commitment_to_date": paid,
            "savings_plan_used_commitment": used,
            "savings_plan_recurring_commitment_for_billing_period": np.full(
                len(hours), plan.commitment * payer.world.hours, np.int64
            ),
        },
        product={"product_name": PRODUCT_NAMES["ComputeSavingsPlans"]},
    )


def _capacity_reservation(payer: Payer) -> Iterator[Batch]:
    """Capacity kept for the launch: at no cost while a node uses it, paid for after."""
    node = payer.node_of("p5-launch")
    kept = np.full(payer.world.hours, HOUR, np.int64)
    kept[: node.spans[0][0] // HOUR] = 0
    used = seconds_by_hour(payer.world, node)
    arn = _launch_reservation(payer)
    rate = payer.on_demand_rate(node)
    for usage_type, status, seconds, price in (
        ("Reservation", "Reserved", np.minimum(used, kept), 0),
        ("UnusedBox", "Unused", np.maximum(kept - used, 0), rate),
    ):
        hours, seconds = present(payer.hours, seconds)
        cost = rounded(for_seconds(price, seconds))
        batch = _instance_lines(
            payer,
            node,
            hours,
            seconds,
            {
                "line_item_line_item_type": "Usage",
                "line_item_usage_type": f"{usage_type}:{node.group.instance_type}",
                "line_item_resource_id": arn,
                "line_item_line_item_description": f"${plain(price)} per {usage_type}"
                f" Linux {node.group.instance_type} Instance Hour",
                "pricing_term": "OnDemand",
                **_reserved_capacity(arn, status, "ODCR"),
            },
            {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
        )
        yield replace(batch, tags={"user:team": node.group.team})


def _launch_reservation(payer: Payer) -> str:
    name = f"cr-0{hex_id(payer.month, 'capacity reservation', 16)}"
    return capacity_reservation_arn(ATLAS, ATLAS.account_id, name)


def _reserved_capacity(arn: str, status: str, kind: str) -> dict[str, str]:
    """What a line says of the capacity reservation that it belongs to."""
    return {
        "capacity_reservation_capacity_reservation_arn": arn,
        "capacity_reservation_capacity_reservation_status": status,
        "capacity_reservation_capacity_reservation_type": kind,
    }


def _capacity_block(payer: Payer, block: CapacityBlock) -> Iterator[Batch]:
    """The fee in the account that bought it, and hours at no cost in the one that used it.

    Nothing is billed for hours in which no instance ran.
    """
    arn = block.arn(payer.month)
    kind = "EC2 Capacity Block for ML"
    prefix = block.cluster.usage_prefix
    fee = one(usd(block.fee_usd))
    yield Batch(
        facts={
            **payer.facts(block.account_id, "AmazonEC2"),
            "line_item_line_item_type": "Fee",
            "line_item_usage_type": f"{prefix}CapacityBlock:{block.instance_type}",
            "line_item_operation": "RunInstances",
            "line_item_resource_id": arn,
            "line_item_line_item_description": f"{block.count} {block.instance_type}"
            f" Capacity Block for ML, ${block.hourly_usd} per instance-hour",
            **_reserved_capacity(arn, "Reserved", kind),
        },
        start=one(block.span[0]),
        end=one(block.span[0] + HOUR),
        amount=one(AMOUNT_UNIT),
        money={"line_item_unblended_cost": fee, "pricing_public_on_demand_cost": fee},
        product={
            "product_name": PRODUCT_NAMES["AmazonEC2"],
            "instance_type": block.instance_type,
            "region": block.cluster.region,
            "region_code": block.cluster.region,
            "servicecode": "AmazonEC2",
        },
        tags={"user:team": "platform"},
    )
    for node in payer.nodes:
        if node.group.name != block.group:
            continue
        hours, seconds = present(payer.hours, seconds_by_hour(payer.world, node))
        nothing = np.zeros_like(seconds)
        yield _instance_lines(
            payer,
            node,
            hours,
            seconds,
            {
                "line_item_line_item_type": "Usage",
                "line_item_usage_type": f"{prefix}CapacityBlockUsage:{block.instance_type}",
                "line_item_line_item_description": "$0.00 per Capacity Block Linux"
                f" {block.instance_type} Instance Hour",
                "line_item_unblended_rate": "0",
                "pricing_term": "OnDemand",
                **_reserved_capacity(arn, "Used", kind),
            },
            {"line_item_unblended_cost": nothing, "pricing_public_on_demand_cost": nothing},
        )


def _instance_lines(
    payer: Payer,
    node: Node,
    hours: Integers,
    seconds: Integers,
    facts: Mapping[str, str],
    money: Mapping[str, Integers],
) -> Batch:
    group, cluster = node.group, node.group.cluster
    usage_type = f"{cluster.usage_prefix}BoxUsage:{group.instance_type}"
    kind = payer.catalogue[group.instance_type]
    product = {
        "product_name": PRODUCT_NAMES["AmazonEC2"],
        "product_family": "Compute Instance",
        "instance_type": group.instance_type,
        "instance_family": _family(kind),
        "vcpu": str(kind.vcpu),
        "memory": f"{kind.memory_gib} GiB",
        "operating_system": "Linux",
        "tenancy": "Shared",
        "region": cluster.region,
        "region_code": cluster.region,
        "location": cluster.location,
        "servicecode": "AmazonEC2",
        "sku": hex_id(
            payer.month, f"sku {cluster.region} {group.instance_type}", 16
        ).upper(),
        "usagetype": usage_type,
    }
    # AWS counts GPUs here, and neither Neuron devices nor parts of one.
    if kind.accelerators >= 1 and kind.accelerator_manufacturer in ("NVIDIA", "AMD"):
        product["gpu"] = str(kind.accelerators)
    reserved = {}
    if group.name == "p5-launch":
        reserved = _reserved_capacity(_launch_reservation(payer), "Used", "ODCR")
    return Batch(
        facts={
            **payer.facts(cluster.account_id, "AmazonEC2"),
            **reserved,
            "line_item_usage_type": usage_type,
            "line_item_operation": "RunInstances",
            "line_item_availability_zone": node.zone,
            "line_item_resource_id": node.instance_id,
            "pricing_unit": "Hrs",
            **facts,
        },
        start=hours * HOUR,
        end=(hours + 1) * HOUR,
        amount=hours_as_amount(seconds),
        money=money,
        product=product,
        tags=node_tags(node),
    )


def _reservation_arn(month: Month, reservation: Reservation) -> str:
    cluster = reservation.cluster
    digits = hex_id(month, f"reservation {reservation.name}", 32)
    return (
        f"arn:aws:ec2:{cluster.region}:{cluster.account_id}:reserved-instances/"
        f"{uuid.UUID(hex=digits, version=4)}"
    )


def _family(kind: InstanceType) -> str:
    if kind.accelerator_manufacturer == "AWS":
        return "Machine Learning ASIC Instances"
    return "GPU instance" if kind.accelerators else "General purpose"


def _reserved_terms(reservation: Reservation) -> dict[str, str]:
    return {
        "pricing_lease_contract_length": "1yr",
        "pricing_offering_class": "standard",
        "pricing_purchase_option": reservation.option,
    }
