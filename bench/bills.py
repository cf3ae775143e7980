"""A world to close: a month's bill and pod-hours, as AWS and an inventory deliver them.

Holds the bill of the nodes in ``worlds.py``: a CUR 2.0 export in Parquet, a file a day,
with one EC2 line a node-hour (On-Demand, Spot, Savings Plan, reservation), its EBS and
data transfer, and what is no node's: load balancers, S3, unused commitments, tax. Prices
are of the order of AWS's; the figures weigh nothing here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.worlds import (
    HOURS,
    MONTH,
    NODES,
    SEED,
    TYPES,
    Nodes,
    Pods,
    coded,
    folder_of,
    pod_hours,
)
from orchestration.sample.exports import CUR2_COLUMNS

_VERSION = 1
"""Raise when what follows changes, so that no kept world is taken for another."""

_EXPORT = "bench"
_MAP = pa.map_(pa.string(), pa.string())
_DAY_HOURS = 24
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_ON_DEMAND, _SPOT, _PLAN, _RESERVED = range(4)
_PLAN_ARN = "arn:aws:savingsplans::111122223333:savingsplan/bench"
_RESERVATION_ARN = "arn:aws:ec2:us-east-1:111122223333:reserved-instances/bench"

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Delivery:
    """What a close reads.

    Attributes:
        size: One of ``NODES``.
        folder: Holds ``bill/`` and ``pods/``.
    """

    size: str
    folder: Path

    @property
    def bill(self) -> Path:
        """Root of the export, which is a folder in it."""
        return self.folder / "bill"

    @property
    def pods(self) -> Path:
        """Pod-hours in the file contract, a file a day."""
        return self.folder / "pods"

    @property
    def line_count(self) -> int:
        """Lines of the bill."""
        return _rows(self.bill)

    @property
    def pod_hour_count(self) -> int:
        """Rows of the inventory."""
        return _rows(self.pods)


def ensure_delivery(home: Path, size: str, progress: Callable[[str], None]) -> Delivery:
    """Make bill and pods beneath ``home/bench/<size>-close`` unless they are there."""
    delivery = Delivery(size, folder_of(home, f"{size}-close"))
    done = delivery.folder / f"version-{_VERSION}"
    if not done.exists():
        shutil.rmtree(delivery.folder, ignore_errors=True)
        _make(delivery, progress)
        done.touch()
    return delivery


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))


def _make(delivery: Delivery, progress: Callable[[str], None]) -> None:
    count = NODES[delivery.size]
    draw = np.random.default_rng([SEED, count])
    nodes = Nodes.drawn(draw, count)
    pods = Pods.drawn(draw, nodes)
    data = delivery.bill / _EXPORT / "data" / f"BILLING_PERIOD={MONTH.label}"
    data.mkdir(parents=True)
    delivery.pods.mkdir()
    names = []
    for number, day in enumerate(MONTH.days):
        of_day = np.random.default_rng([SEED, count, number])
        table = pod_hours(nodes, pods, number, of_day)
        pq.write_table(table, delivery.pods / f"{day.isoformat()}.parquet")
        lines = _whole(_of_day(nodes, number, of_day), number)
        names.append(data / f"{_EXPORT}-{number + 1:05d}.snappy.parquet")
        pq.write_table(lines, names[-1])
        progress(f"making {delivery.size}: {day}, {len(lines):,} lines")
    metadata = delivery.bill / _EXPORT / "metadata" / f"BILLING_PERIOD={MONTH.label}"
    metadata.mkdir(parents=True)
    manifest = {
        "exportName": _EXPORT,
        "executionId": "00000000-0000-4000-8000-000000000000",
        "bucket": "bench",
        "billingPeriod": {
            "start": f"{MONTH.start:%Y%m%dT%H%M%S.000Z}",
            "end": f"{MONTH.end:%Y%m%dT%H%M%S.000Z}",
        },
        "contentType": "application/x-parquet",
        "compression": "Parquet",
        "columns": [{"name": name, "type": str(t)} for name, t in CUR2_COLUMNS.items()],
        "dataFiles": [
            f"s3://bench/{path.relative_to(delivery.folder).as_posix()}" for path in names
        ],
    }
    (metadata / f"{_EXPORT}-Manifest.json").write_text(json.dumps(manifest, indent=2))


@dataclass(frozen=True)
class _NodeHours:
    """n-long arrays: the node-hours of a day."""

    nodes: Nodes
    hour: NDArray[np.int64]
    node: NDArray[np.int64]
    usage: NDArray[np.float64]

    def only(self, chosen: NDArray[np.bool_]) -> _NodeHours:
        return _NodeHours(
            self.nodes, self.hour[chosen], self.node[chosen], self.usage[chosen]
        )

    @property
    def kind(self) -> NDArray[np.int64]:
        return self.nodes.kind[self.node]

    @property
    def paying(self) -> NDArray[np.int64]:
        return self.nodes.paying[self.node]

    @property
    def public_usd(self) -> NDArray[np.float64]:
        return np.array([row[5] for row in TYPES])[self.kind] * self.usage

    def lines(self, kind: str, *, per_type: bool = False, **constants: str) -> Columns:
        """Columns of lines that are these hours; ``{type}`` stands for the type's name."""
        rows = len(self.node)
        zero = np.zeros(rows, np.int64)
        columns = {name: coded(zero, [value]) for name, value in constants.items()}
        if per_type:
            usage_type = constants["line_item_usage_type"]
            names = [row[0] for row in TYPES]
            columns["line_item_usage_type"] = coded(
                self.kind, [usage_type.format(type=name) for name in names]
            )
            columns["product_instance_type"] = coded(self.kind, names)
            columns["product"] = _products().take(pa.array(self.kind))
        return columns | {
            "line_item_line_item_type": coded(zero, [kind]),
            "line_item_usage_account_id": coded(
                self.node % 4, [f"{n}" * 12 for n in range(5, 9)]
            ),
            "line_item_usage_start_date": _moments(self.hour),
            "line_item_usage_end_date": _moments(self.hour + 1),
            "resource_tags": _tags().take(pa.array(self.node % 2)),
        }


