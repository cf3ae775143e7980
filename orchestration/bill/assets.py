"""The bill as Dagster assets: its lines and files, and what EC2 sells ahead of time.

Reads the partition's month through ``exports``, ``lines`` and ``reservations``; nothing is
decided here.
See https://docs.dagster.io/guides/build/assets/defining-assets
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from orchestration.bill.engines import engine_of
from orchestration.bill.exports import Delivery, find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.bill.reservations import write_reserved
from orchestration.engines.dbt.project import source_schema
from orchestration.engines.metadata import money, table
from orchestration.engines.partitions import billing_months, month_of, one_month_a_run
from orchestration.lake.inputs import InputsOfMonth
from orchestration.lake.lake import Lake
from orchestration.lake.settings import Settings

BILL_LINES = dg.AssetKey(["raw", "bill_lines"])
BILL_FILES = dg.AssetKey(["raw", "bill_files"])
CAPACITY_RESERVATIONS = dg.AssetKey(["raw", "capacity_reservations"])
DEDICATED_HOSTS = dg.AssetKey(["raw", "dedicated_hosts"])
CAPACITY_BLOCK_FEES = dg.AssetKey(["raw", "capacity_block_fees"])


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            BILL_LINES,
            description="Every line of the month's bill, in one normal form whatever the"
            " export's layout. One row a line item of a delivery.",
            kinds={"python", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("bill_lines")},
        ),
        dg.AssetSpec(
            BILL_FILES,
            description="What was read of each delivery: file, size, digest, rows and"
            " money. One row a file that a manifest names.",
            kinds={"python", "parquet"},
            owners=["team:finops"],
            metadata={"dagster/column_schema": source_schema("bill_files")},
        ),
    ],
    name="bill",
    group_name="bill",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def bill(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    inputs: dg.ResourceParam[InputsOfMonth],
) -> Iterator[dg.MaterializeResult[None]]:
    """Read the month's deliveries into the lake."""
    month = month_of(context)
    roots = inputs(month).bill_roots
    deliveries = find_deliveries(roots, month, landing=settings.landing)
    lake = Lake(settings.home, settings.remote)
    read = read_bill(deliveries, month, lake, context.log.info, engine_of(settings))
    delivered = table(
        ("export", "layout", "delivery", "files", "bytes", "root"),
        [
            (one.export, one.layout, one.delivery_id, len(one.files), _bytes(one), one.root)
            for one in deliveries
        ],
    )
    yield dg.MaterializeResult(
        asset_key=BILL_LINES,
        metadata={
            **money(billed_usd=read.unblended_usd),
            "dagster/row_count": read.row_count,
            "dagster/uri": str(lake.partition("raw/bill_lines", month)),
            "deliveries": delivered,
            "notes": _notes(deliveries),
        },
    )
    yield dg.MaterializeResult(
        asset_key=BILL_FILES,
        metadata={
            "dagster/row_count": read.file_count,
            "dagster/uri": str(lake.partition("raw/bill_files", month)),
            "deliveries": delivered,
        },
    )


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            key,
            description=description,
            kinds={"python", "parquet"},
            owners=["team:platform"],
            metadata={"dagster/column_schema": source_schema(key.path[-1])},
            deps=[BILL_LINES],
        )
        for key, description in (
            (
                CAPACITY_RESERVATIONS,
                "Capacity Blocks and On-Demand Capacity Reservations that overlap the"
                " month, from EC2 or a file. One row a reservation.",
            ),
            (
                DEDICATED_HOSTS,
                "Dedicated Hosts and what EC2 saw on them. One row a host and instance.",
            ),
            (
                CAPACITY_BLOCK_FEES,
                "Fees of Capacity Blocks on the month's bill and on earlier ones. One row"
                " a block, payer, account and month of the fee.",
            ),
        )
    ],
    name="reservations",
    group_name="bill",
    partitions_def=billing_months,
    backfill_policy=one_month_a_run,
)
def reservations(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    inputs: dg.ResourceParam[InputsOfMonth],
) -> Iterator[dg.MaterializeResult[None]]:
    """Read what was bought ahead of time, and what it cost."""
    month = month_of(context)
    known = inputs(month)
    lake = Lake(settings.home, settings.remote)
    reserved, fees = write_reserved(
        lake, month, known.capacity_blocks, known.reservations, settings.home / "scratch"
    )
    for key, rows in (
        (CAPACITY_RESERVATIONS, reserved.reservations),
        (DEDICATED_HOSTS, reserved.hosts),
        (CAPACITY_BLOCK_FEES, fees),
    ):
        uri = str(lake.partition("/".join(key.path), month))
        yield dg.MaterializeResult(
            asset_key=key, metadata={"dagster/row_count": len(rows), "dagster/uri": uri}
        )


def _bytes(delivery: Delivery) -> int:
    return sum(file.size for file in delivery.files)


def _notes(deliveries: Iterable[Delivery]) -> str:
    """What finding the deliveries had to assume."""
    return "; ".join(note for one in deliveries for note in one.notes) or "none"
