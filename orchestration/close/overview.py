"""A month at a glance, read from the roll-ups as soon as they are built.

Holds the few figures that a person looks for first, a provisional month's too. What was
published is read back by ``summary.py``, from the published files alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.close.bases import as_law, basis_of_breakdowns, sum_laws
from orchestration.close.controls import Control, read_controls
from orchestration.close.summary import TOP
from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.months import Month
from orchestration.ledger.manifest import BasisTotals

OTHERS, UNALLOCATED = "others", "unallocated"
"""In the days: every namespace that is not named, and what belongs to none."""

_NAMED = 6
"""Namespaces that the days tell apart; more colours are not told apart by an eye."""


@dataclass(frozen=True)
class NamespaceCost:
    """What a namespace cost in the month, in the overview's basis.

    Attributes:
        cluster_name: Its cluster; None if the inventory does not say.
        namespace: Its namespace.
        device_hours: Hours of physical accelerators that its pods were allocated.
        direct_usd: For what its pods were allocated.
        idle_usd: Its part of what nobody used.
        shared_usd: Its part of what all share.
    """

    cluster_name: str | None
    namespace: str | None
    device_hours: float
    direct_usd: Decimal
    idle_usd: Decimal
    shared_usd: Decimal

    @property
    def name(self) -> str:
        """Cluster and namespace, as a person writes them."""
        return _name(self.cluster_name, self.namespace)

    @property
    def cost_usd(self) -> Decimal:
        """All that it is charged."""
        return self.direct_usd + self.idle_usd + self.shared_usd


@dataclass(frozen=True)
class TeamCost:
    """What a team is charged in the month, in the overview's basis.

    Attributes:
        name: Value of the label; None for cost without a team.
        direct_usd: For what its pods were allocated.
        idle_usd: Its part of what nobody used.
        shared_usd: Its part of what all share.
    """

    name: str | None
    direct_usd: Decimal
    idle_usd: Decimal
    shared_usd: Decimal

    @property
    def cost_usd(self) -> Decimal:
        """All that it is charged."""
        return self.direct_usd + self.idle_usd + self.shared_usd


@dataclass(frozen=True)
class DayCost:
    """What a name cost on a day, in the overview's basis."""

    day: dt.date
    name: str
    cost_usd: Decimal


@dataclass(frozen=True)
class Overview:
    """A month at a glance.

    Attributes:
        totals: The law of the month in each basis, over all payers; None where the exports
            do not tell it of all.
        namespaces: Most expensive first; at most ``TOP``.
        teams: Most expensive first, all of them.
        days: By day, the most expensive namespaces first, then others, then unallocated.
        unallocated: Cost by reason and resource in ``basis``, most expensive first.
        remainder: Cost by category, in ``unblended`` and ``basis``, most expensive first.
        controls: Every row, in the catalogue's order.
        row_counts: The month's rows of the tables of the warehouse.
    """

    totals: dict[str, BasisTotals | None]
    namespaces: list[NamespaceCost]
    teams: list[TeamCost]
    days: list[DayCost]
    unallocated: list[tuple[str, str, Decimal]]
    remainder: list[tuple[str, Decimal, Decimal]]
    controls: list[Control]
    row_counts: dict[str, int]

    @property
    def basis(self) -> str:
        """The cost basis of the breakdowns: amortized where the exports tell it."""
        return basis_of_breakdowns(self.totals)


def read_overview(warehouse: Path, month: Month) -> Overview:
    """Read the overview of a month whose roll-ups are built.

    Raises:
        PodledgerError: There is no warehouse, or another process holds it.
    """
    controls = read_controls(warehouse, month)
    with open_warehouse(warehouse) as connection:
        totals = _totals(connection, month)
        basis = basis_of_breakdowns(totals)
        namespaces = _namespaces(connection, month, basis)
        return Overview(
            totals=totals,
            namespaces=namespaces[:TOP],
            teams=_teams(connection, month, basis),
            days=_days(connection, month, [one.name for one in namespaces[:_NAMED]], basis),
            unallocated=_rows(
                connection,
                f"select reason, resource, sum({basis}_usd) as usd from fct_unallocated"
                f" where {_of(month)} group by all order by usd desc, reason, resource",
            ),
            remainder=_rows(
                connection,
                f"select category, sum(unblended_usd), sum({basis}_usd) as usd"
                f" from fct_bill_remainder where {_of(month)}"
                " group by all order by usd desc, category",
            ),
            controls=controls,
            row_counts=_row_counts(connection, month),
        )