def _of_day(nodes: Nodes, day: int, draw: np.random.Generator) -> Iterator[Columns]:
    hours = np.arange(_DAY_HOURS * day, _DAY_HOURS * (day + 1))[:, None]
    hour, node = np.nonzero((nodes.first_hour <= hours) & (hours < nodes.last_hour))
    is_whole = draw.random(len(node)) < 0.97
    usage = np.where(is_whole, 1.0, draw.integers(60, 3600, len(node)) / 3600)
    all_hours = _NodeHours(nodes, hour + _DAY_HOURS * day, node, usage.round(10))
    yield from _instance_lines(all_hours)
    yield _volume_lines(all_hours)
    yield _transfer_lines(all_hours, draw)
    yield from _other_lines(all_hours, day, draw)


def _instance_lines(all_hours: _NodeHours) -> Iterator[Columns]:
    for paying, kind, prefix in (
        (_ON_DEMAND, "Usage", "BoxUsage"),
        (_SPOT, "Usage", "SpotUsage"),
        (_PLAN, "SavingsPlanCoveredUsage", "BoxUsage"),
        (_RESERVED, "DiscountedUsage", "BoxUsage"),
    ):
        chosen = all_hours.only(all_hours.paying == paying)
        public = chosen.public_usd
        rate = {_SPOT: 0.35, _RESERVED: 0.0}.get(paying, 1.0)
        columns = chosen.lines(
            kind,
            per_type=True,
            line_item_product_code="AmazonEC2",
            line_item_operation="RunInstances" if paying != _SPOT else "RunInstances:SV050",
            line_item_usage_type=f"{prefix}:{{type}}",
            product_product_family="Compute Instance",
        )
        columns["line_item_resource_id"] = coded(chosen.node, chosen.nodes.ids)
        columns["line_item_usage_amount"] = pa.array(chosen.usage)
        columns |= _money(public * rate, net=0.93, public=public)
        if paying == _PLAN:
            columns |= _effective(
                "savings_plan_{}savings_plan_effective_cost", 0.72 * public
            )
            columns["savings_plan_savings_plan_a_r_n"] = _same(_PLAN_ARN, len(public))
        if paying == _RESERVED:
            columns |= _effective("reservation_{}effective_cost", 0.62 * public)
            columns["reservation_reservation_a_r_n"] = _same(_RESERVATION_ARN, len(public))
        yield columns
        if paying == _PLAN:
            negation = chosen.lines(
                "SavingsPlanNegation",
                per_type=True,
                line_item_product_code="AmazonEC2",
                line_item_operation="RunInstances",
                line_item_usage_type="BoxUsage:{type}",
                product_product_family="Compute Instance",
            )
            negation["savings_plan_savings_plan_a_r_n"] = _same(_PLAN_ARN, len(public))
            yield negation | _money(-public, net=0.93)


