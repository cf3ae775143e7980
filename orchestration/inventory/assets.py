"""The pod inventory as Dagster assets: pods, nodes, files and gaps below ``raw``.

Reads the partition's month through ``sources`` and ``ingest``; nothing is decided here.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.engines.dbt.project import source_schema
from orchestration.engines.metadata import table
from orchestration.engines.partitions import billing_months, month_of, one_month_a_run
from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.owners import ingest_ownership
from orchestration.inventory.sources import parse_source
from orchestration.lake.inputs import InputsOfMonth
from orchestration.lake.lake import Lake
from orchestration.lake.settings import Settings

POD_HOURS = dg.AssetKey(["raw", "pod_hours"])
NODE_HOURS = dg.AssetKey(["raw", "node_hours"])
QUOTA_HOURS = dg.AssetKey(["raw", "quota_hours"])
INVENTORY_FILES = dg.AssetKey(["raw", "inventory_files"])
INVENTORY_GAPS = dg.AssetKey(["raw", "inventory_gaps"])
OWNERSHIP = dg.AssetKey(["raw", "ownership"])


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            POD_HOURS,
            description="What each pod requested and used while bound to a node."
            " One row an instance, hour and pod.",
            kinds={"python", "parquet", "kubernetes"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema("pod_hours")},
        ),
        dg.AssetSpec(
            NODE_HOURS,
            description="Names, types and labels of nodes as Kubernetes sees them."
            " One row an instance and hour.",
            kinds={"python", "parquet", "kubernetes"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema("node_hours")},
        ),
        dg.AssetSpec(
            QUOTA_HOURS,
            description="What ResourceQuotas hold for namespaces, where a source is asked"
            " for them. One row a cluster, hour and namespace.",
            kinds={"python", "parquet", "kubernetes"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema("quota_hours")},
        ),
        dg.AssetSpec(
            INVENTORY_FILES,
            description="What was read of each inventory. One row a file.",
            kinds={"python", "parquet"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema("inventory_files")},
        ),
        dg.AssetSpec(
            INVENTORY_GAPS,
            description="Times for which an inventory has no data, or not all of it."
            " One row a source, cluster, node and stretch of time.",
            kinds={"python", "parquet"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema("inventory_gaps")},
        ),
    ],
    name="inventory",
    group_name="inventory",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def inventory(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    inputs: dg.ResourceParam[InputsOfMonth],
) -> Iterator[dg.MaterializeResult[None]]:
    """Read the month's pods and nodes into the lake."""
    month = month_of(context)
    sources = [parse_source(uri) for uri in inputs(month).pod_roots]
    lake = Lake(settings.home, settings.remote)
    read = ingest_inventory(
        sources, month, lake, settings.home / "scratch", progress=context.log.info
    )
    more: dict[dg.AssetKey, dict[str, Any]] = {
        POD_HOURS: {
            "dagster/row_count": read.pod_hours,
            "days_with_pods": read.days_with_pods,
            "repeated_rows": read.repeated_rows,
            "rows_of_other_months": read.rows_of_other_months,
            "sources": table(("source",), [(source.uri,) for source in sources]),
        },
        NODE_HOURS: {"dagster/row_count": read.node_hours},
        QUOTA_HOURS: {"dagster/row_count": read.quota_hours},
        INVENTORY_FILES: {"dagster/row_count": read.file_count},
        INVENTORY_GAPS: {"dagster/row_count": read.gaps},
    }
    for key, metadata in more.items():
        uri = str(lake.partition("/".join(key.path), month))
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/uri": uri, **metadata})


@dg.asset(
    key=OWNERSHIP,
    description="Who owns pods that do not say so themselves, from a file that a team"
    " keeps. One row an entry and label.",
    kinds={"python", "parquet"},
    owners=["team:finops"],
    metadata={"dagster/column_schema": source_schema("ownership")},
    group_name="inventory",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def ownership(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    """Read the entries that are in force in the month."""
    rows = ingest_ownership(
        settings.ownership, month_of(context), Lake(settings.home, settings.remote)
    )
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows, "dagster/uri": str(settings.ownership)}
    )