def _totals(
    connection: duckdb.DuckDBPyConnection, month: Month
) -> dict[str, BasisTotals | None]:
    names = ", ".join(f"{name}_usd" for name in BasisTotals.model_fields)
    rows = _rows(
        connection,
        f"select payer_account_id, cost_basis, {names} from rpt_month_totals"
        f" where {_of(month)}",
    )
    laws = {(payer, basis): as_law(figures) for payer, basis, *figures in rows}
    return sum_laws(laws) if laws else {}


def _namespaces(
    connection: duckdb.DuckDBPyConnection, month: Month, basis: str
) -> list[NamespaceCost]:
    rows = _rows(
        connection,
        f"""
        select
            cluster_name, namespace, coalesce(sum(accelerator_allocated_hours), 0),
            sum({basis}_direct_usd), sum({basis}_idle_usd), sum({basis}_shared_usd)
        from rpt_month_by_namespace
        where {_of(month)}
        group by cluster_name, namespace
        having namespace is not null or sum({basis}_direct_usd) <> 0
        order by
            sum({basis}_total_usd - {basis}_unassigned_usd) desc, cluster_name, namespace
        """,
    )
    return [NamespaceCost(*row) for row in rows]


def _teams(
    connection: duckdb.DuckDBPyConnection, month: Month, basis: str
) -> list[TeamCost]:
    rows = _rows(
        connection,
        f"""
        select
            team, sum({basis}_direct_usd), sum({basis}_idle_usd), sum({basis}_shared_usd)
        from rpt_month_by_team
        where {_of(month)}
        group by team
        having sum({basis}_total_usd) <> 0
        order by sum({basis}_total_usd - {basis}_unassigned_usd) desc, team
        """,
    )
    return [TeamCost(*row) for row in rows]


def _days(
    connection: duckdb.DuckDBPyConnection, month: Month, named: Sequence[str], basis: str
) -> list[DayCost]:
    rows = _rows(
        connection,
        f"""
        select usage_date, cluster_name, namespace, sum({basis}_total_usd)
        from fct_daily_costs where {_of(month)} group by all
        """,
    )
    idle = _rows(
        connection,
        f"select line_item_usage_start_date::date, sum({basis}_usd)"
        f" from fct_unallocated where {_of(month)} group by all",
    )
    costs: dict[tuple[int, str, dt.date], Decimal] = {}
    order = {name: place for place, name in enumerate((*named, OTHERS, UNALLOCATED))}
    found = [(day, _name(cluster, space), usd) for day, cluster, space, usd in rows]
    for day, name, usd in [*found, *((day, UNALLOCATED, usd) for day, usd in idle)]:
        shown = name if name in order else OTHERS
        key = order[shown], shown, day
        costs[key] = costs.get(key, Decimal(0)) + usd
    return [
        DayCost(day, name, costs[place, name, day]) for place, name, day in sorted(costs)
    ]


def _row_counts(connection: duckdb.DuckDBPyConnection, month: Month) -> dict[str, int]:
    """Of tables only: counting a view would compute it."""
    tables = _rows(
        connection,
        "select table_name from duckdb_columns() join duckdb_tables() using (table_name)"
        " where column_name = 'billing_month' and duckdb_tables.database_name = 'podledger'"
        " group by all order by all",
    )
    return {
        name: _rows(connection, f"select count(*) from {name} where {_of(month)}")[0][0]
        for (name,) in tables
    }


def _of(month: Month) -> str:
    return f"billing_month = date '{month.key}'"


def _name(cluster: str | None, namespace: str | None) -> str:
    return f"{cluster or '?'} / {namespace or '?'}"


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()
