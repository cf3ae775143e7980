"""One payer's month: what all lines of its bill have in common.

Holds the accounts' names, the columns that AWS writes on every line, and the prices of
instances. The lines themselves are in ``instances.py``, ``services.py`` and ``bill.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orchestration.bill.catalogue import InstanceType
from orchestration.lake.months import Month
from orchestration.sample.lines import Integers, usd
from orchestration.sample.world import (
    APPLICATIONS,
    CLUSTERS,
    INFERENCE,
    MANAGEMENT,
    RESEARCH,
    TRAINING,
    Cluster,
    Node,
    World,
    dice,
    hex_id,
)

ACCOUNT_NAMES = {
    MANAGEMENT: "management",
    TRAINING: "training",
    INFERENCE: "inference",
    APPLICATIONS: "applications",
    RESEARCH: "research",
}

PRODUCT_NAMES = {
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


@dataclass(frozen=True)
class Payer:
    """A payer account and the part of the world that it pays for."""

    account_id: str
    world: World
    catalogue: Mapping[str, InstanceType]

    @property
    def month(self) -> Month:
        """The billing month."""
        return self.world.month

    @cached_property
    def hours(self) -> Integers:
        """Hours of the month, from 0."""
        return np.arange(self.world.hours, dtype=np.int64)

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """Clusters that the payer pays for."""
        return tuple(c for c in CLUSTERS if c.payer_id == self.account_id)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Instances that the payer pays for."""
        return tuple(n for n in self.world.nodes if n.group.cluster in self.clusters)

    def node_of(self, group: str) -> Node:
        """The first node of a group."""
        return next(node for node in self.nodes if node.group.name == group)

    def chance(self, name: str) -> np.random.Generator:
        """Chance that is the same for the same month and name."""
        return np.random.Generator(np.random.PCG64(dice(self.month, name).getrandbits(64)))

    def facts(self, account_id: str, product_code: str) -> dict[str, str]:
        """Columns that stand on every line."""
        legal = "Amazon Web Services, Inc."
        if self.account_id == RESEARCH:
            legal = "Amazon Web Services EMEA SARL"
        return {
            "bill_bill_type": "Anniversary",
            "bill_billing_entity": "AWS",
            "bill_billing_period_start_date": f"{self.month.start:%Y-%m-%dT%H:%M:%SZ}",
            "bill_billing_period_end_date": f"{self.month.end:%Y-%m-%dT%H:%M:%SZ}",
            "bill_invoice_id": self.invoice("services"),
            "bill_invoicing_entity": legal,
            "bill_payer_account_id": self.account_id,
            "bill_payer_account_name": ACCOUNT_NAMES[self.account_id],
            "line_item_currency_code": "USD",
            "line_item_legal_entity": legal,
            "line_item_product_code": product_code,
            "line_item_usage_account_id": account_id,
            "line_item_usage_account_name": ACCOUNT_NAMES[account_id],
            "pricing_currency": "USD",
        }

    def invoice(self, kind: str) -> str:
        """Number of an invoice."""
        return str(10**9 + int(hex_id(self.month, f"{kind} {self.account_id}", 7), 16))

    def on_demand_rate(self, node: Node) -> int:
        """On-Demand price of an instance-hour in the node's Region, in ``MONEY_UNIT``."""
        price = self.catalogue[node.group.instance_type].on_demand_usd_per_hour
        if price is None:
            raise ValueError(f"the story has a type without a price: {node.group.name}")
        return usd(price * node.group.cluster.price_factor / 100)


def node_tags(node: Node) -> dict[str, str]:
    """Tags of an instance and its volume, under the keys that AWS and users gave them."""
    group = node.group
    tags = {"user:Name": f"{group.cluster.name}-{group.name}", "user:team": group.team}
    if group.name != "bastion":
        tags["aws:eks:cluster-name"] = group.cluster.name
        pool = "kubernetes-node-pool-name" if group.is_auto_mode else "nodegroup-name"
        tags[f"user:eks:{pool}"] = group.name
    return tags
