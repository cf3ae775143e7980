"""What AWS bills for the sample month: instances and everything around them.

Holds the lines of both payers as batches, each by the rule of its line type: On-Demand,
Spot, reservations, Savings Plans, capacity reservations; volumes, traffic, the control
plane and other services; support, marketplace, credits, refunds, discounts and tax. How
lines are put together is in ``lines.py``, how they are delivered in ``exports.py``.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pyarrow as pa

from orchestration.inventory.catalogue import InstanceType
from orchestration.sample.commitments import (
    RESERVATIONS,
    SAVINGS_PLANS,
    Coverage,
    Reservation,
    SavingsPlan,
    apply_commitments,
    seconds_by_hour,
)
from orchestration.sample.lines import (
    AMOUNT_UNIT,
    Batch,
    Integers,
    assemble,
    for_amount,
    for_seconds,
    hours_as_amount,
    rounded,
    usd,
)
from orchestration.sample.world import (
    ATLAS,
    CLUSTERS,
    DAY,
    HARBOR,
    HOUR,
    INFERENCE,
    LAB,
    MANAGEMENT,
    RESEARCH,
    TRAFFIC,
    TRAINING,
    Cluster,
    Node,
    World,
    dice,
    hex_id,
)

_DISCOUNT_PERCENT = 6
"""What the first payer's agreement with AWS takes off, in columns and in rows."""

_TAX_PERMILLE = {MANAGEMENT: 66, RESEARCH: 230}

_ACCOUNT_NAMES = {
    MANAGEMENT: "management",
    TRAINING: "training",
    INFERENCE: "inference",
    RESEARCH: "research",
}

_PRODUCTS = {
    "AmazonEC2": "Amazon Elastic Compute Cloud",
    "AmazonEKS": "Amazon Elastic Container Service for Kubernetes",
    "AmazonS3": "Amazon Simple Storage Service",
    "AmazonCloudWatch": "AmazonCloudWatch",
    "AWSELB": "Elastic Load Balancing",
    "AmazonECR": "Amazon EC2 Container Registry (ECR)",
    "ComputeSavingsPlans": "Savings Plans for AWS Compute usage",
    "AWSSupportEnterprise": "AWS Support (Enterprise)",
    "AWSSupportBusiness": "AWS Support (Business)",
}

_VOLUME_GB = {"p": 1000, "t": 500, "g": 200, "i": 200, "m": 100}
"""Root volumes by the first letter of the family."""


def make_bills(world: World, catalogue: Mapping[str, InstanceType]) -> dict[str, pa.Table]:
    """Bill the month: lines in the normal form, by payer.

    The first payer has a discount agreement and so its columns; the second has neither.
    """
    bills = {}
    for payer_id in (MANAGEMENT, RESEARCH):
        bill = _Bill(world, catalogue, payer_id)
        batches = [batch for batch in bill.usage() if len(batch.start)]
        if payer_id == MANAGEMENT:
            batches = [_discounted(batch) for batch in batches]
            batches += bill.discounts(batches)
        batches += bill.adjustments()
        batches += bill.taxes(batches)
        bills[payer_id] = assemble(world.month, payer_id, batches)
    return bills


@dataclass(frozen=True)
class _Price:
    """What one unit of a service costs, and how AWS names it."""

    product_code: str
    usage_type: str
    operation: str
    family: str
    usd: str
    unit: str
    text: str


