"""Small made-up months with an oracle: what every pod must pay, in exact fractions.

Nothing here is shared with the sample month or with the code under test but the names of
columns: bill, pods and expectations are written from ``docs/method.md``.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

START = dt.datetime(2026, 10, 1)  # noqa: DTZ001 - the lake has no zones, all is UTC
END = dt.datetime(2026, 11, 1)  # noqa: DTZ001 - as above

TYPES: dict[str, tuple[str, str, str, dict[str, Fraction]]] = {
    # vCPU, GiB, devices, and what a unit of each resource counts as on the world's nodes
    "m5.xlarge": ("4", "16", "0", {}),
    "c5.9xlarge": ("36", "72", "0", {}),
    "p3.16xlarge": ("64", "488", "8", {"nvidia.com/gpu": Fraction(1)}),
    "p4d.24xlarge": (
        "96",
        "1152",
        "8",
        {
            "nvidia.com/gpu": Fraction(1),
            "nvidia.com/mig-1g.5gb": Fraction(1, 7),
            "nvidia.com/mig-3g.20gb": Fraction(1, 2),
        },
    ),
    "trn1.32xlarge": (
        "128",
        "512",
        "16",
        {"aws.amazon.com/neuron": Fraction(1), "aws.amazon.com/neuroncore": Fraction(1, 2)},
    ),
    "g6f.large": ("2", "8", "0.125", {"nvidia.com/gpu": Fraction(1, 8)}),
}
"""Instance types of the worlds: facts of EC2, and section 2 of the method."""

PAYERS = {
    "111111111111": ("222222222222", "333333333333"),
    "444444444444": ("555555555555",),
}
ODD_NAMES = ["o'brien", 'say "hi"', "größe-模型", "x" * 253, "a,b\\c", "plain"]


def an_instance_hour(
    instance_id: str | None,
    instance_type: str,
    cost: str,
    hour: dt.datetime,
    /,
    **more: Any,
) -> dict[str, Any]:
    """A line of a world: an instance's hour, at its On-Demand price but for ``more``."""
    return {
        "payer": "111111111111",
        "account": "222222222222",
        "type": "Usage",
        "start": hour,
        "usage": "1",
        "resource_id": instance_id,
        "usage_type": f"BoxUsage:{instance_type}",
        "operation": "RunInstances",
        "product_code": "AmazonEC2",
        "family": "Compute Instance",
        "instance_type": instance_type,
        "unblended": cost,
        "public": cost,
        "carries": True,
    } | more


def a_pod_hour(
    instance_id: str, hour: dt.datetime, uid: str, /, **more: Any
) -> dict[str, Any]:
    """A pod of a world: a small one that is there for the whole hour, but for ``more``."""
    return {
        "cluster_name": "prod",
        "node_name": "node",
        "instance_id": instance_id,
        "usage_hour": hour,
        "namespace": "ns",
        "pod_name": f"pod-{uid}",
        "pod_uid": uid,
        "workload_type": None,
        "workload_name": None,
        "deployment": None,
        "bound_seconds": 3600,
        "vcpu_requested": 1.0,
        "memory_requested_gib": 1.0,
        "vcpu_used": None,
        "memory_used_gib": None,
        "accelerators_requested": {},
        "accelerators_used": None,
        "labels": {},
    } | more


