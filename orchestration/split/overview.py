"""A month's node-hours at a glance: how many, of which instances, at what cost.

Holds figures for people, read as soon as dbt has built the table; nothing is split here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestration.lake.months import Month
from orchestration.split.warehouse import open_warehouse


@dataclass(frozen=True)
class NodeHours:
    """Node-hours of the bill of a month.

    Attributes:
        row_count: How many.
        instance_count: Instances that they belong to.
        amortized_usd: What they cost; None where the bill does not tell it of all.
        by_type: Instance type, instances, node-hours, amortized USD; highest first.
    """

    row_count: int
    instance_count: int
    amortized_usd: Decimal | None
    by_type: list[tuple[str | None, int, int, Decimal | None]]


def read_node_hours(warehouse: Path, month: Month) -> NodeHours:
    """Read them from ``int_node_hours``.

    Raises:
        PodledgerError: There is no warehouse, or another process holds it.
    """
    with open_warehouse(warehouse) as connection:
        by_type = connection.execute(
            f"""
            select
                instance_type, count(distinct instance_id), count(*),
                case when count(*) = count(amortized_usd) then sum(amortized_usd) end as usd
            from int_node_hours
            where billing_month = date '{month.key}'
            group by instance_type
            order by usd desc, instance_type
            """
        ).fetchall()
    known = [usd for *_, usd in by_type if usd is not None]
    return NodeHours(
        row_count=sum(hours for _, _, hours, _ in by_type),
        instance_count=sum(instances for _, instances, _, _ in by_type),
        amortized_usd=sum(known, Decimal(0)) if len(known) == len(by_type) else None,
        by_type=by_type,
    )