class _Bill:
    """The lines of one payer."""

    def __init__(
        self, world: World, catalogue: Mapping[str, InstanceType], payer_id: str
    ) -> None:
        self._world = world
        self._month = world.month
        self._catalogue = catalogue
        self._payer_id = payer_id
        self._hours = np.arange(world.hours, dtype=np.int64)
        self._clusters = [cluster for cluster in CLUSTERS if cluster.payer_id == payer_id]
        self._nodes = [node for node in world.nodes if node.group.cluster in self._clusters]
        self._chance = np.random.Generator(
            np.random.PCG64(dice(world.month, f"bill {payer_id}").getrandbits(64))
        )

    def usage(self) -> Iterator[Batch]:
        """Everything that the discount agreement may apply to, and marketplace."""
        coverage = apply_commitments(self._world)
        for node in self._nodes:
            if node.group.market == "spot":
                yield self._spot(node)
            else:
                yield self._on_demand(node, coverage.on_demand[node.instance_id])
        yield from self._reservations(coverage)
        yield from self._savings_plans(coverage)
        if self._payer_id == MANAGEMENT:
            yield from self._capacity_reservation()
            yield from self._marketplace()
        for node in self._nodes:
            yield self._root_volume(node)
            yield from self._traffic(node)
        for cluster in self._clusters:
            yield from self._cluster_services(cluster)

    # Instances

    def _on_demand(self, node: Node, seconds: Integers) -> Batch:
        rate = self._on_demand_rate(node)
        hours, seconds = _present(self._hours, seconds)
        cost = rounded(for_seconds(rate, seconds))
        return self._instance_lines(
            node,
            hours,
            seconds,
            {
                "line_item_line_item_type": "Usage",
                "line_item_line_item_description": f"${_plain(rate)} per On Demand Linux"
                f" {node.group.instance_type} Instance Hour",
                "line_item_unblended_rate": _plain(rate),
                "pricing_term": "OnDemand",
            },
            {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
        )

    def _spot(self, node: Node) -> Batch:
        """Spot lines lack most attributes: the type stands in the usage type only.

        Legacy reports have no public On-Demand cost on them either.
        """
        group = node.group
        on_demand = self._on_demand_rate(node)
        hours, seconds = _present(self._hours, seconds_by_hour(self._world, node))
        # The market's price of an hour, to four decimals, a third of On-Demand or so.
        waves = 31 + 6 * np.array(TRAFFIC)[hours % 24] + 2 * self._chance.random(len(hours))
        step = usd("0.0001")
        rate = np.round(waves * 100).astype(np.int64) * (on_demand // 10_000) // step * step
        pool = int(hex_id(self._month, f"pool {group.name}", 4), 16) % 90 + 1
        money = {"line_item_unblended_cost": rounded(for_seconds(rate, seconds))}
        if self._payer_id == MANAGEMENT:
            money["pricing_public_on_demand_cost"] = rounded(
                for_seconds(on_demand, seconds)
            )
        batch = self._instance_lines(
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
        return replace(batch, product={"product_name": _PRODUCTS["AmazonEC2"]})

    def _reservations(self, coverage: Coverage) -> Iterator[Batch]:
        for reservation, covered, unused in zip(
            RESERVATIONS, coverage.reserved, coverage.unused_reserved, strict=True
        ):
            if reservation.cluster.payer_id != self._payer_id:
                continue
            arn = self._reservation_arn(reservation)
            for part in covered:
                hours, seconds = _present(self._hours, part.seconds)
                upfront = for_seconds(reservation.amortized_rate, seconds)
                recurring = for_seconds(reservation.recurring_rate, seconds)
                on_demand = rounded(for_seconds(self._on_demand_rate(part.node), seconds))
                yield self._instance_lines(
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
            yield from self._reservation_fees(reservation, arn, unused)

    def _reservation_fees(
        self, reservation: Reservation, arn: str, unused: Integers
    ) -> Iterator[Batch]:
        """The month's recurring fee with what was not used, and the purchase."""
        cluster = reservation.cluster
        facts = {
            **self._facts(cluster.account_id, "AmazonEC2"),
            "line_item_usage_type": f"{cluster.usage_prefix}HeavyUsage:"
            f"{reservation.instance_type}",
            "line_item_operation": "RunInstances",
            **_reserved_terms(reservation),
            "reservation_reservation_a_r_n": arn,
            "reservation_subscription_id": str(int(hex_id(self._month, arn, 8), 16)),
        }
        product = {
            "product_name": _PRODUCTS["AmazonEC2"],
            "region_code": cluster.region,
            "region": cluster.region,
        }
        held = (self._world.hours - reservation.since) * reservation.half_units * HOUR // 2
        idle = int(unused.sum())
        fee = rounded(_one(reservation.recurring_rate * held // HOUR))
        yield Batch(
            facts={
                **facts,
                "line_item_line_item_type": "RIFee",
                "line_item_line_item_description": f"USD {reservation.recurring_usd} hourly"
                f" fee per Linux/UNIX (Amazon VPC), {reservation.instance_type} instance",
                "line_item_unblended_rate": reservation.recurring_usd,
            },
            start=_one(reservation.since * HOUR),
            end=_one(self._world.seconds - 1),
            amount=hours_as_amount(_one(held)),
            money={
                "line_item_unblended_cost": fee,
                "pricing_public_on_demand_cost": _one(0),
                "reservation_amortized_upfront_fee_for_billing_period": rounded(
                    _one(reservation.amortized_rate * held // HOUR)
                ),
                "reservation_unused_amortized_upfront_fee_for_billing_period": rounded(
                    _one(reservation.amortized_rate * idle // HOUR)
                ),
                "reservation_unused_recurring_fee": rounded(
                    _one(reservation.recurring_rate * idle // HOUR)
                ),
            },
            figures={"reservation_unused_quantity": hours_as_amount(_one(idle))},
            product=product,
        )
        if reservation.since:
            paid = _one(usd(reservation.upfront_usd) * reservation.half_units // 2)
            yield Batch(
                facts={
                    **facts,
                    "line_item_line_item_type": "Fee",
                    "line_item_line_item_description": "Sign up charge for subscription:"
                    f" {facts['reservation_subscription_id']}",
                },
                start=_one(reservation.since * HOUR),
                end=_one(self._world.seconds - 1),
                amount=_one(reservation.half_units * AMOUNT_UNIT),
                money={
                    "line_item_unblended_cost": paid,
                    "pricing_public_on_demand_cost": _one(0),
                    "reservation_upfront_value": paid,
                },
                product=product,
            )

    def _savings_plans(self, coverage: Coverage) -> Iterator[Batch]:
        for plan, covered in zip(SAVINGS_PLANS, coverage.planned, strict=True):
            if plan.account_id != self._payer_id:
                continue
            plan_id = uuid.UUID(hex=hex_id(self._month, f"plan {plan.name}", 32), version=4)
            terms = {
                "savings_plan_savings_plan_a_r_n": f"arn:aws:savingsplans::"
                f"{plan.account_id}:savingsplan/{plan_id}",
                "savings_plan_offering_type": plan.offering,
                "savings_plan_payment_option": "No Upfront",
                "savings_plan_purchase_term": "3yr" if "3yr" in plan.usage_type else "1yr",
            }
            used = np.zeros(self._world.hours, np.int64)
            lines = []
            for part in covered:
                hours, seconds = _present(self._hours, part.seconds)
                rate = plan.rate(part.node)
                effective = for_seconds(rate, seconds)
                used[hours] += effective
                on_demand = rounded(for_seconds(self._on_demand_rate(part.node), seconds))
                lines.append(
                    self._instance_lines(
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
                            "savings_plan_savings_plan_rate": _plain(rate),
                        },
                        {
                            "line_item_unblended_cost": on_demand,
                            "pricing_public_on_demand_cost": on_demand,
                            "savings_plan_savings_plan_effective_cost": effective,
                        },
                    )
                )
            yield from lines
            yield from self._negations(plan, terms, lines)
            yield self._commitment(plan, terms, used)

    def _negations(
        self, plan: SavingsPlan, terms: Mapping[str, str], lines: Sequence[Batch]
    ) -> Iterator[Batch]:
        """What takes covered usage off the invoice again, by hour, account and type."""
        together: dict[tuple[str, str], list[Batch]] = defaultdict(list)
        for batch in lines:
            account = batch.facts["line_item_usage_account_id"]
            together[account, batch.facts["line_item_usage_type"]].append(batch)
        for (account, usage_type), batches in together.items():
            cost = np.zeros(self._world.hours, np.int64)
            amount = np.zeros(self._world.hours, np.int64)
            for batch in batches:
                cost[batch.start // HOUR] -= batch.money["line_item_unblended_cost"]
                amount[batch.start // HOUR] += batch.amount
            hours = np.flatnonzero(amount)
            yield Batch(
                facts={
                    **self._facts(account, "AmazonEC2"),
                    "line_item_line_item_type": "SavingsPlanNegation",
                    "line_item_usage_type": usage_type,
                    "line_item_operation": "RunInstances",
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
                    "product_name": _PRODUCTS["AmazonEC2"],
                    "product_family": "Compute Instance",
                },
            )

    def _commitment(
        self, plan: SavingsPlan, terms: Mapping[str, str], used: Integers
    ) -> Batch:
        hours = self._hours
        paid = np.full(len(hours), plan.commitment, np.int64)
        return Batch(
            facts={
                **self._facts(plan.account_id, "ComputeSavingsPlans"),
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
                    len(hours), plan.commitment * self._world.hours, np.int64
                ),
            },
            product={"product_name": _PRODUCTS["ComputeSavingsPlans"]},
        )

    def _capacity_reservation(self) -> Iterator[Batch]:
        """Capacity kept for the launch: at no cost while a node uses it, paid for after."""
        node = next(node for node in self._nodes if node.group.name == "p5-launch")
        kept = np.full(self._world.hours, HOUR, np.int64)
        kept[: node.spans[0][0] // HOUR] = 0
        used = seconds_by_hour(self._world, node)
        arn = (
            f"arn:aws:ec2:{ATLAS.region}:{ATLAS.account_id}:capacity-reservation/"
            f"cr-0{hex_id(self._month, 'capacity reservation', 16)}"
        )
        rate = self._on_demand_rate(node)
        for usage_type, seconds, price in (
            ("Reservation", np.minimum(used, kept), 0),
            ("UnusedBox", np.maximum(kept - used, 0), rate),
        ):
            hours, seconds = _present(self._hours, seconds)
            cost = rounded(for_seconds(price, seconds))
            batch = self._instance_lines(
                node,
                hours,
                seconds,
                {
                    "line_item_line_item_type": "Usage",
                    "line_item_usage_type": f"{usage_type}:{node.group.instance_type}",
                    "line_item_resource_id": arn,
                    "line_item_line_item_description": f"${_plain(price)} per {usage_type}"
                    f" Linux {node.group.instance_type} Instance Hour",
                    "pricing_term": "OnDemand",
                },
                {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
            )
            yield replace(batch, tags={"user:team": node.group.team})

    def _instance_lines(
        self,
        node: Node,
        hours: Integers,
        seconds: Integers,
        facts: Mapping[str, str],
        money: Mapping[str, Integers],
    ) -> Batch:
        group, cluster = node.group, node.group.cluster
        usage_type = f"{cluster.usage_prefix}BoxUsage:{group.instance_type}"
        kind = self._catalogue[group.instance_type]
        product = {
            "product_name": _PRODUCTS["AmazonEC2"],
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
                self._month, f"sku {cluster.region} {group.instance_type}", 16
            ).upper(),
            "usagetype": usage_type,
        }
        # AWS counts GPUs here, and neither Neuron devices nor parts of one.
        if kind.accelerators >= 1 and kind.accelerator_manufacturer in ("NVIDIA", "AMD"):
            product["gpu"] = str(kind.accelerators)
        return Batch(
            facts={
                **self._facts(cluster.account_id, "AmazonEC2"),
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
            tags=_node_tags(node),
        )

    # What goes with instances

    def _marketplace(self) -> Iterator[Batch]:
        """An image that a vendor rents out: an instance's id, and no instance's cost."""
        node = next(node for node in self._nodes if node.group.name == "inf2-large")
        hours, seconds = _present(self._hours, seconds_by_hour(self._world, node))
        cost = rounded(for_seconds(usd("0.31"), seconds))
        yield Batch(
            facts={
                **self._facts(INFERENCE, "8kq2v0nh5x1m4rj7t9c3w6zbd"),
                "bill_billing_entity": "AWS Marketplace",
                "bill_invoice_id": self._invoice("marketplace"),
                "line_item_line_item_type": "Usage",
                "line_item_usage_type": "SoftwareUsage:inf2.24xlarge",
                "line_item_operation": "Hourly",
                "line_item_resource_id": node.instance_id,
                "line_item_legal_entity": "Example Vendor GmbH",
                "line_item_line_item_description": "AWS Marketplace software usage"
                "|us-west-2|inf2.24xlarge",
                "pricing_unit": "Hrs",
            },
            start=hours * HOUR,
            end=(hours + 1) * HOUR,
            amount=hours_as_amount(seconds),
            money={"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
            product={"product_name": "Hardened Neuron Image"},
        )

    def _root_volume(self, node: Node) -> Batch:
        """Billed as long as the volume is there, also while the instance is stopped."""
        cluster = node.group.cluster
        first = node.spans[0][0] // HOUR
        hours = np.arange(first, -(-node.spans[-1][1] // HOUR), dtype=np.int64)
        gigabytes = _VOLUME_GB[node.group.instance_type[0]]
        return self._service(
            cluster,
            _Price(
                "AmazonEC2",
                f"{cluster.usage_prefix}EBS:VolumeUsage.gp3",
                "CreateVolume-Gp3",
                "Storage",
                "0.088" if cluster is LAB else "0.08",
                "GB-Mo",
                "per GB-month of General Purpose (gp3) provisioned storage",
            ),
            hours,
            np.full(len(hours), gigabytes * AMOUNT_UNIT // self._world.hours, np.int64),
            resource_id=f"vol-0{hex_id(self._month, f'root {node.instance_id}', 16)}",
            tags=_node_tags(node),
        )

    def _traffic(self, node: Node) -> Iterator[Batch]:
        """Lines that name an instance, some with its operation, and are not its cost."""
        cluster, group = node.group.cluster, node.group
        hours = np.flatnonzero(seconds_by_hour(self._world, node))
        prefix = cluster.usage_prefix or "USE1-"
        swing = np.array(TRAFFIC)[hours % 24] * (
            0.9 + 0.2 * self._chance.random(len(hours))
        )
        per_gb = {
            "g5-shared": ("DataTransfer-Regional-Bytes", "InterZone-Out", "0.01", 9.0),
            "g6-base": ("DataTransfer-In-Bytes", "RunInstances", "0", 3.5),
            "general": ("DataTransfer-Out-Bytes", "RunInstances", "0.09", 14.0),
            "p4d-mig": ("DataTransfer-Regional-Bytes", "InterZone-In", "0.01", 22.0),
        }
        if group.name in per_gb:
            usage_type, operation, price, gigabytes = per_gb[group.name]
            yield self._service(
                cluster,
                _Price(
                    "AmazonEC2",
                    f"{prefix}{usage_type}",
                    operation,
                    "Data Transfer",
                    price,
                    "GB",
                    "per GB - data transfer",
                ),
                hours,
                np.round(swing * gigabytes * 10**6).astype(np.int64)
                * (AMOUNT_UNIT // 10**6),
                resource_id=node.instance_id,
                tags=_node_tags(node),
            )
        if group.instance_type.startswith("t3."):
            busy = hours[self._chance.random(len(hours)) < 0.08]
            yield self._service(
                cluster,
                _Price(
                    "AmazonEC2",
                    f"{cluster.usage_prefix}CPUCredits:t3",
                    "RunInstances",
                    "CPU Credits",
                    "0.05",
                    "vCPU-Hours",
                    "per vCPU-Hour of T3 CPU Credits",
                ),
                busy,
                self._chance.integers(1, 90, len(busy)) * (AMOUNT_UNIT // 100),
                resource_id=node.instance_id,
            )

    def _cluster_services(self, cluster: Cluster) -> Iterator[Batch]:
        every_hour = np.ones(self._world.hours, np.int64) * AMOUNT_UNIT
        hours, days = self._hours, np.arange(0, self._world.hours, 24, dtype=np.int64)
        prefix = cluster.usage_prefix or "USE1-"
        account, region = cluster.account_id, cluster.region
        yield self._service(
            cluster,
            _Price(
                "AmazonEKS",
                f"{prefix}AmazonEKS-Hours:perCluster",
                "CreateOperation",
                "Compute",
                "0.10",
                "Hours",
                "Amazon EKS cluster usage",
            ),
            hours,
            every_hour,
            resource_id=f"arn:aws:eks:{region}:{account}:cluster/{cluster.name}",
            tags={"aws:eks:cluster-name": cluster.name},
        )
        gateway = f"arn:aws:ec2:{region}:{account}:natgateway/nat-0" + hex_id(
            self._month, f"nat {cluster.name}", 16
        )
        for usage_type, text, amount in (
            ("NatGateway-Hours", "per NAT Gateway Hour", every_hour),
            (
                "NatGateway-Bytes",
                "per GB Data Processed by NAT Gateways",
                self._random(hours, 40),
            ),
        ):
            yield self._service(
                cluster,
                _Price(
                    "AmazonEC2",
                    f"{prefix}{usage_type}",
                    "NatGateway",
                    "NAT Gateway",
                    "0.045",
                    "Hrs" if amount is every_hour else "GB",
                    text,
                ),
                hours,
                amount,
                resource_id=gateway,
            )
        for claim in range(3):
            yield self._service(
                cluster,
                _Price(
                    "AmazonEC2",
                    f"{cluster.usage_prefix}EBS:VolumeUsage.gp3",
                    "CreateVolume-Gp3",
                    "Storage",
                    "0.088" if cluster is LAB else "0.08",
                    "GB-Mo",
                    "per GB-month of General Purpose (gp3) provisioned storage",
                ),
                hours,
                np.full(len(hours), 2000 * AMOUNT_UNIT // self._world.hours, np.int64),
                resource_id="vol-0"
                + hex_id(self._month, f"claim {cluster.name} {claim}", 16),
                tags={"user:kubernetes.io/created-for/pvc/name": f"data-{claim}"},
            )
        bucket = f"example-{cluster.name}-datasets"
        size = {ATLAS.name: 640_000, HARBOR.name: 45_000, LAB.name: 120_000}[cluster.name]
        yield self._service(
            cluster,
            _Price(
                "AmazonS3",
                f"{cluster.usage_prefix}TimedStorage-ByteHrs",
                "StandardStorage",
                "Storage",
                "0.022",
                "GB-Mo",
                "per GB - storage used / month",
            ),
            days,
            np.full(len(days), size * AMOUNT_UNIT // len(days), np.int64),
            length=DAY,
            resource_id=bucket,
            tags={"user:team": "data"},
        )
        yield self._service(
            cluster,
            _Price(
                "AmazonS3",
                f"{cluster.usage_prefix}Requests-Tier2",
                "GetObject",
                "API Request",
                "0.000001",
                "Requests",
                "per GET and all other requests",
            ),
            days,
            self._random(days, 900_000),
            length=DAY,
            resource_id=bucket,
        )
        # CloudWatch names no resource on its metrics.
        yield self._service(
            cluster,
            _Price(
                "AmazonCloudWatch",
                f"{prefix}CW:ObservationUsage",
                "MetricUpdate",
                "Metric",
                "0.21",
                "Observations",
                "per million observations",
            ),
            days,
            self._random(days, 160),
            length=DAY,
        )
        yield self._service(
            cluster,
            _Price(
                "AmazonECR",
                f"{prefix}TimedStorage-ByteHrs",
                "",
                "EC2 Container Registry",
                "0.10",
                "GB-Mo",
                "per GB-month of data storage",
            ),
            days[:1],
            _one(830 * AMOUNT_UNIT),
            length=self._world.seconds,
            resource_id=f"arn:aws:ecr:{region}:{account}:repository/models",
        )
        if cluster is HARBOR:
            yield self._service(
                cluster,
                _Price(
                    "AWSELB",
                    f"{prefix}LCUUsage",
                    "LoadBalancing:Application",
                    "Load Balancer-Application",
                    "0.008",
                    "LCU-Hrs",
                    "per used Application load balancer capacity unit-hour",
                ),
                hours,
                self._random(hours, 60),
                resource_id=f"arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/"
                "app/gateway/50dc6c495c0c9188",
                tags={"user:team": "edge"},
            )

    def _service(
        self,
        cluster: Cluster,
        price: _Price,
        hours: Integers,
        amount: Integers,
        *,
        length: int = HOUR,
        resource_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Batch:
        cost = for_amount(price.usd, amount)
        facts = {
            **self._facts(cluster.account_id, price.product_code),
            "line_item_line_item_type": "Usage",
            "line_item_usage_type": price.usage_type,
            "line_item_line_item_description": f"${price.usd} {price.text}",
            "line_item_unblended_rate": price.usd,
            "pricing_term": "OnDemand",
            "pricing_unit": price.unit,
        }
        if price.operation:
            facts["line_item_operation"] = price.operation
        if resource_id is not None:
            facts["line_item_resource_id"] = resource_id
        return Batch(
            facts=facts,
            start=hours * HOUR,
            end=hours * HOUR + length,
            amount=amount,
            money={"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": cost},
            product={
                "product_name": _PRODUCTS[price.product_code],
                "product_family": price.family,
                "region": cluster.region,
                "region_code": cluster.region,
                "location": cluster.location,
                "servicecode": price.product_code,
                "usagetype": price.usage_type,
            },
            tags=tags or {},
        )

    # What belongs to no resource

    def discounts(self, batches: Sequence[Batch]) -> list[Batch]:
        """What the agreement takes off, as rows: one a day, account and service."""
        days = self._world.hours // 24
        totals: dict[tuple[str, str], Integers] = defaultdict(
            lambda: np.zeros(days, np.int64)
        )
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
                        **self._facts(account, product_code),
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
                    product={"product_name": _PRODUCTS[product_code]},
                )
            )
        return [row for row in rows if len(row.start)]

    def adjustments(self) -> list[Batch]:
        """Support, credits and refunds."""
        if self._payer_id == MANAGEMENT:
            return [
                self._month_line(
                    MANAGEMENT,
                    "AWSSupportEnterprise",
                    "Fee",
                    "18450.75",
                    "AWS Support (Enterprise), monthly",
                ),
                self._month_line(
                    TRAINING,
                    "AmazonEC2",
                    "Credit",
                    "-12500",
                    "Migration and modernization program credit",
                ),
                self._month_line(
                    INFERENCE,
                    "AmazonEC2",
                    "Refund",
                    "-312.4087",
                    "Service level agreement refund",
                    bill_type="Refund",
                ),
            ]
        return [
            self._month_line(
                RESEARCH,
                "AWSSupportBusiness",
                "Fee",
                "2871.4",
                "AWS Support (Business), monthly",
            ),
            self._month_line(
                RESEARCH, "AmazonS3", "Credit", "-450", "Research programme credit"
            ),
        ]

    def taxes(self, batches: Sequence[Batch]) -> list[Batch]:
        """Tax on what is left after discounts, a row an account and service, in cents."""
        totals: dict[tuple[str, str], int] = defaultdict(int)
        for batch in batches:
            money = batch.money
            net = money.get(
                "line_item_net_unblended_cost", money["line_item_unblended_cost"]
            )
            key = (
                batch.facts["line_item_usage_account_id"],
                batch.facts["line_item_product_code"],
            )
            totals[key] += int(net.sum())
        permille = _TAX_PERMILLE[self._payer_id]
        kind, text = (
            ("VAT", "VAT") if self._payer_id == RESEARCH else ("USSalesTax", "US sales tax")
        )
        return [
            replace(line, facts={**line.facts, "line_item_tax_type": kind})
            for (account, product_code), total in totals.items()
            if (cents := total * permille // usd("10")) > 0
            for line in [
                self._month_line(
                    account,
                    product_code,
                    "Tax",
                    str(Decimal(cents) / 100),
                    f"{text} to be collected for product code {product_code}",
                )
            ]
        ]

    def _month_line(
        self,
        account_id: str,
        product_code: str,
        line_type: str,
        cost_usd: str,
        text: str,
        bill_type: str = "Anniversary",
    ) -> Batch:
        cost = _one(usd(cost_usd))
        money = {"line_item_unblended_cost": cost, "pricing_public_on_demand_cost": _one(0)}
        if self._payer_id == MANAGEMENT:
            money["line_item_net_unblended_cost"] = cost
        return Batch(
            facts={
                **self._facts(account_id, product_code),
                "bill_bill_type": bill_type,
                "line_item_line_item_type": line_type,
                "line_item_line_item_description": text,
            },
            start=_one(0),
            end=_one(self._world.seconds),
            amount=_one(AMOUNT_UNIT),
            money=money,
            product={"product_name": _PRODUCTS.get(product_code, product_code)},
        )

    # Common

    def _facts(self, account_id: str, product_code: str) -> dict[str, str]:
        legal = "Amazon Web Services, Inc."
        if self._payer_id == RESEARCH:
            legal = "Amazon Web Services EMEA SARL"
        return {
            "bill_bill_type": "Anniversary",
            "bill_billing_entity": "AWS",
            "bill_billing_period_start_date": f"{self._month.start:%Y-%m-%dT%H:%M:%SZ}",
            "bill_billing_period_end_date": f"{self._month.end:%Y-%m-%dT%H:%M:%SZ}",
            "bill_invoice_id": self._invoice("services"),
            "bill_invoicing_entity": legal,
            "bill_payer_account_id": self._payer_id,
            "bill_payer_account_name": _ACCOUNT_NAMES[self._payer_id],
            "line_item_currency_code": "USD",
            "line_item_legal_entity": legal,
            "line_item_product_code": product_code,
            "line_item_usage_account_id": account_id,
            "line_item_usage_account_name": _ACCOUNT_NAMES[account_id],
            "pricing_currency": "USD",
        }

    def _invoice(self, kind: str) -> str:
        return str(10**9 + int(hex_id(self._month, f"{kind} {self._payer_id}", 7), 16))

    def _reservation_arn(self, reservation: Reservation) -> str:
        cluster = reservation.cluster
        digits = hex_id(self._month, f"reservation {reservation.name}", 32)
        return (
            f"arn:aws:ec2:{cluster.region}:{cluster.account_id}:reserved-instances/"
            f"{uuid.UUID(hex=digits, version=4)}"
        )

    def _on_demand_rate(self, node: Node) -> int:
        price = self._catalogue[node.group.instance_type].on_demand_usd_per_hour
        if price is None:
            raise ValueError(f"the story has a type without a price: {node.group.name}")
        return usd(price * node.group.cluster.price_factor / 100)

    def _random(self, hours: Integers, mean: int) -> Integers:
        """Amounts that follow the day where lines are hourly, to six decimals."""
        daily = np.array(TRAFFIC)[hours % 24] if len(hours) == self._world.hours else 1.0
        values = mean * daily * (0.8 + 0.4 * self._chance.random(len(hours)))
        return np.round(values * 10**6).astype(np.int64) * (AMOUNT_UNIT // 10**6)


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
        f"{group}_net_{name}": money[column] - money[column] * percent // 100
        for column in money
        for group, name in [_net_parts(column)]
        if group
    }
    taken = rounded(unblended * percent // 100)
    batch = batch.with_money(**net, line_item_net_unblended_cost=unblended - taken)
    return batch.with_money(discount_total_discount=-taken) if percent else batch


def _net_parts(column: str) -> tuple[str, str]:
    """Group and name of a column that has a net twin, else empty."""
    for group in ("reservation", "savings_plan"):
        name = column.removeprefix(f"{group}_")
        if name != column and name not in (
            "total_commitment_to_date",
            "used_commitment",
        ):
            return group, name
    return "", ""


def _node_tags(node: Node) -> dict[str, str]:
    group = node.group
    tags = {"user:Name": f"{group.cluster.name}-{group.name}", "user:team": group.team}
    if group.name != "bastion":
        tags["aws:eks:cluster-name"] = group.cluster.name
        tags["user:eks:nodegroup-name"] = group.name
    return tags


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


def _present(hours: Integers, seconds: Integers) -> tuple[Integers, Integers]:
    """Hours with usage, and the seconds of it."""
    is_there = seconds > 0
    return hours[is_there], seconds[is_there]


def _one(value: int) -> Integers:
    return np.array([value], np.int64)


def _plain(units: int) -> str:
    """A price as text."""
    return f"{Decimal(units).scaleb(-13).normalize():f}"
