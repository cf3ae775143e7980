"""The bill as Dagster assets: ``raw/bill_lines`` and ``raw/bill_files``.

Reads the partition's month through ``exports`` and ``lines``; nothing is decided here.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterator

import dagster as dg

from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.inputs import resolve_inputs
from orchestration.lake import Lake
from orchestration.partitions import billing_months, month_of, one_month_a_run
from orchestration.settings import Settings

BILL_LINES = dg.AssetKey(["raw", "bill_lines"])
BILL_FILES = dg.AssetKey(["raw", "bill_files"])


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            BILL_LINES,
            description="Every line of the month's bill, in one normal form whatever the"
            " export's layout. One row a line item of a delivery.",
            kinds={"python", "parquet"},
        ),
        dg.AssetSpec(
            BILL_FILES,
            description="What was read of each delivery: file, size, digest, rows and"
            " money. One row a file that a manifest names.",
            kinds={"python", "parquet"},
        ),
    ],
    name="bill",
    group_name="bill",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def bill(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.MaterializeResult[None]]:
    """Read the month's deliveries into the lake."""
    month = month_of(context)
    inputs = resolve_inputs(settings, month)
    deliveries = find_deliveries(inputs.bill_roots, month, landing=settings.landing)
    lake = Lake(settings.home)
    read = read_bill(deliveries, month, lake, settings.home / "scratch", context.log.info)
    yield dg.MaterializeResult(
        asset_key=BILL_LINES,
        metadata={
            "dagster/row_count": read.row_count,
            "dagster/uri": str(lake.partition("raw/bill_lines", month)),
            "billed_usd": dg.MetadataValue.text(f"{read.unblended_usd:,.10f}"),
            "deliveries": dg.MetadataValue.md(
                "\n".join(f"- {d.export}: {d.layout}, {d.delivery_id}" for d in deliveries)
            ),
        },
    )
    yield dg.MaterializeResult(
        asset_key=BILL_FILES, metadata={"dagster/row_count": read.file_count}
    )
