"""Trying a policy on a month that is computed, without touching lake or books.

Holds what ``podledger policy check`` and ``policy explain`` ask: what each rule would take,
what stays unassigned, and who carries what something cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.distribution.distribute import RuleResult, distribute, usd_of
from orchestration.distribution.policy_file import Policy
from orchestration.engines.duckdb import quote
from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

OF_WHAT = {
    "cluster": "cluster_name",
    "namespace": "namespace",
    "workload": "workload_name",
    "node_pool": "node_pool",
    "category": "category",
}
"""What one may ask the carriers of, and its column."""


@dataclass(frozen=True)
class Unassigned:
    """Cost that nobody is charged for, in the trial's basis."""

    origin: str
    detail: str | None
    reason: str
    usd: Decimal | None


@dataclass(frozen=True)
class Trial:
    """What a policy would make of a month; amounts in ``basis``.

    Attributes:
        month: The month, like 2026-10.
        basis: Cost basis of the amounts: amortized where the exports tell it.
        rules: What came of each rule, in order.
        by_type: Charge type -> USD.
        unassigned: Most expensive first.
        namesakes: Names of clusters that stand in several accounts or Regions, if a rule
            shares within clusters.
        late: Rules that take pods to which earlier rules gave: number, name, and USD that
            stays with those pods.
    """

    month: str
    basis: str
    rules: list[RuleResult]
    by_type: dict[str, Decimal | None]
    unassigned: list[Unassigned]
    namesakes: list[str]
    late: list[tuple[int, str, Decimal]]


@dataclass(frozen=True)
class Carrier:
    """Who carries a part of what something cost, in USD of the basis that was asked for."""

    team: str | None
    namespace: str | None
    charge_type: str
    rule: str | None
    usd: Decimal

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; money as exact text."""
        return {**asdict(self), "usd": f"{self.usd:f}"}


def newest_month(warehouse: Path) -> Month | None:
    """The newest month that the warehouse holds; None without any."""
    if not warehouse.is_file():
        return None
    try:
        with open_warehouse(warehouse) as connection:
            rows = connection.execute(
                "select max(billing_month) from int_pod_costs__daily"
            ).fetchall()
    except duckdb.CatalogException:
        return None
    return Month.parse(rows[0][0].isoformat()) if rows[0][0] else None


def try_policy(warehouse: Path, month: Month, policy: Policy) -> Trial:
    """Distribute a month by a policy, and forget it.

    Raises:
        PodledgerError: The month was not computed, or the policy cannot be applied to it.
    """
    with open_warehouse(warehouse) as connection:
        _require_month(connection, month, policy)
        found = distribute(connection, month, policy)
        basis = _basis(connection)
        return Trial(
            month=month.label,
            basis=basis,
            rules=found.rules,
            by_type=found.by_type(basis),
            unassigned=[
                Unassigned(*row)
                for row in connection.execute(
                    f"select origin, origin_detail, reason, sum({basis}_usd) as usd"
                    " from distributed where charge_type = 'unassigned'"
                    " group by all order by abs(usd) desc, origin, origin_detail"
                ).fetchall()
            ],
            namesakes=_namesakes(connection, policy),
            late=_late(connection, basis),
        )


@dataclass(frozen=True)
class TeamUnder:
    """What a team would be charged under several policies.

    Attributes:
        team: Its name; None for what has no team, unassigned cost included.
        usd: Name of the policy -> USD.
    """

    team: str | None
    usd: dict[str, Decimal]

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; money as exact text."""
        return {
            "team": self.team,
            "usd": {name: f"{usd:f}" for name, usd in self.usd.items()},
        }


def compare_policies(
    warehouse: Path, month: Month, policies: Sequence[Policy]
) -> tuple[str, list[TeamUnder]]:
    """What each team would be charged under each of several policies.

    Returns:
        The cost basis, and the teams, by what they cost under the last policy.

    Raises:
        PodledgerError: The month was not computed, or a policy cannot be applied to it.
    """
    charged: dict[str | None, dict[str, Decimal]] = {}
    basis = ""
    for policy in policies:
        with open_warehouse(warehouse) as connection:
            _require_month(connection, month, policy)
            distribute(connection, month, policy)
            basis = _basis(connection)
            for team, usd in connection.execute(
                f"select labels['team'], sum({basis}_usd) from distributed group by 1"
            ).fetchall():
                charged.setdefault(team, {})[policy.name] = usd
    names = [policy.name for policy in policies]
    rows = [
        TeamUnder(team, {name: usd.get(name, Decimal(0)) for name in names})
        for team, usd in charged.items()
    ]
    rows.sort(key=lambda one: (one.team is None, -one.usd[names[-1]], one.team or ""))
    return basis, rows


