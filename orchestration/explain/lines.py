"""Bill lines with the file and row that they stand in, and what they cost.

Holds the definition of each cost basis and of each line's place in the books, read again
from the bill's columns as ``docs/method.md`` has it: an explanation does not take the word
of the models that it explains. What does not add up to their figures is an error.

A file of ``raw/bill_lines`` holds the rows of one file of the bill in their order, and is
named by that file's place in ``raw/bill_files``: file and row need no column.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import duckdb

from orchestration.engines.duckdb import quote
from orchestration.explain.figure import Figure, Reach, rest_of

_USAGE = "('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')"

_POD = "^arn:[^:]*:eks:([^:]*):[^:]*:pod/([^/]+)/([^/]+)/([^/]+)/([^/]+)$"

_INSTANCE_USAGE = (
    "(^|-)(BoxUsage|SpotUsage|DedicatedUsage|HostBoxUsage|HeavyUsage|ReservedHostUsage"
    "|CapacityBlockUsage)(:|$)"
)

_AMORTIZED = """
    case
        when line_type = 'DiscountedUsage'
            then coalesce(reservation_effective_cost, unblended)
        when line_type = 'SavingsPlanCoveredUsage'
            then coalesce(savings_plan_savings_plan_effective_cost, unblended)
        when line_type in ('SavingsPlanNegation', 'SavingsPlanUpfrontFee') then 0
        when line_type = 'SavingsPlanRecurringFee'
            then coalesce(
                savings_plan_total_commitment_to_date
                    - coalesce(savings_plan_used_commitment, 0),
                unblended
            )
        when line_type = 'RIFee'
            then coalesce(
                reservation_unused_amortized_upfront_fee_for_billing_period
                    + reservation_unused_recurring_fee,
                reservation_unused_amortized_upfront_fee_for_billing_period,
                reservation_unused_recurring_fee,
                unblended
            )
        when is_fee_of_reservation then 0
        else unblended
    end"""

_COSTS = {
    "unblended": "unblended",
    "amortized": _AMORTIZED,
    "net_amortized": f"""
    case
        when line_type = 'DiscountedUsage'
            then coalesce(reservation_net_effective_cost, {_AMORTIZED})
        when line_type = 'SavingsPlanCoveredUsage'
            then coalesce(savings_plan_net_savings_plan_effective_cost, {_AMORTIZED})
        when line_type = 'RIFee'
            then coalesce(
                reservation_net_unused_amortized_upfront_fee_for_billing_period
                    + reservation_net_unused_recurring_fee,
                reservation_net_unused_amortized_upfront_fee_for_billing_period,
                reservation_net_unused_recurring_fee,
                {_AMORTIZED}
            )
        when line_type in (
            'SavingsPlanNegation', 'SavingsPlanUpfrontFee', 'SavingsPlanRecurringFee'
        ) then {_AMORTIZED}
        when is_fee_of_reservation then 0
        else coalesce(line_item_net_unblended_cost, unblended)
    end""",
    "public_on_demand": "coalesce(pricing_public_on_demand_cost, 0)",
}
"""What a line costs in each basis: docs/method.md, "Cost bases"."""

_CATEGORY = """
    case
        when is_capacity_block_fee then 'capacity_blocks'
        when line_type = 'Tax' then 'tax'
        when line_type = 'Credit' then 'credits'
        when line_type = 'Refund' then 'refunds'
        when line_type like '%Discount' then 'discounts'
        when line_type in (
            'RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee',
            'SavingsPlanNegation'
        ) or (line_type = 'Fee' and is_of_reservation) then 'unused_commitments'
        when capacity_reservation_capacity_reservation_status = 'Unused'
            or resource_id like '%:capacity-reservation/%'
            or usage_type like '%UnusedBox:%'
            or usage_type like '%UnusedDed:%' then 'unused_capacity_reservations'
        when product_code like 'AWSSupport%' or product_code like 'OCB%'
            or product_code = 'AWSPremiumSupport' then 'support'
        when product_code = 'AmazonEKS' then 'eks_fees'
        when usage_type like '%EBS:%' or resource_id like 'vol-%' then 'ebs'
        when product_product_family = 'Data Transfer'
            or product_code = 'AWSDataTransfer'
            or usage_type like '%DataTransfer-%'
            or regexp_matches(usage_type, '-AWS-(In|Out)-Bytes$') then 'data_transfer'
        else 'other_services'
    end"""

_COMPONENTS = {
    "Usage": "On-Demand",
    "DiscountedUsage": "Reserved Instance",
    "SavingsPlanCoveredUsage": "Savings Plan",
}


def create_lines(
    connection: duckdb.DuckDBPyConnection,
    bill_lines: Iterable[Path],
    bill_files: Iterable[Path],
    basis: str,
) -> None:
    """Create the view ``lines``: every line of the bill but AWS's own split rows.

    ``role`` is ``node`` (with ``instance_id`` and ``hour``), ``pod`` (on Fargate, with
    ``pod_uid`` and ``hour``), ``spread`` (of a whole Dedicated Host or HyperPod cluster,
    over its instances) or ``remainder`` (with ``category``).
    """
    listed = ", ".join(quote(str(path)) for path in bill_lines)
    files = ", ".join(quote(str(path)) for path in bill_files)
    connection.execute(f"""
        create view bill_files as
        select file_row_number + 1 as number, root, bill_export, source_file
        from read_parquet([{files}], file_row_number = true, hive_partitioning = false)
    """)
    connection.execute(f"""
        create view named_lines as
        select
            *,
            regexp_extract(filename, '([0-9]+)[.]parquet$', 1)::int as file_number,
            file_row_number + 1 as source_row,
            bill_payer_account_id as payer_account_id,
            line_item_usage_account_id as usage_account_id,
            line_item_line_item_type as line_type,
            line_item_product_code as product_code,
            line_item_usage_type as usage_type,
            line_item_operation as operation,
            line_item_resource_id as resource_id,
            line_item_usage_start_date as started_at,
            line_item_unblended_cost as unblended,
            date_trunc('hour', line_item_usage_start_date) as hour,
            coalesce(reservation_reservation_a_r_n, '') <> '' as is_of_reservation,
            coalesce(
                nullif(regexp_extract(capacity_reservation_capacity_reservation_arn,
                    '(cr-[0-9a-z]+)$', 1), ''),
                nullif(regexp_extract(line_item_resource_id,
                    ':capacity-reservation/(cr-[0-9a-z]+)$', 1), '')
            ) as capacity_reservation_id,
            nullif(regexp_extract(line_item_resource_id,
                '(^|dedicated-host/)(h-[0-9a-f]+)$', 2), '') as host_id,
            line_item_product_code = 'AmazonSageMaker'
                and line_item_usage_type like '%Cluster:ml.%' as is_of_hyperpod,
            regexp_extract(line_item_resource_id, '(i-[0-9a-f]{{8,17}})$', 1)
                as hyperpod_instance_id,
            regexp_extract(line_item_resource_id, '{_POD}', 5) as pod_uid
        from read_parquet([{listed}], filename = true, file_row_number = true,
            hive_partitioning = false)
        where coalesce(split_line_item_parent_resource_id, '') = ''
    """)
    connection.execute(f"""
        create view told_lines as
        select
            *,
            coalesce(
                line_type in ('Fee', 'Refund') and capacity_reservation_id is not null,
                false
            ) as is_capacity_block_fee,
            coalesce(
                line_type = 'Fee' and is_of_reservation and capacity_reservation_id is null,
                false
            ) as is_fee_of_reservation,
            coalesce(
                line_type in {_USAGE}
                and operation like 'RunInstances%'
                and resource_id like 'i-%'
                and (
                    product_product_family
                        in ('Compute Instance', 'Compute Instance (bare metal)')
                    or (
                        coalesce(product_product_family, '') = ''
                        and regexp_matches(usage_type, '{_INSTANCE_USAGE}')
                    )
                ),
                false
            ) as carries_instance,
            coalesce(line_type in {_USAGE}, false) as is_usage
        from named_lines
    """)
    connection.execute(f"""
        create view lines as
        select
            lines.* exclude (source_file, bill_export),
            bill_files.root,
            bill_files.bill_export,
            bill_files.source_file,
            case
                when carries_instance then 'node'
                when is_usage and product_code = 'AmazonEKS' and resource_id like 'i-%'
                    then 'node'
                when is_usage and host_id is not null and usage_type like '%HostUsage%'
                    then 'spread'
                when is_usage and is_of_hyperpod
                    then case when hyperpod_instance_id = '' then 'spread' else 'node' end
                when is_usage and product_code = 'AmazonEKS' and pod_uid <> ''
                    and coalesce(operation, '') <> 'EKSPod-EC2' then 'pod'
                else 'remainder'
            end as role,
            case
                when not carries_instance and is_of_hyperpod then hyperpod_instance_id
                else resource_id
            end as instance_id,
            {_CATEGORY} as category,
            ({_COSTS[basis]})::decimal(38, 10) as usd
        from told_lines as lines
        inner join bill_files on lines.file_number = bill_files.number
    """)


def lines_where(
    connection: duckdb.DuckDBPyConnection, condition: str, values: dict[str, object]
) -> list[Figure]:
    """Bill lines that meet a condition on ``lines``, in the order of the bill."""
    return _lines(connection, f"{condition} order by file_number, source_row", values)


def largest_lines(
    connection: duckdb.DuckDBPyConnection,
    condition: str,
    values: dict[str, object],
    reach: Reach,
) -> list[Figure]:
    """The largest bill lines that meet a condition and cost something; the rest as one.

    A category of a large bill has millions: no more are read than are shown.
    """
    ((count, usd),) = connection.execute(
        "select count(*), coalesce(sum(usd), 0)::decimal(38, 10) from lines"
        f" where {condition} and usd <> 0",
        values,
    ).fetchall()
    limit = count if reach.limit is None or reach.limit + 1 == count else reach.limit
    found = _lines(
        connection,
        f"{condition} and usd <> 0 order by abs(usd) desc, file_number, source_row"
        f" limit {limit}",
        values,
    )
    return found + rest_of(
        count - len(found), usd - sum((line.usd for line in found), Decimal(0))
    )


def _lines(
    connection: duckdb.DuckDBPyConnection, condition: str, values: dict[str, object]
) -> list[Figure]:
    rows = connection.execute(
        f"""
        select root, source_file, source_row, identity_line_item_id,
            identity_time_interval, line_type, product_code, usage_type, operation,
            resource_id, started_at, line_item_usage_amount, unblended, usd,
            usage_account_id, role, carries_instance, capacity_reservation_id
        from lines where {condition}
        """,
        values,
    ).fetchall()
    return [_line(*row) for row in rows]


def _line(
    root: str,
    source_file: str,
    row: int,
    line_id: str | None,
    interval: str | None,
    line_type: str,
    product_code: str | None,
    usage_type: str | None,
    operation: str | None,
    resource_id: str | None,
    started_at: dt.datetime | None,
    amount: Decimal | None,
    unblended: Decimal,
    usd: Decimal,
    account: str | None,
    role: str,
    carries_instance: bool,
    reservation: str | None,
) -> Figure:
    return Figure(
        "bill_line",
        f"{source_file}, row {row:,}",
        usd,
        {
            "root": root,
            "file": source_file,
            "row": row,
            "line_item_id": line_id,
            "time_interval": interval,
            "line_type": line_type,
            "product_code": product_code,
            "usage_type": usage_type,
            "operation": operation,
            "resource_id": resource_id,
            "usage_account_id": account,
            "usage_amount": amount,
            "unblended_usd": unblended,
            "component": _component(line_type, usage_type, role, carries_instance),
            "capacity_reservation_id": reservation,
        },
    )


def _component(
    line_type: str, usage_type: str | None, role: str, carries_instance: bool
) -> str:
    """What of a node-hour's cost a line is, in words; its type elsewhere."""
    if role != "node":
        return line_type
    if not carries_instance and "Cluster:ml." not in (usage_type or ""):
        return "EKS Auto Mode fee"
    if "SpotUsage" in (usage_type or ""):
        return "EC2, Spot"
    return f"EC2, {_COMPONENTS.get(line_type, line_type)}"