@dataclass
class World:
    """A month: bill lines, pod-hours, node-hours, and how they came about."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Oracle:
    """What must come out, in USD as fractions.

    ``split`` is keyed by (instance, hour, uid, resource) and holds for each basis the
    split and the unused part; ``unallocated`` by (instance, hour, resource); ``remainder``
    and ``bill`` by payer, both for each basis.
    """

    split: dict[tuple[str, dt.datetime, str, str], dict[str, tuple[Fraction, Fraction]]]
    unallocated: dict[tuple[str, dt.datetime, str], dict[str, Fraction]]
    remainder: dict[str, dict[str, Fraction]]
    bill: dict[str, dict[str, Fraction]]


def make_world(seed: int, instances: int = 8, hours: int = 5, pods: int = 6) -> World:
    """Make a world: the same seed, the same world."""
    dice = random.Random(seed)
    world = World()
    for number in range(instances):
        payer = dice.choice(list(PAYERS))
        account = dice.choice(PAYERS[payer])
        instance_type = list(TYPES)[number % len(TYPES)]
        instance = f"i-{number:017x}"
        first = START + dt.timedelta(hours=dice.randrange(0, 740 - hours))
        node = {
            "cluster_name": f"cluster-{number % 2}",
            "node_name": f"ip-10-0-0-{number}.ec2.internal",
            "instance_id": instance,
            "instance_type": instance_type,
        }
        for step in range(hours):
            hour = first + dt.timedelta(hours=step)
            _bill_node_hour(world, dice, payer, account, instance, instance_type, hour)
            world.nodes.append(node | {"usage_hour": hour, "labels": {}, "allocatable": {}})
            if dice.random() < 0.15:
                continue
            for pod in range(dice.randrange(1, pods + 1)):
                world.pods.append(_pod_hour(dice, node, hour, pod))
        # Work on an instance of somebody else's bill.
        if number == 0:
            lost = node | {"instance_id": "i-0badc0ffee0badc0f"}
            world.pods.append(_pod_hour(dice, lost, first, 0))
    for payer, accounts in PAYERS.items():
        _bill_the_rest(world, dice, payer, accounts[0])
    return world


def oracle(world: World, method: int = 2) -> Oracle:
    """Apply the definition of ``docs/method.md`` in exact fractions."""
    costs: dict[tuple[str, dt.datetime], dict[str, Fraction]] = defaultdict(
        lambda: defaultdict(Fraction)
    )
    usage: dict[tuple[str, dt.datetime], Fraction] = defaultdict(Fraction)
    types: dict[str, str] = {}
    remainder: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    bill: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for line in world.lines:
        for basis, usd in _bases(line).items():
            bill[line["payer"]][basis] += usd
            if line["carries"]:
                costs[line["resource_id"], line["start"]][basis] += usd
            else:
                remainder[line["payer"]][basis] += usd
        if line["carries"]:
            usage[line["resource_id"], line["start"]] += Fraction(line["usage"])
            types[line["resource_id"]] = line["instance_type"]

    pods = defaultdict(dict)
    for pod in world.pods:
        pods[pod["instance_id"], pod["usage_hour"]][pod["pod_uid"]] = pod
    split, unallocated = {}, {}
    for (instance, hour), cost in costs.items():
        vcpu, gib, devices, equivalents = TYPES[types[instance]]
        sizes = {
            "accelerator": Fraction(devices),
            "vcpu": Fraction(vcpu),
            "memory": Fraction(gib),
        }
        weights = _weights(method, is_accelerated=sizes["accelerator"] > 0)
        total_size = sum(sizes[name] * weights[name] for name in sizes)
        for name, size in sizes.items():
            pool = {b: usd * size * weights[name] / total_size for b, usd in cost.items()}
            claims = {
                uid: _claim(pod, name, equivalents)
                for uid, pod in pods[instance, hour].items()
            }
            claimed = sum(claims.values(), Fraction(0))
            if not claimed:
                if weights[name] * size or name != "accelerator":
                    unallocated[instance, hour, name] = pool
                continue
            capacity = size * min(usage[instance, hour], Fraction(1))
            divisor = max(capacity, claimed)
            for uid, claim in claims.items():
                split[instance, hour, uid, name] = {
                    b: (
                        usd * claim / divisor,
                        usd * (1 - claimed / divisor) * claim / claimed,
                    )
                    for b, usd in pool.items()
                }
    return Oracle(split, unallocated, remainder, bill)


def _weights(method: int, *, is_accelerated: bool) -> dict[str, Fraction]:
    if method == 1:
        return {"accelerator": Fraction(0), "vcpu": Fraction(9), "memory": Fraction(1)}
    if is_accelerated:
        return {
            "accelerator": Fraction(9),
            "vcpu": Fraction(9, 10),
            "memory": Fraction(1, 10),
        }
    return {"accelerator": Fraction(0), "vcpu": Fraction(9), "memory": Fraction(1)}


def _claim(
    pod: dict[str, Any], resource: str, equivalents: dict[str, Fraction]
) -> Fraction:
    if resource == "accelerator":
        requested = sum(
            (
                Fraction(quantity) * equivalents[name]
                for name, quantity in pod["accelerators_requested"].items()
            ),
            Fraction(0),
        )
        used = pod["accelerators_used"]
    elif resource == "vcpu":
        requested, used = Fraction(pod["vcpu_requested"]), pod["vcpu_used"]
    else:
        requested, used = Fraction(pod["memory_requested_gib"]), pod["memory_used_gib"]
    larger = requested if used is None else max(requested, Fraction(used))
    return larger * Fraction(pod["bound_seconds"], 3600)


def _bases(line: dict[str, Any]) -> dict[str, Fraction]:
    unblended = Fraction(line["unblended"])
    effective = Fraction(line.get("effective", "0"))
    kind = line["type"]
    amortized = {
        "DiscountedUsage": effective,
        "SavingsPlanCoveredUsage": effective,
        "SavingsPlanNegation": Fraction(0),
        "SavingsPlanUpfrontFee": Fraction(0),
        "SavingsPlanRecurringFee": Fraction(line.get("commitment", "0"))
        - Fraction(line.get("used_commitment", "0")),
        "RIFee": Fraction(line.get("unused_upfront", "0"))
        + Fraction(line.get("unused_recurring", "0")),
    }.get(kind, unblended)
    return {
        "unblended": unblended,
        "amortized": amortized,
        "public_on_demand": Fraction(line.get("public", "0")),
    }


def _money(dice: random.Random, largest: float, digits: int = 10) -> str:
    return f"{dice.uniform(0, largest):.{digits}f}"


def _bill_node_hour(
    world: World,
    dice: random.Random,
    payer: str,
    account: str,
    instance: str,
    instance_type: str,
    hour: dt.datetime,
) -> None:
    kinds = dice.choice(
        [
            ["Usage"],
            ["DiscountedUsage", "Usage"],
            ["SavingsPlanCoveredUsage"],
            ["Spot"],
            ["DiscountedUsage", "SavingsPlanCoveredUsage", "Usage"],
        ]
    )
    whole = dice.choice([Fraction(1), Fraction(1, 2), Fraction(1, 4)])
    for position, kind in enumerate(kinds):
        part = whole / 2 ** min(position + 1, len(kinds) - 1) if len(kinds) > 1 else whole
        is_spot = kind == "Spot"
        line = {
            "payer": payer,
            "account": account,
            "type": "Usage" if is_spot else kind,
            "start": hour,
            "usage": str(float(part)),
            "resource_id": instance,
            "usage_type": f"USW2-{'SpotUsage' if is_spot else 'BoxUsage'}:{instance_type}",
            "operation": "RunInstances:SV001" if is_spot else "RunInstances",
            "product_code": "AmazonEC2",
            "instance_type": instance_type,
            "carries": True,
            "unblended": "0" if kind == "DiscountedUsage" else _money(dice, 90),
            "public": "0" if is_spot else _money(dice, 120),
        }
        if kind in ("DiscountedUsage", "SavingsPlanCoveredUsage"):
            line["effective"] = _money(dice, 60)
        if not is_spot:
            line["family"] = "Compute Instance"
        world.lines.append(line)
        if kind == "SavingsPlanCoveredUsage":
            world.lines.append(
                line
                | {
                    "type": "SavingsPlanNegation",
                    "unblended": f"-{line['unblended']}",
                    "public": "0",
                    "carries": False,
                    "resource_id": None,
                }
            )
    # What looks like the instance's cost and is not.
    world.lines.append(
        {
            "payer": payer,
            "account": account,
            "type": "Usage",
            "start": hour,
            "usage": "0.0083840461",
            "resource_id": instance,
            "usage_type": "USW2-DataTransfer-Out-Bytes",
            "operation": "RunInstances",
            "product_code": "AmazonEC2",
            "family": "Data Transfer",
            "carries": False,
            "unblended": _money(dice, 0.01),
            "public": "0.001",
        }
    )


def _bill_the_rest(world: World, dice: random.Random, payer: str, account: str) -> None:
    def month_line(kind: str, **more: Any) -> None:
        world.lines.append(
            {
                "payer": payer,
                "account": account,
                "type": kind,
                "start": START,
                "end": END,
                "usage": "1",
                "resource_id": None,
                "usage_type": "x",
                "operation": "",
                "product_code": "AmazonEC2",
                "carries": False,
                "unblended": "0",
            }
            | more
        )

    month_line("Tax", unblended=_money(dice, 400, 2))
    month_line("Credit", unblended=f"-{_money(dice, 40, 2)}")
    month_line("Refund", unblended=f"-{_money(dice, 4, 2)}")
    month_line(
        "RIFee", unblended="30.5", unused_upfront="1.25", unused_recurring="2.0000000003"
    )
    month_line(
        "SavingsPlanRecurringFee",
        unblended="9",
        commitment="9",
        used_commitment="8.0000000001",
    )
    month_line("Fee", unblended="100", product_code="AWSSupportBusiness")
    month_line(
        "Usage",
        unblended="12.3456789012",
        usage_type="USW2-EBS:VolumeUsage.gp3",
        resource_id="vol-1",
        family="Storage",
    )
    month_line(
        "Usage",
        unblended="98.32",
        usage_type="USW2-UnusedBox:p5.48xlarge",
        operation="RunInstances",
        family="Compute Instance",
        resource_id="arn:aws:ec2:us-west-2:222222222222:capacity-reservation/cr-1",
    )
    month_line(
        "Usage",
        unblended="73.0",
        product_code="AmazonEKS",
        usage_type="USW2-AmazonEKS-Hours",
    )


def _pod_hour(
    dice: random.Random, node: dict[str, Any], hour: dt.datetime, number: int
) -> dict[str, Any]:
    vcpu, gib, _, equivalents = TYPES[node["instance_type"]]
    asks = dice.random() < 0.7 and bool(equivalents)
    return {
        "cluster_name": node["cluster_name"],
        "node_name": node["node_name"],
        "instance_id": node["instance_id"],
        "usage_hour": hour,
        "namespace": f"ns-{number % 3}",
        "pod_name": dice.choice(ODD_NAMES),
        "pod_uid": f"{dice.getrandbits(64):016x}-{number}",
        "workload_type": dice.choice(["Job", "PyTorchJob", None]),
        "workload_name": dice.choice(["train", "größe", None]),
        "deployment": None,
        "bound_seconds": dice.choice([3600, 1800, 1, 3599, 0]),
        "vcpu_requested": dice.choice([0.0, 0.25, float(vcpu) / 3, 0.1]),
        "memory_requested_gib": dice.choice([0.0, 0.5, float(gib) / 7, 100.0]),
        "vcpu_used": dice.choice([None, 0.1, dice.uniform(0, 2 * float(vcpu))]),
        "memory_used_gib": dice.choice([None, 0.3, dice.uniform(0, float(gib))]),
        "accelerators_requested": (
            {dice.choice(list(equivalents)): float(dice.randrange(1, 4))} if asks else {}
        ),
        "accelerators_used": dice.choice([None, None, 0.5]) if equivalents else None,
        "labels": dice.choice(
            [{}, {"team": "search", "a.b/c": 'quote "'}, {"model": "größe"}]
        ),
    }


WORLD = make_world(7)
"""The world that most tests close."""


# ---------------------------------------------------------------- as AWS writes exports


def _cur2_row(line: dict[str, Any]) -> dict[str, Any]:
    start = line["start"]
    end = line.get("end", start + dt.timedelta(hours=1))
    period = start.replace(day=1, hour=0)
    number = {name: float(line[key]) for name, key in _MONEY.items() if key in line}
    return {
        "identity_line_item_id": "x",
        "identity_time_interval": f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
        "bill_payer_account_id": line["payer"],
        "bill_billing_period_start_date": period,
        "bill_billing_period_end_date": (period + dt.timedelta(days=31)).replace(day=1),
        "line_item_usage_account_id": line["account"],
        "line_item_line_item_type": line["type"],
        "line_item_usage_start_date": start,
        "line_item_usage_end_date": end,
        "line_item_product_code": line["product_code"],
        "line_item_usage_type": line["usage_type"],
        "line_item_operation": line["operation"],
        "line_item_resource_id": line["resource_id"],
        "line_item_currency_code": "USD",
        "line_item_usage_amount": float(line["usage"]),
        "product_product_family": line.get("family"),
        "product_instance_type": line.get("instance_type") if "family" in line else None,
        "product_region_code": "us-west-2",
        "product": line.get("product", {}),
        "resource_tags": {"user_team": "billing", **line.get("tags", {})},
        "split_line_item_parent_resource_id": line.get("split_parent"),
        "capacity_reservation_capacity_reservation_arn": line.get("capacity_arn"),
        "capacity_reservation_capacity_reservation_status": line.get("capacity_status"),
        "capacity_reservation_capacity_reservation_type": line.get("capacity_type"),
        "reservation_reservation_a_r_n": "arn:r" if line["type"] == "RIFee" else None,
        **dict.fromkeys(_MONEY),
        **number,
    }


_TAGS = {
    "user_kubernetes_io_created_for_pvc_name": "user:kubernetes.io/created-for/pvc/name",
    "user_kubernetes_io_created_for_pvc_namespace": (
        "user:kubernetes.io/created-for/pvc/namespace"
    ),
    "user_kubernetes_io_cluster_prod_eu": "user:kubernetes.io/cluster/prod-eu",
    "user_kubernetes_cluster": "user:KubernetesCluster",
    "user_elbv2_k8s_aws_cluster": "user:elbv2.k8s.aws/cluster",
    "user_service_k8s_aws_stack": "user:service.k8s.aws/stack",
    "user_ingress_k8s_aws_stack": "user:ingress.k8s.aws/stack",
    "user_ingress_k8s_aws_cluster": "user:ingress.k8s.aws/cluster",
    "user_kubernetes_io_cluster_prod_east": "user:kubernetes.io/cluster/Prod-East",
    "user_kubernetes_io_cluster_old": "user:kubernetes.io/cluster/old",
    "user_kubernetes_io_cluster_name": "user:kubernetes.io/cluster-name",
    "user_kubernetes_io_service_name": "user:kubernetes.io/service-name",
    "user_kubernetes_io_namespace": "user:kubernetes.io/namespace",
    "user_kubernetes_io_ingress_name": "user:kubernetes.io/ingress-name",
    "aws_eks_cluster_name": "aws:eks:cluster-name",
}
"""Tags as CUR 2.0 spells them, and as a legacy report does."""

_MONEY = {
    "line_item_unblended_cost": "unblended",
    "line_item_net_unblended_cost": "net_unblended",
    "pricing_public_on_demand_cost": "public",
    "reservation_effective_cost": "reservation_effective",
    "reservation_net_effective_cost": "reservation_net_effective",
    "reservation_unused_amortized_upfront_fee_for_billing_period": "unused_upfront",
    "reservation_unused_recurring_fee": "unused_recurring",
    "reservation_net_unused_amortized_upfront_fee_for_billing_period": "net_unused_upfront",
    "reservation_net_unused_recurring_fee": "net_unused_recurring",
    "savings_plan_savings_plan_effective_cost": "savings_plan_effective",
    "savings_plan_net_savings_plan_effective_cost": "savings_plan_net_effective",
    "savings_plan_total_commitment_to_date": "commitment",
    "savings_plan_used_commitment": "used_commitment",
}


def _with_effective(line: dict[str, Any]) -> dict[str, Any]:
    if "effective" not in line:
        return line
    kind = "reservation" if line["type"] == "DiscountedUsage" else "savings_plan"
    return line | {f"{kind}_effective": line["effective"]}


def write_cur2(
    world: World,
    root: Path,
    payers: list[str] | None = None,
    without: Collection[str] = (),
) -> None:
    """Write CUR 2.0 as Parquet in the overwrite layout, in two files.

    ``without`` are columns that its customer did not choose.
    """
    lines = [_with_effective(line) for line in world.lines]
    rows = [_cur2_row(line) for line in lines if not payers or line["payer"] in payers]
    rows = [{k: v for k, v in row.items() if k not in without} for row in rows]
    strings = [
        name
        for name, value in rows[0].items()
        if name not in _MONEY and not _is_typed(value)
    ]
    schema = pa.schema(
        [
            (
                name,
                pa.float64()
                if name in _MONEY or name == "line_item_usage_amount"
                else pa.map_(pa.string(), pa.string())
                if name in ("product", "resource_tags")
                else pa.string()
                if name in strings
                or name.startswith(("product_", "line_item_resource", "split_line_item"))
                else pa.timestamp("ms"),
            )
            for name in rows[0]
        ]
    )
    maps = [
        row | {k: list(row[k].items()) for k in ("product", "resource_tags")}
        for row in rows
    ]
    period = f"BILLING_PERIOD={world.lines[0]['start']:%Y-%m}"
    data = root / "export" / "data" / period
    data.mkdir(parents=True)
    half = len(maps) // 2
    names = []
    for number, part in enumerate((maps[:half], maps[half:]), start=1):
        name = f"export-{number:05d}.snappy.parquet"
        pq.write_table(pa.Table.from_pylist(part, schema=schema), data / name)
        names.append(f"s3://bucket/prefix/export/data/{period}/{name}")
    metadata = root / "export" / "metadata" / period
    metadata.mkdir(parents=True)
    (metadata / "export-Manifest.json").write_text(json.dumps({"dataFiles": names}))


def _is_typed(value: object) -> bool:
    return isinstance(value, dt.datetime | float | dict)


def write_legacy(
    world: World,
    root: Path,
    payers: list[str] | None = None,
    more: dict[str, str] | None = None,
) -> None:
    """Write a legacy report as csv.gz in the create-new layout.

    ``more`` are columns beside the usual ones, with what of a line they hold.
    """
    columns = {
        "identity/LineItemId": "identity_line_item_id",
        "identity/TimeInterval": "identity_time_interval",
        "bill/PayerAccountId": "bill_payer_account_id",
        "bill/BillingPeriodStartDate": "bill_billing_period_start_date",
        "bill/BillingPeriodEndDate": "bill_billing_period_end_date",
        "lineItem/UsageAccountId": "line_item_usage_account_id",
        "lineItem/LineItemType": "line_item_line_item_type",
        "lineItem/UsageStartDate": "line_item_usage_start_date",
        "lineItem/UsageEndDate": "line_item_usage_end_date",
        "lineItem/ProductCode": "line_item_product_code",
        "lineItem/UsageType": "line_item_usage_type",
        "lineItem/Operation": "line_item_operation",
        "lineItem/ResourceId": "line_item_resource_id",
        "lineItem/CurrencyCode": "line_item_currency_code",
        "lineItem/UsageAmount": "line_item_usage_amount",
        "product/productFamily": "product_product_family",
        "product/instanceType": "product_instance_type",
        "product/regionCode": "product_region_code",
        "resourceTags/user:Team": None,
        "reservation/ReservationARN": "reservation_reservation_a_r_n",
        "lineItem/UnblendedCost": "unblended",
        "pricing/publicOnDemandCost": "public",
        "reservation/EffectiveCost": "reservation_effective",
        "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "unused_upfront",
        "reservation/UnusedRecurringFee": "unused_recurring",
        "savingsPlan/SavingsPlanEffectiveCost": "savings_plan_effective",
        "savingsPlan/TotalCommitmentToDate": "commitment",
        "savingsPlan/UsedCommitment": "used_commitment",
        **(more or {}),
    }
    tags = sorted({key for line in world.lines for key in line.get("tags", {})})
    columns |= {f"resourceTags/{_TAGS[key]}": key for key in tags if key in _TAGS}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for line in map(_with_effective, world.lines):
        if payers and line["payer"] not in payers:
            continue
        row = _cur2_row(line)
        cells = []
        for heading, name in columns.items():
            if name is None:
                cells.append(row["resource_tags"]["user_team"])
            elif name in _TAGS:
                cells.append(row["resource_tags"].get(name, ""))
            elif name in _MONEY.values():
                cells.append(line.get(name, ""))
            elif heading == "lineItem/UsageAmount":
                cells.append(line["usage"])
            else:
                value = row[name]
                is_time = isinstance(value, dt.datetime)
                cells.append(f"{value:%Y-%m-%dT%H:%M:%SZ}" if is_time else value or "")
        writer.writerow(cells)
    period = root / "report" / "20261001-20261101"
    assembly = period / "0a1b2c3d-assembly"
    assembly.mkdir(parents=True)
    with gzip.open(
        assembly / "report-1.csv.gz", "wt", encoding="utf-8", newline=""
    ) as file:
        file.write(text.getvalue())
    manifest = {
        "assemblyId": "0a1b2c3d-assembly",
        "billingPeriod": {"start": "20261001T000000.000Z", "end": "20261101T000000.000Z"},
        "bucket": "bucket",
        "reportName": "report",
        "compression": "GZIP",
        "contentType": "text/csv",
        "reportKeys": ["prefix/report/20261001-20261101/0a1b2c3d-assembly/report-1.csv.gz"],
    }
    for folder in (period, assembly):
        (folder / "report-Manifest.json").write_text(json.dumps(manifest))


# ------------------------------------------------------- as an inventory writes its files


def write_pods(
    world: World, root: Path, file_format: str = "parquet", shuffle: int | None = None
) -> None:
    """Write pod-hours (and, as Parquet, node-hours) in one of the file source's formats."""
    root.mkdir(parents=True)
    pods = list(world.pods)
    if shuffle is not None:
        random.Random(shuffle).shuffle(pods)
    if file_format == "parquet":
        text, number, whole = pa.string(), pa.float64(), pa.int64()
        kinds = {"usage_hour": pa.timestamp("us", "UTC"), "bound_seconds": whole}
        kinds |= dict.fromkeys(
            (n for n in pods[0] if n.endswith(("_used", "_requested", "_gib"))), number
        )
        kinds |= {
            "accelerators_requested": pa.map_(text, number),
            "labels": pa.map_(text, text),
        }
        schema = pa.schema([(name, kinds.get(name, text)) for name in pods[0]])
        rows = [
            pod | {k: list(pod[k].items()) for k in ("accelerators_requested", "labels")}
            for pod in pods
        ]
        pq.write_table(
            pa.Table.from_pylist(rows, schema=schema), root / "pod_hours.parquet"
        )
        return
    rows = [pod | {"usage_hour": f"{pod['usage_hour']:%Y-%m-%dT%H:%M:%SZ}"} for pod in pods]
    if file_format == "ndjson":
        with gzip.open(root / "pod_hours.ndjson.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    with (root / "pod_hours.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(
                "" if v is None else json.dumps(v) if isinstance(v, dict) else v
                for v in row.values()
            )
