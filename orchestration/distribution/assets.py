"""Distribution as Dagster assets: the policy, what is to be distributed, and the charges.

See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.distribution.month import distribute_month, keep_policy
from orchestration.distribution.policy_file import read_policy
from orchestration.engines.dbt.build import build_models
from orchestration.engines.dbt.project import manifest_path, source_schema
from orchestration.engines.dbt.translator import Translator
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.engines.metadata import money, table
from orchestration.engines.partitions import billing_months, month_of, one_month_a_run
from orchestration.lake.figures import UNKNOWN
from orchestration.lake.inputs import InputsOfMonth
from orchestration.lake.lake import Lake
from orchestration.lake.schemas import SHOWN_BASIS
from orchestration.lake.settings import Settings

COSTS = dg.AssetKey("int_costs__undistributed")
QUOTAS = dg.AssetKey("int_quotas__held")


@dg.asset(
    description="The policy that the month is distributed by, as it was read. One row.",
    group_name="distribution",
    kinds={"python", "yaml"},
    owners=["team:finops"],
    metadata={"dagster/column_schema": source_schema("policy")},
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def policy(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    inputs: dg.ResourceParam[InputsOfMonth],
) -> dg.MaterializeResult[None]:
    """Read and check the policy before anything is computed."""
    month = month_of(context)
    where = inputs(month).policy
    lake, read = Lake(settings.home, settings.remote), read_policy(where, settings.labels)
    keep_policy(lake, month, read)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": 1,
            "policy": read.name,
            "sha256": read.sha256,
            "rules": table(
                ("rule", "takes", "goes"),
                [(rule.name, rule.take, rule.key) for rule in read.rules],
            ),
            "file": where,
            "dagster/uri": str(lake.partition("policy", month)),
        },
        data_version=dg.DataVersion(read.sha256),
    )


@dbt_assets(
    manifest=manifest_path(),
    select="fqn:podledger.intermediate.claims fqn:podledger.intermediate.remainder"
    " fqn:podledger.intermediate.distribution fqn:podledger.staging.org.stg_org__policy",
    name="cost_models",
    dagster_dbt_translator=Translator(),
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def cost_models(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[Any]:
    """From pod costs and bill lines to all costs of a month, each once."""
    yield from build_models(context, dbt, settings)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "charges",
            description="The month distributed by its policy: direct, idle, shared and"
            " unassigned cost. One row a day, receiver, kind, origin and rule.",
            kinds={"python", "duckdb", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("charges")},
            deps=[COSTS, QUOTAS, "policy"],
        ),
        dg.AssetSpec(
            "charge_rules",
            description="What each rule of the policy took, gave and could not place, with"
            " the SQL that did it. One row a rule and payer.",
            kinds={"python", "duckdb", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("charge_rules")},
            deps=[COSTS, QUOTAS, "policy"],
        ),
    ],
    name="distribution",
    group_name="distribution",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
    pool=WAREHOUSE_POOL,
)
def charges(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult[None]]:
    """Say who carries idle, system and shared cost, by the written policy."""
    month, lake = month_of(context), Lake(settings.home, settings.remote)
    charged = distribute_month(settings.warehouse, lake, month, SHOWN_BASIS)
    yield dg.MaterializeResult(
        asset_key="charges",
        metadata={
            **money(**{f"{name}_usd": usd for name, usd in charged.by_type.items()}),
            "dagster/row_count": charged.rows,
            "dagster/uri": str(lake.partition("charges", month)),
            "policy": charged.policy.name,
        },
    )
    yield dg.MaterializeResult(
        asset_key="charge_rules",
        metadata={
            "rules": table(
                ("rule", "goes", f"taken, {SHOWN_BASIS} USD", "found nobody, USD"),
                [
                    (one.name, one.key, _told(one.taken_usd), _told(one.left_usd))
                    for one in charged.rules
                ],
            ),
            "dagster/row_count": charged.rule_rows,
            "dagster/uri": str(lake.partition("charge_rules", month)),
            "sql": dg.MetadataValue.md(
                "\n\n".join(f"```sql\n{one.script}\n```" for one in charged.rules)
            ),
        },
    )


def _told(usd: dict[str, Decimal | None]) -> Decimal | str:
    amount = usd[SHOWN_BASIS]
    return UNKNOWN if amount is None else amount