def _volume_lines(all_hours: _NodeHours) -> Columns:
    columns = all_hours.lines(
        "Usage",
        line_item_product_code="AmazonEC2",
        line_item_operation="CreateVolume-Gp3",
        line_item_usage_type="EBS:VolumeUsage.gp3",
        product_product_family="Storage",
    )
    volumes = [f"vol-{name[2:]}" for name in all_hours.nodes.ids]
    columns["line_item_resource_id"] = coded(all_hours.node, volumes)
    amount = 100 / HOURS * all_hours.usage
    columns["line_item_usage_amount"] = pa.array(amount.round(10))
    return columns | _money(0.08 * amount, net=0.93, public=0.08 * amount)


def _transfer_lines(all_hours: _NodeHours, draw: np.random.Generator) -> Columns:
    columns = all_hours.lines(
        "Usage",
        line_item_product_code="AmazonEC2",
        line_item_operation="InterZone-Out",
        line_item_usage_type="DataTransfer-Regional-Bytes",
        product_product_family="Data Transfer",
    )
    columns["line_item_resource_id"] = coded(all_hours.node, all_hours.nodes.ids)
    amount = draw.lognormal(-2, 1, len(all_hours.node))
    columns["line_item_usage_amount"] = pa.array(amount.round(10))
    return columns | _money(0.01 * amount, net=0.93, public=0.01 * amount)


def _other_lines(
    all_hours: _NodeHours, day: int, draw: np.random.Generator
) -> Iterator[Columns]:
    """Load balancers and buckets, in a share of the hours; commitments, tax."""
    for product, operation, usage_type, family, share in (
        ("AWSELB", "LoadBalancing:Network", "LoadBalancerUsage", "Load Balancer", 0.1),
        ("AmazonS3", "GetObject", "Requests-Tier2", "API Request", 0.85),
    ):
        chosen = all_hours.only(draw.random(len(all_hours.node)) < share)
        columns = chosen.lines(
            "Usage",
            line_item_product_code=product,
            line_item_operation=operation,
            line_item_usage_type=usage_type,
            product_product_family=family,
        )
        resources = [f"{product.lower()}-{n}" for n in range(50)]
        columns["line_item_resource_id"] = coded(chosen.node % 50, resources)
        amount = draw.lognormal(0, 1, len(chosen.node))
        columns["line_item_usage_amount"] = pa.array(amount.round(10))
        yield columns | _money(0.0225 * amount, net=0.93, public=0.0225 * amount)
    plan = all_hours.only(all_hours.paying == _PLAN)
    used = np.bincount(plan.hour - _DAY_HOURS * day, 0.72 * plan.public_usd, _DAY_HOURS)
    hour = np.arange(_DAY_HOURS * day, _DAY_HOURS * (day + 1))
    fee = _NodeHours(
        all_hours.nodes, hour, np.zeros(_DAY_HOURS, np.int64), np.zeros(_DAY_HOURS)
    )
    columns = fee.lines(
        "SavingsPlanRecurringFee",
        line_item_product_code="ComputeSavingsPlans",
        line_item_usage_type="ComputeSP:1yrNoUpfront",
    )
    commitment: NDArray[np.float64] = (used * 1.02).round(10)
    columns["savings_plan_savings_plan_a_r_n"] = _same(_PLAN_ARN, _DAY_HOURS)
    columns["savings_plan_total_commitment_to_date"] = pa.array(commitment)
    columns["savings_plan_used_commitment"] = pa.array(used.round(10))
    yield columns | _money(commitment, net=0.93)
    if day == 0:
        tax = fee.only(fee.hour == 0).lines("Tax", line_item_product_code="AmazonEC2")
        yield tax | _money(np.array([1234.5]), net=1.0)


