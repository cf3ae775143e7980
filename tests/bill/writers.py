"""Writes bills as AWS lays them out, by hand: a few lines, every layout, and damage.

Lines are dicts with the names of CUR 2.0; text stands for every scalar. What a legacy
report calls a column is spelled out here and not derived, so that the reader's rule is
held against AWS's names.
"""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Line = dict[str, Any]

PERIOD = "20261001-20261101"

LEGACY_NAMES = {
    "identity_line_item_id": "identity/LineItemId",
    "identity_time_interval": "identity/TimeInterval",
    "bill_payer_account_id": "bill/PayerAccountId",
    "bill_billing_period_start_date": "bill/BillingPeriodStartDate",
    "bill_billing_period_end_date": "bill/BillingPeriodEndDate",
    "line_item_usage_account_id": "lineItem/UsageAccountId",
    "line_item_line_item_type": "lineItem/LineItemType",
    "line_item_usage_start_date": "lineItem/UsageStartDate",
    "line_item_usage_end_date": "lineItem/UsageEndDate",
    "line_item_product_code": "lineItem/ProductCode",
    "line_item_usage_type": "lineItem/UsageType",
    "line_item_operation": "lineItem/Operation",
    "line_item_resource_id": "lineItem/ResourceId",
    "line_item_usage_amount": "lineItem/UsageAmount",
    "line_item_currency_code": "lineItem/CurrencyCode",
    "line_item_unblended_cost": "lineItem/UnblendedCost",
    "line_item_net_unblended_cost": "lineItem/NetUnblendedCost",
    "pricing_public_on_demand_cost": "pricing/publicOnDemandCost",
    "reservation_effective_cost": "reservation/EffectiveCost",
    "reservation_reservation_a_r_n": "reservation/ReservationARN",
    "savings_plan_savings_plan_effective_cost": "savingsPlan/SavingsPlanEffectiveCost",
    "savings_plan_savings_plan_a_r_n": "savingsPlan/SavingsPlanARN",
    "split_line_item_parent_resource_id": "splitLineItem/ParentResourceId",
    "split_line_item_split_usage_ratio": "splitLineItem/SplitUsageRatio",
    "split_line_item_split_cost": "splitLineItem/SplitCost",
    "product_instance_type": "product/instanceType",
    "product_product_family": "product/productFamily",
    "product_region_code": "product/regionCode",
    "line_item_blended_rate": "lineItem/BlendedRate",
}
LEGACY_PRODUCT = {
    "vcpu": "product/vcpu",
    "memory": "product/memory",
    "gpu": "product/gpu",
    "product_name": "product/ProductName",
    "physical_processor": "product/physicalProcessor",
}
LEGACY_TAGS = {
    "user_team": "resourceTags/user:Team",
    "user_cost_center": "resourceTags/user:CostCenter",
    "aws_eks_cluster_name": "resourceTags/aws:eks:cluster-name",
    "aws_created_by": "resourceTags/aws:createdBy",
}


def line(**changes: Any) -> Line:
    """An On-Demand instance-hour, changed as the arguments say; None is no column."""
    usual: Line = {
        "identity_line_item_id": "abc",
        "identity_time_interval": "2026-10-05T07:00:00Z/2026-10-05T08:00:00Z",
        "bill_payer_account_id": "012345678901",
        "bill_billing_period_start_date": "2026-10-01T00:00:00Z",
        "bill_billing_period_end_date": "2026-11-01T00:00:00Z",
        "line_item_usage_account_id": "111111111111",
        "line_item_line_item_type": "Usage",
        "line_item_usage_start_date": "2026-10-05T07:00:00Z",
        "line_item_usage_end_date": "2026-10-05T08:00:00Z",
        "line_item_product_code": "AmazonEC2",
        "line_item_usage_type": "BoxUsage:g5.xlarge",
        "line_item_operation": "RunInstances",
        "line_item_resource_id": "i-0123456789abcdef0",
        "line_item_usage_amount": "1",
        "line_item_currency_code": "USD",
        "line_item_unblended_cost": "1.006",
        "pricing_public_on_demand_cost": "1.006",
        "product_instance_type": "g5.xlarge",
        "product_product_family": "Compute Instance",
        "product_region_code": "us-east-1",
        "product": {"vcpu": "4", "memory": "16 GiB", "gpu": "1"},
        "resource_tags": {"user_team": "search", "aws_eks_cluster_name": "prod"},
    }
    return {name: cell for name, cell in (usual | changes).items() if cell is not None}


