"""The only partitions definition: one partition a billing month.

Everything that is materialized is partitioned by it, so that one run touches one month.
See https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

import dagster as dg

from orchestration.lake.months import Month
from orchestration.lake.settings import FirstMonth

billing_months = dg.MonthlyPartitionsDefinition(
    start_date=f"{FirstMonth().first_month}-01", timezone="UTC", end_offset=1
)
"""Months since the first, the open one included: it can be closed provisionally."""

one_month_a_run = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""A backfill makes one run a month: one audit trail a month."""


def month_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Month:
    """The billing month that the step runs for."""
    return Month.parse(context.partition_key)
