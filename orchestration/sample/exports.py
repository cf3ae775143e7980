"""AWS's layouts of bill exports: lines in the normal form, written as AWS delivers them.

Holds CUR 2.0 as Parquet and the legacy Cost and Usage Report as gzipped CSV, each with its
manifest, overwriting or as a new delivery. The normal form is in ``lines.py``.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.lake.months import Month
from orchestration.sample.files import write_csv_gzip
from orchestration.sample.world import hex_id

_TEXT = pa.string()
_TIME = pa.timestamp("ms", "UTC")
_NUMBER = pa.float64()

_GROUPS = {
    "bill": "bill_type billing_entity billing_period_end_date billing_period_start_date"
    " invoice_id invoicing_entity payer_account_id payer_account_name",
    "capacity_reservation": "capacity_reservation_arn capacity_reservation_status"
    " capacity_reservation_type",
    "discount": "bundled_discount total_discount",
    "identity": "line_item_id time_interval",
    "line_item": "availability_zone blended_cost blended_rate currency_code legal_entity"
    " line_item_description line_item_type net_unblended_cost net_unblended_rate"
    " normalization_factor normalized_usage_amount operation product_code resource_id"
    " tax_type unblended_cost unblended_rate usage_account_id usage_account_name"
    " usage_amount usage_end_date usage_start_date usage_type",
    "pricing": "currency lease_contract_length offering_class public_on_demand_cost"
    " public_on_demand_rate purchase_option rate_code rate_id term unit",
    "product": "comment fee_code fee_description from_location from_location_type"
    " from_region_code instance_family instance_type instancesku location location_type"
    " operation pricing_unit product_family region_code servicecode sku to_location"
    " to_location_type to_region_code usagetype",
    "reservation": "amortized_upfront_cost_for_usage"
    " amortized_upfront_fee_for_billing_period availability_zone effective_cost end_time"
    " modification_status net_amortized_upfront_cost_for_usage"
    " net_amortized_upfront_fee_for_billing_period net_effective_cost"
    " net_recurring_fee_for_usage net_unused_amortized_upfront_fee_for_billing_period"
    " net_unused_recurring_fee net_upfront_value normalized_units_per_reservation"
    " number_of_reservations recurring_fee_for_usage reservation_a_r_n start_time"
    " subscription_id total_reserved_normalized_units total_reserved_units"
    " units_per_reservation unused_amortized_upfront_fee_for_billing_period"
    " unused_normalized_unit_quantity unused_quantity unused_recurring_fee upfront_value",
    "savings_plan": "amortized_upfront_commitment_for_billing_period end_time"
    " instance_type_family net_amortized_upfront_commitment_for_billing_period"
    " net_recurring_commitment_for_billing_period net_savings_plan_effective_cost"
    " offering_type payment_option purchase_term recurring_commitment_for_billing_period"
    " region savings_plan_a_r_n savings_plan_effective_cost savings_plan_rate start_time"
    " total_commitment_to_date used_commitment",
}
"""Column groups of CUR 2.0; a column is ``<group>_<name>``. Maps come beside them."""

CUR2_COLUMNS = {
    **{
        f"{group}_{name}": _TEXT
        for group, names in _GROUPS.items()
        for name in names.split()
    },
    **dict.fromkeys(
        (
            "bill_billing_period_start_date",
            "bill_billing_period_end_date",
            "line_item_usage_start_date",
            "line_item_usage_end_date",
        ),
        _TIME,
    ),
    **dict.fromkeys(
        (
            "discount_bundled_discount",
            "discount_total_discount",
            "line_item_blended_cost",
            "line_item_net_unblended_cost",
            "line_item_normalization_factor",
            "line_item_normalized_usage_amount",
            "line_item_unblended_cost",
            "line_item_usage_amount",
            "pricing_public_on_demand_cost",
            "reservation_amortized_upfront_cost_for_usage",
            "reservation_amortized_upfront_fee_for_billing_period",
            "reservation_effective_cost",
            "reservation_net_amortized_upfront_cost_for_usage",
            "reservation_net_amortized_upfront_fee_for_billing_period",
            "reservation_net_effective_cost",
            "reservation_net_recurring_fee_for_usage",
            "reservation_net_unused_amortized_upfront_fee_for_billing_period",
            "reservation_net_unused_recurring_fee",
            "reservation_net_upfront_value",
            "reservation_recurring_fee_for_usage",
            "reservation_unused_amortized_upfront_fee_for_billing_period",
            "reservation_unused_normalized_unit_quantity",
            "reservation_unused_quantity",
            "reservation_unused_recurring_fee",
            "reservation_upfront_value",
            "savings_plan_amortized_upfront_commitment_for_billing_period",
            "savings_plan_net_amortized_upfront_commitment_for_billing_period",
            "savings_plan_net_recurring_commitment_for_billing_period",
            "savings_plan_net_savings_plan_effective_cost",
            "savings_plan_recurring_commitment_for_billing_period",
            "savings_plan_savings_plan_effective_cost",
            "savings_plan_total_commitment_to_date",
            "savings_plan_used_commitment",
        ),
        _NUMBER,
    ),
    "cost_category": pa.map_(_TEXT, _TEXT),
    "discount": pa.map_(_TEXT, _NUMBER),
    "product": pa.map_(_TEXT, _TEXT),
    "resource_tags": pa.map_(_TEXT, _TEXT),
}
"""All columns of CUR 2.0 and their types in Parquet. Every export has all of them; those of
capacity reservations come with ``INCLUDE_CAPACITY_RESERVATION_DATA``."""

_LEGACY_PASCAL = {"pricing_lease_contract_length", "pricing_offering_class"} | {
    f"pricing_{name}" for name in ("purchase_option", "rate_code", "rate_id")
}
_LEGACY_CATEGORIES = {
    "identity": "identity",
    "bill": "bill",
    "line_item": "lineItem",
    "product": "product",
    "pricing": "pricing",
    "reservation": "reservation",
    "savings_plan": "savingsPlan",
}
_NOT_LEGACY = {"bill_payer_account_name", "line_item_usage_account_name"}

BUCKET = "example-billing-exports"


def write_cur2(
    folder: Path,
    lines: pa.Table,
    *,
    export: str,
    month: Month,
    execution: str | None = None,
) -> None:
    """Write a month of a CUR 2.0 export as Parquet.

    Args:
        folder: The prefix; the export's own folder is made in it.
        lines: Lines in the normal form.
        export: Name of the export.
        month: The billing period.
        execution: ``<timestamp>-<execution id>`` of a new delivery that stands beside the
            earlier ones; None overwrites.
    """
    inside = f"{export}/data/BILLING_PERIOD={month.label}/"
    inside += f"{execution}/" if execution else ""
    table = _cur2_table(lines)
    # AWS writes several chunks; their order and sizes mean nothing.
    half = len(table) // 2
    names = []
    for number, chunk in enumerate((table.slice(0, half), table.slice(half)), start=1):
        names.append(f"{inside}{export}-{number:05d}.snappy.parquet")
        path = folder / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(chunk, path, compression="snappy")
    digits = hex_id(month, f"execution {export}", 32)
    manifest = {
        "exportName": export,
        "executionId": execution or str(uuid.UUID(hex=digits, version=4)),
        "bucket": BUCKET,
        "billingPeriod": _period(month),
        "contentType": "application/x-parquet",
        "compression": "Parquet",
        "columns": [
            {"name": name, "type": str(kind)} for name, kind in CUR2_COLUMNS.items()
        ],
        "dataFiles": [f"s3://{BUCKET}/{folder.name}/{name}" for name in names],
    }
    metadata = folder / export / "metadata" / f"BILLING_PERIOD={month.label}"
    _write_json(metadata / f"{export}-Manifest.json", manifest)
    if execution:
        _write_json(metadata / execution / f"{export}-Manifest.json", manifest)


def write_legacy(
    folder: Path, lines: pa.Table, *, report: str, month: Month, assembly: str | None = None
) -> None:
    """Write a month of a legacy Cost and Usage Report as gzipped CSV.

    Columns that no line has a value for are left out, as AWS does.

    Args:
        folder: The prefix; the report's own folder is made in it.
        lines: Lines in the normal form.
        report: Name of the report.
        month: The billing period.
        assembly: Id of a new delivery that stands beside the earlier ones and is the
            current one from now on; None overwrites.
    """
    period = f"{report}/{month.start:%Y%m%d}-{month.end:%Y%m%d}"
    inside = f"{period}/{assembly}" if assembly else period
    table = _legacy_table(lines)
    name = f"{inside}/{report}-00001.csv.gz"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv_gzip(path, table)
    digits = hex_id(month, f"assembly {report}", 32)
    manifest = {
        "assemblyId": assembly or str(uuid.UUID(hex=digits, version=4)),
        "account": lines["bill_payer_account_id"][0].as_py(),
        "columns": [
            {"category": column.partition("/")[0], "name": column.partition("/")[2]}
            for column in table.column_names
        ],
        "charset": "UTF-8",
        "compression": "GZIP",
        "contentType": "text/csv",
        "reportName": report,
        "billingPeriod": _period(month),
        "bucket": BUCKET,
        "reportKeys": [f"{folder.name}/{name}"],
    }
    _write_json(folder / period / f"{report}-Manifest.json", manifest)
    if assembly:
        _write_json(folder / inside / f"{report}-Manifest.json", manifest)


def _cur2_table(lines: pa.Table) -> pa.Table:
    columns = {}
    for name, kind in sorted(CUR2_COLUMNS.items()):
        if name not in lines.column_names:
            columns[name] = pa.nulls(len(lines), kind)
            continue
        codes = lines[name].combine_chunks()
        if name == "resource_tags":
            columns[name] = _recoded(codes, _with_tag_keys)
        elif name == "product":
            columns[name] = _recoded(codes, _without_columns)
        else:
            columns[name] = _recoded(codes, partial(pc.cast, target_type=kind))
    if "discount_total_discount" in lines.column_names:
        columns["discount"] = _discounts(columns["discount_total_discount"])
    product = lines["product"].combine_chunks()
    for name in CUR2_COLUMNS:
        key = name.removeprefix("product_")
        if key != name and name not in lines.column_names:
            columns[name] = _recoded(product, partial(_item, key=key))
    return pa.table(columns)


def _legacy_table(lines: pa.Table) -> pa.Table:
    columns = {}
    for name in CUR2_COLUMNS:
        if name in _NOT_LEGACY or name not in lines.column_names:
            continue
        legacy = legacy_name(name)
        if legacy is not None:
            columns[legacy] = lines[name].combine_chunks()
    for prefix, name, spelled in (
        ("product", "product", _camel),
        ("resourceTags", "resource_tags", str),
    ):
        codes = lines[name].combine_chunks()
        for key in sorted({key for row in codes.dictionary.to_pylist() for key, _ in row}):
            columns[f"{prefix}/{spelled(key)}"] = _recoded(codes, partial(_item, key=key))
    texts = {
        name: column.cast(_TEXT) if pa.types.is_dictionary(column.type) else column
        for name, column in columns.items()
        if column.null_count < len(column)
    }
    order = [*_LEGACY_CATEGORIES.values(), "resourceTags"]
    names = sorted(texts, key=lambda name: order.index(name.partition("/")[0]))
    return pa.table({name: texts[name] for name in names})


def cur2_tag_key(key: str) -> str:
    """CUR 2.0's spelling of a tag: ``aws:eks:cluster-name`` as ``aws_eks_cluster_name``."""
    return re.sub(r"[^a-z0-9]+", "_", key.lower())


