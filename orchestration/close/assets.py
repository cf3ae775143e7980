"""The marts of the close and the published month as Dagster assets.

Publishing reads the warehouse only after every blocking control passed; what is in a
revision is decided by ``publish.py``.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.close.publish import Publication, publish
from orchestration.dbt import WAREHOUSE_POOL, Translator, build_models, manifest_path
from orchestration.partitions import billing_months, month_of, one_month_a_run
from orchestration.settings import Settings


@dbt_assets(
    manifest=manifest_path(),
    select="path:models/intermediate/claims path:models/marts",
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
