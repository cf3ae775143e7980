"""What every instance type of the month has to have before it can be split: capacities.

Holds that one refusal. Where capacities come from, the catalogue or else the bill's own
product attributes, is SQL's: ``int_instance_types__resolved``.
"""

from __future__ import annotations

from pathlib import Path

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.split.warehouse import open_warehouse


def require_capacities(warehouse: Path, month: Month) -> None:
    """Refuse a month with an instance type that neither catalogue nor bill describes.

    Raises:
        PodledgerError: There is one; the message names each type with its node-hours.
    """
    with open_warehouse(warehouse) as connection:
        unknown = connection.execute(
            """
            select instance_type, node_hour_count, example_instance_id
            from int_instance_types__resolved
            where billing_month = $month and source is null
            order by instance_type
            """,
            {"month": month.start.date()},
        ).fetchall()
    if unknown:
        named = "; ".join(
            f"{name or 'an instance without a type'} ({count:,} node-hours, like {example})"
            for name, count, example in unknown
        )
        raise PodledgerError(
            f"{month} cannot be split: neither the catalogue nor the bill says how many"
            f" vCPUs and how much memory these instance types have: {named}. Renew the"
            " catalogue (podledger catalogue refresh), or add the type to"
            " dbt_project/seeds/ec2_instance_types.csv; where the bill names no type, the"
            " node_hours of the inventory can. Then close the month again."
        )