def legacy_name(name: str) -> str | None:
    """The legacy CSV's spelling of a column of CUR 2.0; None if it has no such column."""
    for group, category in _LEGACY_CATEGORIES.items():
        if name.startswith(f"{group}_"):
            words = name.removeprefix(f"{group}_").split("_")
            pascal = "".join(word[:1].upper() + word[1:] for word in words)
            is_camel = group in ("pricing", "product") and name not in _LEGACY_PASCAL
            return f"{category}/{pascal[:1].lower() + pascal[1:] if is_camel else pascal}"
    return None


def _camel(key: str) -> str:
    # The one product attribute that AWS writes with a capital.
    if key == "product_name":
        return "ProductName"
    first, *others = key.split("_")
    return first + "".join(word.capitalize() for word in others)


def _recoded(codes: pa.Array, of: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Apply a function to each distinct value only."""
    if not pa.types.is_dictionary(codes.type):
        return of(codes)
    return of(codes.dictionary).take(codes.indices)


def _item(maps: pa.MapArray, key: str) -> pa.Array:
    return pa.array([dict(row).get(key) for row in maps.to_pylist()], _TEXT)


def _with_tag_keys(maps: pa.MapArray) -> pa.MapArray:
    renamed = [
        [(cur2_tag_key(key), value) for key, value in row] for row in maps.to_pylist()
    ]
    return pa.array(renamed, maps.type)


def _without_columns(maps: pa.MapArray) -> pa.MapArray:
    """Attributes that have no column of their own."""
    kept = [
        [(key, value) for key, value in row if f"product_{key}" not in CUR2_COLUMNS]
        for row in maps.to_pylist()
    ]
    return pa.array(kept, maps.type)


def _discounts(totals: pa.Array) -> pa.MapArray:
    """One entry where there is a discount, an empty map elsewhere."""
    present = totals.is_valid()
    counts = pc.cumulative_sum(present.cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), counts])
    items = totals.drop_null()
    return pa.MapArray.from_arrays(offsets, pa.array(["edp_discount"] * len(items)), items)


def _period(month: Month) -> dict[str, str]:
    return {
        "start": f"{month.start:%Y%m%dT%H%M%S.000Z}",
        "end": f"{month.end:%Y%m%dT%H%M%S.000Z}",
    }


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
