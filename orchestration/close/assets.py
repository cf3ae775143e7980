"""The marts of the close and the published month as Dagster assets.

Publishing reads the warehouse only after every blocking control passed; what is in a
revision is decided by ``publish.py``.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.close.figures import exact
from orchestration.close.publish import publish
from orchestration.dbt import WAREHOUSE_POOL, Translator, build_models, manifest_path
from orchestration.partitions import billing_months, month_of, one_month_a_run
from orchestration.settings import Settings

MARTS = [
    dg.AssetKey(name)
    for name in (
        "fct_split_line_items",
        "fct_unallocated",
        "fct_bill_remainder",
        "fct_daily_costs",
        "fct_close_controls",
        "rpt_month_by_namespace",
        "rpt_month_by_workload",
        "rpt_month_by_account",
        "rpt_month_totals",
    )
]
"""What a published month rests on; the roll-ups too, which a control holds to it."""


@dbt_assets(
    manifest=manifest_path(),
    select="fqn:podledger.intermediate.claims fqn:podledger.intermediate.proofs"
    " fqn:podledger.intermediate.remainder fqn:podledger.marts",
    name="close_models",
    dagster_dbt_translator=Translator(),
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def close_models(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Any]:
    """From pod costs to statements, roll-ups and controls."""
    yield from build_models(context, dbt, settings)


@dg.asset(
    description="The month as its readers get it: split lines in AWS's columns, unallocated"
    " cost, remainder, controls and a manifest, in an immutable folder. One revision a"
    " restatement.",
    group_name="close",
    kinds={"python", "parquet"},
    deps=MARTS,
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def published_month(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    """Publish what passed its controls, or say that nothing changed."""
    publication = publish(settings, month_of(context), progress=context.log.info)
    manifest = publication.manifest
    law = manifest.totals["unblended"]
    figures = {
        "billed_usd": law.bill,
        "split_usd": law.pods_split,
        "unused_usd": law.pods_unused,
        "unallocated_usd": law.unallocated,
        "remainder_usd": law.remainder,
        "residual_usd": law.difference,
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": manifest.row_counts["scad"],
            "dagster/uri": str(publication.path),
            "bill_revision": publication.revision,
            "is_new": publication.is_new,
            **{name: dg.MetadataValue.text(exact(usd)) for name, usd in figures.items()},
        },
        data_version=dg.DataVersion(manifest.fingerprint),
    )
