"""The marts of the close and the published month as Dagster assets.

Publishing reads the warehouse only after every blocking control passed; what is in a
revision is decided by ``publish.py``.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.close import glance
from orchestration.close.overview import read_overview
from orchestration.close.publish import publish
from orchestration.close.signing import signature_of
from orchestration.engines.dbt.build import build_models
from orchestration.engines.dbt.project import manifest_path
from orchestration.engines.dbt.translator import Translator
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.engines.metadata import table
from orchestration.engines.partitions import billing_months, month_of, one_month_a_run
from orchestration.lake.settings import Settings
from orchestration.ledger.status import status_of

MARTS = [
    dg.AssetKey(name)
    for name in (
        "fct_split_line_items",
        "fct_unallocated",
        "fct_bill_remainder",
        "fct_daily_costs",
        "fct_charges",
        "fct_close_controls",
        "rpt_month_by_namespace",
        "rpt_month_by_workload",
        "rpt_month_by_team",
        "rpt_month_by_model",
        "rpt_month_by_account",
        "rpt_month_totals",
    )
]
"""What a published month rests on; the roll-ups too, which a control holds to it."""

SHOWN = frozenset(name for key in MARTS for name in key.path)
"""Marts whose figures are shown when they are built."""


@dbt_assets(
    manifest=manifest_path(),
    select="fqn:podledger.intermediate.proofs fqn:podledger.marts"
    " fqn:podledger.semantic_models",
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
    """From pod costs and charges to marts, roll-ups and controls."""
    month = month_of(context)
    yield from build_models(
        context,
        dbt,
        settings,
        show=lambda: glance.of_marts(read_overview(settings.warehouse, month)),
        shown=SHOWN,
    )


@dg.asset(
    description="The month as its readers get it: charges, split lines in AWS's columns,"
    " unallocated cost, remainder, controls and a manifest, in an immutable folder. One"
    " revision a restatement.",
    group_name="close",
    kinds={"python", "parquet"},
    owners=["team:finops"],
    deps=MARTS,
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def published_month(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    """Publish what passed its controls, or say that nothing changed."""
    month = month_of(context)
    signature = signature_of(context.run.tags, context.run.run_id)
    publication = publish(settings, month, progress=context.log.info, signature=signature)
    manifest = publication.manifest
    status = status_of(manifest, dt.datetime.now(dt.UTC))
    return dg.MaterializeResult(
        metadata={
            "status": status.name,
            **({"because": "; ".join(status.reasons)} if status.reasons else {}),
            **glance.of_published(read_overview(settings.warehouse, month)),
            "dagster/row_count": manifest.row_counts["scad"],
            "dagster/uri": publication.address,
            "bill_revision": publication.revision,
            "is_new": publication.is_new,
            "is_reproduced": publication.is_reproduced,
            "method_version": manifest.method_version,
            "deliveries": table(
                ("export", "layout", "delivery", "files"),
                [
                    (one.bill_export, one.layout, one.delivery_id, len(one.files))
                    for one in manifest.deliveries
                ],
            ),
        },
        data_version=dg.DataVersion(manifest.fingerprint),
        tags={"podledger/status": status.name},
    )
