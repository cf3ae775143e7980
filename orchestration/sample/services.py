"""Lines of everything around instances: volumes, traffic, control planes, services.

Holds what AWS bills by use beside instances, as far as the story has it. Some of these
lines name an instance, or even its operation, and none is part of what the instance costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from orchestration.sample.commitments import seconds_by_hour
from orchestration.sample.lines import (
    AMOUNT_UNIT,
    Batch,
    Integers,
    for_amount,
    for_seconds,
    hours_as_amount,
    one,
    present,
    rounded,
    usd,
)
from orchestration.sample.payer import PRODUCT_NAMES, Payer, node_tags
from orchestration.sample.world import (
    ATLAS,
    DAY,
    HARBOR,
    HOUR,
    INFERENCE,
    LAB,
    MANAGEMENT,
    TRAFFIC,
    Cluster,
    Node,
    hex_id,
)

_ROOT_GB = {"p": 1000, "t": 500, "g": 200, "i": 200, "m": 100}
"""Root volumes by the first letter of the family."""

_CLAIMS = 3
_CLAIM_GB = 2000
"""Persistent volumes of a cluster."""

_BUCKET_GB = {ATLAS.name: 640_000, HARBOR.name: 45_000, LAB.name: 120_000}

_TRAFFIC_GB = {
    "g5-shared": ("DataTransfer-Regional-Bytes", "InterZone-Out", "0.01", 9.0),
    "g6-base": ("DataTransfer-In-Bytes", "RunInstances", "0", 3.5),
    "general": ("DataTransfer-Out-Bytes", "RunInstances", "0.09", 14.0),
    "p4d-mig": ("DataTransfer-Regional-Bytes", "InterZone-In", "0.01", 22.0),
}
"""Traffic of each node of a group: usage type, operation, USD a GB, GB at the peak."""

_SHARE_OF_BUSY_HOURS = 0.08
"""Hours in which the bastion spends more CPU credits than it earns."""


@dataclass(frozen=True)
class Price:
    """What one unit of a service costs, and how AWS names it."""

    product_code: str
    usage_type: str
    operation: str
    family: str
    usd: str
    unit: str
    text: str


def service_lines(payer: Payer) -> Iterator[Batch]:
    """Everything that AWS bills a payer for by use, beside instances."""
    if payer.account_id == MANAGEMENT:
        yield _marketplace(payer)
    for node in payer.nodes:
        yield _root_volume(payer, node)
        yield from _traffic(payer, node)
    for cluster in payer.clusters:
        yield from _cluster_lines(payer, cluster)
        yield from _shared_lines(payer, cluster)


def _marketplace(payer: Payer) -> Batch:
    """An image that a vendor rents out: an instance's id, and no instance's cost."""
    node = payer.node_of("inf2-large")
    hours, seconds = present(payer.hours, seconds_by_hour(payer.world, node))
    cost = rounded(for_seconds(usd("0.31"), seconds))
    return Batch(
        facts={
            **payer.facts(INFERENCE, "8kq2v0nh5x1m4rj7t9c3w6zbd"),
            "bill_billing_entity": "AWS Marketplace",
            "bill_invoice_id": payer.invoice("marketplace"),
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


def _root_volume(payer: Payer, node: Node) -> Batch:
    """Billed as long as the volume is there, also while the instance is stopped."""
    hours = payer.hours[node.spans[0][0] // HOUR : -(-node.spans[-1][1] // HOUR)]
    gigabytes = _ROOT_GB[node.group.instance_type[0]]
    name = f"root {node.instance_id}"
    return _volume(payer, node.group.cluster, name, hours, gigabytes, node_tags(node))


def _traffic(payer: Payer, node: Node) -> Iterator[Batch]:
    """Lines that name an instance, some with its operation, and are not its cost."""
    cluster, group = node.group.cluster, node.group
    hours = np.flatnonzero(seconds_by_hour(payer.world, node))
    chance = payer.chance(f"traffic {node.instance_id}")
    if group.name in _TRAFFIC_GB:
        usage_type, operation, usd_a_gb, gigabytes = _TRAFFIC_GB[group.name]
        price = Price(
            product_code="AmazonEC2",
            usage_type=f"{cluster.usage_prefix or 'USE1-'}{usage_type}",
            operation=operation,
            family="Data Transfer",
            usd=usd_a_gb,
            unit="GB",
            text="per GB - data transfer",
        )
        amount = _amounts(payer, f"traffic {node.instance_id}", hours, gigabytes)
        tags = node_tags(node)
        yield service(
            payer, cluster, price, hours, amount, resource_id=node.instance_id, tags=tags
        )
    if group.instance_type.startswith("t3."):
        price = Price(
            product_code="AmazonEC2",
            usage_type=f"{cluster.usage_prefix}CPUCredits:t3",
            operation="RunInstances",
            family="CPU Credits",
            usd="0.05",
            unit="vCPU-Hours",
            text="per vCPU-Hour of T3 CPU Credits",
        )
        busy = hours[chance.random(len(hours)) < _SHARE_OF_BUSY_HOURS]
        amount = chance.integers(1, 90, len(busy)) * (AMOUNT_UNIT // 100)
        yield service(payer, cluster, price, busy, amount, resource_id=node.instance_id)


def control_plane(payer: Payer, cluster: Cluster) -> Batch:
    """What EKS takes for a cluster."""
    region, account = cluster.region, cluster.account_id
    return service(
        payer,
        cluster,
        Price(
            product_code="AmazonEKS",
            usage_type=f"{cluster.usage_prefix or 'USE1-'}AmazonEKS-Hours:perCluster",
            operation="CreateOperation",
            family="Compute",
            usd="0.10",
            unit="Hours",
            text="Amazon EKS cluster usage",
        ),
        payer.hours,
        np.full(len(payer.hours), AMOUNT_UNIT, np.int64),
        resource_id=f"arn:aws:eks:{region}:{account}:cluster/{cluster.name}",
        tags={"aws:eks:cluster-name": cluster.name},
    )


def _cluster_lines(payer: Payer, cluster: Cluster) -> Iterator[Batch]:
    """What a cluster costs by the hour without any node: control plane, NAT, claims."""
    prefix = cluster.usage_prefix or "USE1-"
    region, account = cluster.region, cluster.account_id
    hours = payer.hours
    every_hour = np.full(len(hours), AMOUNT_UNIT, np.int64)
    yield control_plane(payer, cluster)
    gateway = hex_id(payer.month, f"nat {cluster.name}", 16)
    processed = _amounts(payer, f"nat {cluster.name}", hours, 40)
    for usage_type, unit, text, amount in (
        ("NatGateway-Hours", "Hrs", "per NAT Gateway Hour", every_hour),
        ("NatGateway-Bytes", "GB", "per GB Data Processed by NAT Gateways", processed),
    ):
        yield service(
            payer,
            cluster,
            Price(
                product_code="AmazonEC2",
                usage_type=f"{prefix}{usage_type}",
                operation="NatGateway",
                family="NAT Gateway",
                usd="0.045",
                unit=unit,
                text=text,
            ),
            hours,
            amount,
            resource_id=f"arn:aws:ec2:{region}:{account}:natgateway/nat-0{gateway}",
        )
    for number in range(_CLAIMS):
        yield _volume(
            payer,
            cluster,
            f"claim {cluster.name} {number}",
            hours,
            _CLAIM_GB,
            {"user:kubernetes.io/created-for/pvc/name": f"data-{number}"},
        )


def _shared_lines(payer: Payer, cluster: Cluster) -> Iterator[Batch]:
    """What else an account with a cluster uses: by the day, the hour and the month."""
    prefix = cluster.usage_prefix or "USE1-"
    region, account = cluster.region, cluster.account_id
    days = payer.hours[::24]
    bucket = f"example-{cluster.name}-datasets"
    storage = Price(
        product_code="AmazonS3",
        usage_type=f"{cluster.usage_prefix}TimedStorage-ByteHrs",
        operation="StandardStorage",
        family="Storage",
        usd="0.022",
        unit="GB-Mo",
        text="per GB - storage used / month",
    )
    stored = np.full(
        len(days), _BUCKET_GB[cluster.name] * AMOUNT_UNIT // len(days), np.int64
    )
    team = {"user:team": "data"}
    yield service(
        payer, cluster, storage, days, stored, length=DAY, resource_id=bucket, tags=team
    )
    requests = Price(
        product_code="AmazonS3",
        usage_type=f"{cluster.usage_prefix}Requests-Tier2",
        operation="GetObject",
        family="API Request",
        usd="0.000001",
        unit="Requests",
        text="per GET and all other requests",
    )
    asked = _amounts(payer, bucket, days, 900_000)
    yield service(payer, cluster, requests, days, asked, length=DAY, resource_id=bucket)
    # CloudWatch names no resource on its metrics.
    metrics = Price(
        product_code="AmazonCloudWatch",
        usage_type=f"{prefix}CW:ObservationUsage",
        operation="MetricUpdate",
        family="Metric",
        usd="0.21",
        unit="Observations",
        text="per million observations",
    )
    observed = _amounts(payer, f"metrics {cluster.name}", days, 160)
    yield service(payer, cluster, metrics, days, observed, length=DAY)
    images = Price(
        product_code="AmazonECR",
        usage_type=f"{prefix}TimedStorage-ByteHrs",
        operation="",
        family="EC2 Container Registry",
        usd="0.10",
        unit="GB-Mo",
        text="per GB-month of data storage",
    )
    yield service(
        payer,
        cluster,
        images,
        days[:1],
        one(830 * AMOUNT_UNIT),
        length=payer.world.seconds,
        resource_id=f"arn:aws:ecr:{region}:{account}:repository/models",
    )
    if cluster is HARBOR:
        balancer = Price(
            product_code="AWSELB",
            usage_type=f"{prefix}LCUUsage",
            operation="LoadBalancing:Application",
            family="Load Balancer-Application",
            usd="0.008",
            unit="LCU-Hrs",
            text="per used Application load balancer capacity unit-hour",
        )
        yield service(
            payer,
            cluster,
            balancer,
            payer.hours,
            _amounts(payer, "load balancer", payer.hours, 60),
            resource_id=f"arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/"
            "app/gateway/50dc6c495c0c9188",
            tags={"user:team": "edge"},
        )


def _volume(
    payer: Payer,
    cluster: Cluster,
    name: str,
    hours: Integers,
    gigabytes: int,
    tags: Mapping[str, str],
) -> Batch:
    price = Price(
        product_code="AmazonEC2",
        usage_type=f"{cluster.usage_prefix}EBS:VolumeUsage.gp3",
        operation="CreateVolume-Gp3",
        family="Storage",
        usd="0.088" if cluster is LAB else "0.08",
        unit="GB-Mo",
        text="per GB-month of General Purpose (gp3) provisioned storage",
    )
    amount = np.full(len(hours), gigabytes * AMOUNT_UNIT // len(payer.hours), np.int64)
    volume_id = f"vol-0{hex_id(payer.month, name, 16)}"
    return service(payer, cluster, price, hours, amount, resource_id=volume_id, tags=tags)


def service(
    payer: Payer,
    cluster: Cluster,
    price: Price,
    hours: Integers,
    amount: Integers,
    *,
    length: int = HOUR,
    resource_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Batch:
    """Lines of one service at one price, in the account of a cluster."""
    cost = for_amount(price.usd, amount)
    facts = {
        **payer.facts(cluster.account_id, price.product_code),
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
            "product_name": PRODUCT_NAMES[price.product_code],
            "product_family": price.family,
            "region": cluster.region,
            "region_code": cluster.region,
            "location": cluster.location,
            "servicecode": price.product_code,
            "usagetype": price.usage_type,
        },
        tags=tags or {},
    )


def _amounts(payer: Payer, name: str, hours: Integers, mean: float) -> Integers:
    """Amounts that follow the day where lines are hourly, to six decimals."""
    is_hourly = len(hours) > len(payer.hours) // 24
    daily = np.array(TRAFFIC)[hours % 24] if is_hourly else 1.0
    values = mean * daily * (0.8 + 0.4 * payer.chance(name).random(len(hours)))
    return np.round(values * 10**6).astype(np.int64) * (AMOUNT_UNIT // 10**6)
