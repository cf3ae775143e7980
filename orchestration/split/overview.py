"""A month's node-hours at a glance: how many, of which instances, at what cost.

Holds figures for people, read as soon as dbt has built the table; nothing is split here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestration.months import Month
from orchestration.split.warehouse import open_warehouse


@dataclass(frozen=True)
class NodeHours:
    """Node-hours of the bill of a month.

    Attributes:
        row_count: How many.
        instance_count: Instances that they belong to.
        amortized_usd: What they cost.
        by_type: Instance type, instances, node-hours and amortized USD, dearest first.
    """

    row_count: int
    instance_count: int
    amortized_usd: Decimal
    by_type: list[tuple[str | None, int, int, Decimal]]


def read_node_hours(warehouse: Path, month: Month) -> NodeHours:
    """Read them from ``int_node_hours``.

    Raises:
        PodledgerError: There is no warehouse, or another process holds it.
    """
    with open_warehouse(warehouse) as connection:
        by_type = connection.execute(
            f"""
            select
                instance_type, count(distinct instance_id), count(*), sum(amortized_usd)
            from int_node_hours
            where billing_month = date '{month.key}'
            group by instance_type
            order by sum(amortized_usd) desc, instance_type
            """
        ).fetchall()
    return NodeHours(
        row_count=sum(hours for _, _, hours, _ in by_type),
        instance_count=sum(instances for _, instances, _, _ in by_type),
        amortized_usd=sum((usd for *_, usd in by_type), Decimal(0)),
        by_type=by_type,
    )