def carriers(
    warehouse: Path, month: Month, policy: Policy, what: Mapping[str, str]
) -> list[Carrier]:
    """Who carries what something cost: the whole of it, by team and rule.

    Args:
        warehouse: The DuckDB file.
        month: A month that is computed.
        policy: By which it is distributed.
        what: Keys of ``OF_WHAT`` with the value that is asked for; all must match.

    Raises:
        PodledgerError: There is no such cost in the month.
    """
    asked = " and ".join(
        f"{OF_WHAT[name]} is not distinct from {quote(value)}"
        for name, value in what.items()
    )
    with open_warehouse(warehouse) as connection:
        _require_month(connection, month, policy)
        distribute(connection, month, policy, asked=asked)
        basis = _basis(connection)
        rows = connection.execute(
            f"""
            select
                labels['team'] as team,
                case when team is null then namespace end as its_namespace,
                charge_type, rule,
                {usd_of(f"sum({basis}_units)")} as usd
            from charges
            left join named using (rule_number)
            where part = 1
            group by all
            having usd <> 0
            order by usd desc, 1, 2, 3, 4
            """
        ).fetchall()
    if not rows:
        told = ", ".join(f"{name} {value}" for name, value in what.items())
        raise PodledgerError(
            f"{month} has no cost of {told}. Names are as podledger summary --json and the"
            " published charges have them."
        )
    return [Carrier(*row) for row in rows]


def _require_month(
    connection: duckdb.DuckDBPyConnection, month: Month, policy: Policy
) -> None:
    try:
        (count,) = connection.execute(
            "select count(*) from int_costs__undistributed"
            f" where billing_month = date '{month.key}'"
        ).fetchall()[0]
    except duckdb.CatalogException as error:
        raise PodledgerError(
            f"The warehouse was built by another version. Run podledger close {month}."
        ) from error
    if not count:
        raise PodledgerError(
            f"{month} was not computed here, so there is nothing to try the policy"
            f" {policy.name!r} on. Run podledger close {month}."
        )
    if policy.needs_nodes:
        (nodes,) = connection.execute(
            "select count(instance_id) from int_costs__undistributed"
            f" where billing_month = date '{month.key}'"
        ).fetchall()[0]
        if not nodes:
            raise PodledgerError(
                f"The policy {policy.name!r} shares within nodes, and {month} was computed"
                " without them. Set PODLEDGER_POLICY to it and run podledger close"
                f" {month}."
            )


def _basis(connection: duckdb.DuckDBPyConnection) -> str:
    """Amortized, unless the exports do not tell it of every payer."""
    (unknown,) = connection.execute(
        "select count(*) from distributed where amortized_usd is null"
    ).fetchall()[0]
    return "unblended" if unknown else "amortized"


def _namesakes(connection: duckdb.DuckDBPyConnection, policy: Policy) -> list[str]:
    """Clusters that rules take for one, and that may be several."""
    circles = {
        circle for rule in policy.rules if rule.share for circle in rule.share.circles
    }
    if not circles & {"cluster", "namespace", "node_pool"}:
        return []
    rows = connection.execute(
        "select cluster_name from whom where cluster_name is not null"
        " group by payer_account_id, cluster_name"
        " having count(distinct (usage_account_id, region_code)) > 1 order by 1"
    ).fetchall()
    return [name for (name,) in rows]


def _late(
    connection: duckdb.DuckDBPyConnection, basis: str
) -> list[tuple[int, str, Decimal]]:
    """Rules that take pods which earlier rules charged; these charges stay there."""
    rows = connection.execute(
        f"""
        select named.rule_number, named.rule,
            {usd_of(f"sum(charges.{basis}_units)")} as usd
        from charges
        inner join whom using (who)
        inner join taken_pods on charges.who = taken_pods.who
            and charges.rule_number < taken_pods.rule_number
        inner join named on taken_pods.rule_number = named.rule_number
        group by all having usd <> 0 order by all
        """
    ).fetchall()
    return [tuple(row) for row in rows]