def _whole(parts: Iterator[Columns], day: int) -> pa.Table:
    """All columns of CUR 2.0, as AWS types them."""
    tables = []
    for part in parts:
        rows = len(part["line_item_line_item_type"])
        tables.append(
            pa.table(
                {
                    name: part[name].cast(kind) if name in part else pa.nulls(rows, kind)
                    for name, kind in CUR2_COLUMNS.items()
                }
            )
        )
    table = pa.concat_tables(tables).combine_chunks()
    rows = len(table)
    starts = table["line_item_usage_start_date"].combine_chunks()
    period = pa.scalar(MONTH.start), pa.scalar(MONTH.end)
    fixed: Mapping[str, pa.Array] = {
        "identity_line_item_id": pa.array(
            [f"{day:02d}{number:038x}" for number in range(rows)]
        ),
        "identity_time_interval": _intervals(starts),
        "bill_bill_type": _same("Anniversary", rows),
        "bill_billing_entity": _same("AWS", rows),
        "bill_payer_account_id": _same("111122223333", rows),
        "bill_billing_period_start_date": pa.repeat(period[0], rows),
        "bill_billing_period_end_date": pa.repeat(period[1], rows),
        "line_item_currency_code": _same("USD", rows),
        "product_region_code": _same("us-east-1", rows),
    }
    for name, column in fixed.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, column.cast(CUR2_COLUMNS[name]))
    return table


def _money(
    usd: NDArray[np.float64], *, net: float, public: NDArray[np.float64] | None = None
) -> Columns:
    columns = {
        "line_item_unblended_cost": pa.array(usd.round(10)),
        "line_item_net_unblended_cost": pa.array((net * usd).round(10)),
    }
    if public is not None:
        columns["pricing_public_on_demand_cost"] = pa.array(public.round(10))
    return columns


def _effective(column: str, usd: NDArray[np.float64]) -> Columns:
    return {
        column.format(""): pa.array(usd.round(10)),
        column.format("net_"): pa.array((0.93 * usd).round(10)),
    }


def _same(value: str, rows: int) -> pa.Array:
    return coded(np.zeros(rows, np.int64), [value])


def _moments(hour: NDArray[np.int64]) -> pa.Array:
    first = int(MONTH.start.timestamp()) * 1000
    return pa.array(first + hour.astype(np.int64) * 3_600_000).cast(
        pa.timestamp("ms", "UTC")
    )


def _intervals(starts: pa.Array) -> pa.Array:
    codes = starts.dictionary_encode()
    texts = [
        f"{start:{_STAMP}}/{start + timedelta(hours=1):{_STAMP}}"
        for start in codes.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(codes.indices, pa.array(texts))


def _products() -> pa.Array:
    return pa.array(
        [
            [("gpu", str(row[1])), ("memory", f"{row[4]} GiB"), ("vcpu", str(row[3]))]
            for row in TYPES
        ],
        _MAP,
    )


def _tags() -> pa.Array:
    return pa.array(
        [
            [("aws_eks_cluster_name", cluster), ("user_team", "platform")]
            for cluster in ("blue", "green")
        ],
        _MAP,
    )
