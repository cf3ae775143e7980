"""The split as Dagster assets: node-hours in SQL, then pods in the compiled kernel.

The SQL says what each resource of each node-hour costs, in every version of the method;
``pod_costs`` apportions it among the pods by the version that the month is closed with.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.dbt import (
    WAREHOUSE_POOL,
    Translator,
    build_models,
    discard_old_warehouse,
    manifest_path,
)
from orchestration.inventory.assets import NODE_HOURS, POD_HOURS
from orchestration.lake import Lake
from orchestration.partitions import billing_months, month_of, one_month_a_run
from orchestration.settings import Settings
from orchestration.split.capacities import require_capacities
from orchestration.split.engines.local import split_month
from orchestration.split.requests import write_equivalents

WEIGHED = [dg.AssetKey(f"int_node_hours__weighed_v{version}") for version in (1, 2, 3)]


@dbt_assets(
    manifest=manifest_path(),
    select="resource_type:seed fqn:podledger.staging fqn:podledger.intermediate.node_hours",
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
    discard_old_warehouse(settings)
    yield from build_models(context, dbt, settings)


@dg.asset(
    description="What each accelerator request of the month counts as, in physical devices."
    " One row an instance type, sharing mode of the node, and request.",
    group_name="split",
    kinds={"python", "parquet"},
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
    rows = write_equivalents(settings.warehouse, Lake(settings.home), month)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "pod_costs",
            description="What each pod cost in each hour, by resource and cost basis, split"
            " and unused. One row an instance, hour and pod.",
            kinds={"python", "numba", "parquet"},
            deps=[*WEIGHED, POD_HOURS, dg.AssetKey("accelerator_equivalents")],
        ),
        dg.AssetSpec(
            "unallocated_costs",
            description="What no pod claimed, with the reason. One row an instance, hour"
            " and resource.",
            kinds={"python", "numba", "parquet"},
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
    split = split_month(
        settings.warehouse,
        Lake(settings.home),
        month_of(context),
        settings.method,
        progress=context.log.info,
    )
    yield dg.MaterializeResult(
        asset_key="pod_costs", metadata={"dagster/row_count": split.pod_hours}
    )
    yield dg.MaterializeResult(
        asset_key="unallocated_costs",
        metadata={"dagster/row_count": split.unallocated_rows},
    )