def tax(**changes: Any) -> Line:
    """A line of the month that no resource carries."""
    return line(
        **{
            "line_item_line_item_type": "Tax",
            "line_item_usage_start_date": "2026-10-01T00:00:00Z",
            "line_item_usage_end_date": "2026-11-01T00:00:00Z",
            "line_item_operation": "",
            "line_item_resource_id": "",
            "line_item_unblended_cost": "0.1",
            "product_product_family": "",
            "product_instance_type": "",
            "product": {},
            "resource_tags": {},
        }
        | changes
    )


def scad(**changes: Any) -> Line:
    """One of AWS's own split rows."""
    return line(
        **{
            "line_item_product_code": "AmazonEKS",
            "line_item_operation": "EKSPod-EC2",
            "line_item_usage_type": "USE1-EKS-EC2-vCPU-Hours",
            "line_item_resource_id": "arn:aws:eks:us-east-1:111111111111:pod/prod/ml/a/b",
            "line_item_unblended_cost": "0",
            "split_line_item_parent_resource_id": "i-0123456789abcdef0",
            "split_line_item_split_usage_ratio": "0.25",
            "split_line_item_split_cost": "0.2515",
        }
        | changes
    )


def legacy_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a legacy CSV: a column for each attribute and tag."""
    rows = []
    for one in lines:
        row = {
            LEGACY_NAMES[name]: cell for name, cell in one.items() if name in LEGACY_NAMES
        }
        row |= {LEGACY_PRODUCT[key]: item for key, item in one.get("product", {}).items()}
        row |= {
            LEGACY_TAGS[key]: item for key, item in one.get("resource_tags", {}).items()
        }
        rows.append(row)
    header = list(dict.fromkeys(name for row in rows for name in row))
    return header, [[row.get(name, "") for name in header] for row in rows]


def athena_rows(lines: Sequence[Line]) -> list[Line]:
    """Rows with Athena's names: a column for each attribute and tag."""
    rows = []
    for one in lines:
        row = dict(one)
        row |= {f"product_{key}": item for key, item in row.pop("product", {}).items()}
        tags = row.pop("resource_tags", {})
        rows.append(row | {f"resource_tags_{key}": item for key, item in tags.items()})
    return rows


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def cur2_csv(lines: Sequence[Line]) -> bytes:
    """CUR 2.0 as CSV: maps are JSON."""
    header = list(dict.fromkeys(name for one in lines for name in one))
    return csv_text(
        header,
        [
            [
                json.dumps(cell) if isinstance(cell := one.get(name, ""), dict) else cell
                for name in header
            ]
            for one in lines
        ],
    )


def parquet(lines: Sequence[Line], types: dict[str, pa.DataType] | None = None) -> bytes:
    """Parquet as AWS types it: costs and amounts as doubles, moments in milliseconds.

    Args:
        lines: Lines; maps as dicts.
        types: Columns that are of another type here.
    """
    header = list(dict.fromkeys(name for one in lines for name in one))
    columns = {}
    for name in header:
        kind = (types or {}).get(name) or _type_of(name)
        cells = [_as_type(one.get(name), kind) for one in lines]
        columns[name] = pa.array(cells, kind)
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _type_of(name: str) -> pa.DataType:
    if name in ("product", "resource_tags"):
        return pa.map_(pa.string(), pa.string())
    if name.endswith("_date"):
        return pa.timestamp("ms", "UTC")
    if name.endswith(("_cost", "_amount")):
        return pa.float64()
    return pa.string()


