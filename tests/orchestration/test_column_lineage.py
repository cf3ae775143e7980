"""What the columns of models are made from, as Dagster tells it: back to the lake."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from orchestration.definitions import defs
from orchestration.engines.dbt.lineage import trace_columns
from orchestration.engines.dbt.project import manifest_path

SPECS = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
LINEAGES = {
    key: spec.metadata["dagster/column_lineage"].deps_by_column
    for key, spec in SPECS.items()
    if "dagster/column_lineage" in spec.metadata
}
MODELS = sorted(key for key, spec in SPECS.items() if spec.kinds & {"view", "table"})
MARTS = [key for key in MODELS if key.path[0].startswith(("fct_", "rpt_", "cur_"))]

Place = tuple[str, str]


def beginnings(asset: str, column: str) -> set[Place]:
    """Where a column comes from in the end: columns that no model makes."""
    key = dg.AssetKey(asset.split("/"))
    if key not in LINEAGES:
        return {(asset, column)}
    return {
        place
        for dep in LINEAGES[key][column]
        for place in beginnings(dep.asset_key.to_user_string(), dep.column_name)
    }


@pytest.mark.parametrize("key", MODELS, ids=lambda key: key.to_user_string())
def test_every_column_of_a_model_is_traced_to_columns_of_what_it_reads(
    key: dg.AssetKey,
) -> None:
    spec = SPECS[key]
    columns = [one.name for one in spec.metadata["dagster/column_schema"].columns]
    assert list(LINEAGES[key]) == columns
    read = {dep.asset_key for dep in spec.deps}
    for deps in LINEAGES[key].values():
        for dep in deps:
            assert dep.asset_key in read
            schema = SPECS[dep.asset_key].metadata["dagster/column_schema"]
            assert dep.column_name in {one.name for one in schema.columns}


def test_every_column_of_a_mart_is_made_from_something_but_for_its_constants() -> None:
    from_nothing = {
        f"{key.to_user_string()}.{column}"
        for key in MARTS
        for column, deps in LINEAGES[key].items()
        if not deps
    }
    assert from_nothing == {
        "fct_close_controls.control",
        "fct_close_controls.severity",
        "fct_split_line_items.line_item_product_code",
        "rpt_month_totals.cost_basis",
    }


@pytest.mark.parametrize(
    ("asset", "column", "expected"),
    [
        (
            "fct_split_line_items",
            "split_line_item_split_cost",
            {
                ("pod_costs", f"{resource}_amortized_split_usd")
                for resource in ("accelerator", "vcpu", "memory", "storage")
            },
        ),
        (
            "rpt_month_by_namespace",
            "net_amortized_idle_usd",
            {("charges", "charge_type"), ("charges", "net_amortized_usd")},
        ),
        (
            "int_bill_lines__costed",
            "amortized_usd",
            {
                ("raw/bill_lines", column)
                for column in (
                    "capacity_reservation_capacity_reservation_arn",
                    "line_item_line_item_type",
                    "line_item_resource_id",
                    "line_item_unblended_cost",
                    "reservation_effective_cost",
                    "reservation_reservation_a_r_n",
                    "reservation_unused_amortized_upfront_fee_for_billing_period",
                    "reservation_unused_recurring_fee",
                    "savings_plan_savings_plan_effective_cost",
                    "savings_plan_total_commitment_to_date",
                    "savings_plan_used_commitment",
                )
            },
        ),
        (
            "int_capacity_blocks__known",
            "amortized_usd",
            {("raw/capacity_block_fees", "unblended_usd")},
        ),
        ("stg_k8s__pod_hours", "pod_uid", {("raw/pod_hours", "pod_uid")}),
    ],
)
def test_a_column_leads_back_to_where_it_was_written(
    asset: str, column: str, expected: set[Place]
) -> None:
    assert beginnings(asset, column) == expected


def test_a_model_that_cannot_be_followed_takes_no_other_one_with_it() -> None:
    manifest: dict[str, Any] = json.loads(manifest_path().read_bytes())
    before = trace_columns(manifest)
    manifest["nodes"]["model.podledger.int_node_hours"]["compiled_code"] = "select from ("
    after = trace_columns(manifest)
    assert before["model.podledger.int_node_hours"]
    assert after == {**before, "model.podledger.int_node_hours": {}}
