"""The split as Dagster assets: node-hours in SQL, then pods in the compiled kernel.

The SQL says what each resource of each node-hour costs, in every version of the method;
``pod_costs`` apportions it among the pods by the version that the month is closed with.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.engines.dbt.build import build_models
from orchestration.engines.dbt.project import (
    discard_old_warehouse,
    manifest_path,
    source_schema,
)
from orchestration.engines.dbt.translator import Translator
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.engines.metadata import Metadata, money, table
from orchestration.engines.partitions import billing_months, month_of, one_month_a_run
from orchestration.inventory.assets import NODE_HOURS, POD_HOURS
from orchestration.lake.figures import UNKNOWN
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import SHOWN_BASIS
from orchestration.lake.settings import METHODS, Settings
from orchestration.split.capacities import require_capacities
from orchestration.split.engines import engine_of
from orchestration.split.overview import read_node_hours
from orchestration.split.requests import write_equivalents

FARGATE = dg.AssetKey("int_fargate_pod_hours")

WEIGHED = [dg.AssetKey(f"int_node_hours__weighed_v{version}") for version in METHODS]


@dbt_assets(
    manifest=manifest_path(),
    select="resource_type:seed fqn:podledger.staging fqn:podledger.intermediate.node_hours"
    " fqn:podledger.intermediate.fargate",
    exclude="fqn:podledger.staging.org.stg_org__policy",
    name="node_hour_models",
    dagster_dbt_translator=Translator(),
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def node_hour_models(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Any]:
    """From bill lines to what each resource of each node-hour costs."""
    month = month_of(context)
    discard_old_warehouse(settings)
    yield from build_models(
        context,
        dbt,
        settings,
        show=lambda: {"int_node_hours": _of_node_hours(settings, month)},
        shown={"int_node_hours"},
    )


def _of_node_hours(settings: Settings, month: Month) -> Metadata:
    found = read_node_hours(settings.warehouse, month)
    return {
        **money(amortized_usd=found.amortized_usd),
        "dagster/row_count": dg.MetadataValue.int(found.row_count),
        "instances": dg.MetadataValue.int(found.instance_count),
        "instance_types": table(
            ("instance type", "instances", "node-hours", "amortized USD"),
            [(*row, UNKNOWN if usd is None else usd) for *row, usd in found.by_type],
        ),
    }


@dg.asset(
    description="What each accelerator request of the month counts as, in physical devices."
    " One row an instance type, sharing mode of the node, and request.",
    group_name="split",
    kinds={"python", "parquet"},
    owners=["team:platform"],
    metadata={"dagster/column_schema": source_schema("accelerator_equivalents")},
    deps=[*WEIGHED, POD_HOURS, NODE_HOURS],
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def accelerator_equivalents(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    """Resolve whole, time-sliced, MIG and Neuron requests into devices."""
    month = month_of(context)
    require_capacities(settings.warehouse, month)
    lake = Lake(settings.home, settings.remote)
    rows = write_equivalents(settings.warehouse, lake, month)
    uri = str(lake.partition("accelerator_equivalents", month))
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "dagster/uri": uri})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "pod_costs",
            description="What each pod cost in each hour, by resource and cost basis, split"
            " and unused; on Fargate as billed. One row an instance, hour and pod.",
            kinds={"python", "numba", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("pod_costs")},
            deps=[*WEIGHED, FARGATE, POD_HOURS, dg.AssetKey("accelerator_equivalents")],
        ),
        dg.AssetSpec(
            "unallocated_costs",
            description="What no pod claimed, with the reason. One row an instance, hour"
            " and resource.",
            kinds={"python", "numba", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("unallocated_costs")},
            deps=[*WEIGHED, POD_HOURS, dg.AssetKey("accelerator_equivalents")],
        ),
    ],
    name="split",
    group_name="split",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def pod_costs(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult[None]]:
    """Apportion every node-hour among its pods, exactly."""
    month, lake = month_of(context), Lake(settings.home, settings.remote)
    split = engine_of(settings)(
        settings.warehouse,
        lake,
        month,
        settings.method,
        progress=context.log.info,
    )
    yield dg.MaterializeResult(
        asset_key="pod_costs",
        metadata={
            **money(pods_usd=split.pods_usd[SHOWN_BASIS]),
            "dagster/row_count": split.pod_hours,
            "dagster/uri": str(lake.partition("pod_costs", month)),
            "method_version": settings.method,
            "fargate_pod_hours": split.fargate_pod_hours,
            "node_hours": split.node_hours,
            "unknown_pod_hours": split.unknown_pod_hours,
        },
    )
    yield dg.MaterializeResult(
        asset_key="unallocated_costs",
        metadata={
            **money(unallocated_usd=split.unallocated_usd[SHOWN_BASIS]),
            "dagster/row_count": split.unallocated_rows,
            "dagster/uri": str(lake.partition("unallocated_costs", month)),
        },
    )