def _as_type(cell: Any, kind: pa.DataType) -> Any:
    if cell is None or (cell == "" and not pa.types.is_string(kind)):
        return None
    if pa.types.is_timestamp(kind) and isinstance(cell, str):
        return datetime.fromisoformat(cell).astimezone(UTC)
    if pa.types.is_map(kind):
        return list(cell.items())
    if pa.types.is_floating(kind):
        return float(cell)
    return int(cell) if pa.types.is_integer(kind) else cell


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def legacy(
    root: Path,
    *files: Sequence[Line],
    assembly: str | None = None,
    packing: str = "gz",
    report: str = "cur",
    bucket: str = "billing",
) -> list[Path]:
    """A legacy report in CSV: create-new below ``assembly``, else overwrite."""
    contents = []
    for number, lines in enumerate(files, 1):
        text = csv_text(*legacy_rows(lines))
        name = f"{report}-{number}.csv"
        packed = gzip.compress(text, mtime=0) if packing == "gz" else zipped(name, text)
        contents.append((f"{name}.{packing}", packed))
    return legacy_files(root, contents, assembly=assembly, report=report, bucket=bucket)


def legacy_files(
    root: Path,
    contents: Sequence[tuple[str, bytes]],
    *,
    assembly: str | None = None,
    report: str = "cur",
    bucket: str = "billing",
    keys: Sequence[str] | None = None,
) -> list[Path]:
    """A legacy report of these files, named by its manifest, below ``root``/report."""
    place = f"{PERIOD}/{assembly}/" if assembly else f"{PERIOD}/"
    manifest = json.dumps(
        {
            "assemblyId": assembly or "0f-overwritten",
            "billingPeriod": {
                "start": "20261001T000000.000Z",
                "end": "20261101T000000.000Z",
            },
            "bucket": bucket,
            "reportName": report,
            "reportKeys": keys or [f"pre/{report}/{place}{name}" for name, _ in contents],
        }
    )
    put(root / report / PERIOD / f"{report}-Manifest.json", manifest)
    return [put(root / report / place / name, content) for name, content in contents]


def cur2(
    root: Path,
    *files: Sequence[Line],
    packing: str = "parquet",
    execution: str | None = None,
    export: str = "exp",
    types: dict[str, pa.DataType] | None = None,
) -> list[Path]:
    """A CUR 2.0 export, in Parquet or ``csv.gz``."""
    contents = []
    for number, lines in enumerate(files, 1):
        if packing == "parquet":
            name, content = f"{export}-{number:05d}.snappy.parquet", parquet(lines, types)
        else:
            name = f"{export}-{number:05d}.csv.gz"
            content = gzip.compress(cur2_csv(lines), mtime=0)
        contents.append((name, content))
    return cur2_files(root, contents, execution=execution, export=export)


def cur2_files(
    root: Path,
    contents: Sequence[tuple[str, bytes]],
    *,
    execution: str | None = None,
    export: str = "exp",
    keys: Sequence[str] | None = None,
) -> list[Path]:
    """A CUR 2.0 export of these files, named by its manifest, below ``root``/export."""
    month = "BILLING_PERIOD=2026-10"
    place = f"data/{month}/{execution}/" if execution else f"data/{month}/"
    manifest = json.dumps(
        {
            "executionId": execution,
            "dataFiles": keys
            or [f"s3://billing/pre/{export}/{place}{n}" for n, _ in contents],
        }
    )
    name = f"{export}-Manifest.json"
    put(root / export / "metadata" / month / name, manifest)
    if execution:
        put(root / export / "metadata" / month / execution / name, manifest)
    return [put(root / export / place / name, content) for name, content in contents]


def athena(root: Path, *files: Sequence[Line], report: str = "cur") -> list[Path]:
    """Legacy Parquet in Athena's folders, without a manifest."""
    folder = root / report / report / "year=2026" / "month=10"
    return [
        put(folder / f"{report}-{number:05d}.snappy.parquet", parquet(athena_rows(lines)))
        for number, lines in enumerate(files, 1)
    ]
