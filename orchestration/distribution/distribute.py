"""Running a policy over the costs of a month: DuckDB does it, whatever the engine.

What is left to distribute is a few rows a workload and day, so that one machine does it in
seconds where the split itself needed a cluster: both engines have the very same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.distribution.policy_file import Policy
from orchestration.distribution.statements import (
    CHARGES,
    DETAIL,
    QUOTAS,
    UNITS,
    WHOM,
    Script,
    script_of,
    weight_units,
)
from orchestration.engines.duckdb import quote
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, CHARGE_RULES, UNIT_DIGITS
from orchestration.lake.schemas import CHARGES as CHARGES_OF_LAKE

COSTS = "int_costs__undistributed"
"""The model that is distributed, in the warehouse."""

CHARGE_TYPES = ("direct", "idle", "shared", "unassigned")
"""Kinds of charges, in the order in which a statement has them."""

_ORDER = (
    "usage_date",
    *(f"{name}::varchar" if name == "labels" else name for name in WHOM),
    "charge_type",
    "origin",
    "origin_detail",
    "rule_number",
    "reason",
)
"""A key of the charges, in which they are written."""

_MAP = "map(varchar, varchar)"


@dataclass(frozen=True)
class RuleResult:
    """What came of one rule, over all payers.

    Attributes:
        number: Its place in the policy, from 1.
        name: Its name.
        key: To whom, in words.
        matched: Costs that it was meant for; 0 if it matches nothing.
        taken_usd: By basis; None where a basis is unknown of all that was taken.
        left_usd: By basis, what it was meant for and nobody could be found for.
        script: What it did, as SQL.
    """

    number: int
    name: str
    key: str
    matched: int
    taken_usd: dict[str, Decimal | None]
    left_usd: dict[str, Decimal | None]
    script: str


@dataclass
class Distribution:
    """A month that was distributed, in tables of a connection.

    ``charges`` has a row a payer, receiver, day, kind and rule; money in USD.
    """

    connection: duckdb.DuckDBPyConnection
    policy: Policy
    rules: list[RuleResult] = field(default_factory=list)

    def write_charges(self, path: Path) -> int:
        """Write the charges as Parquet, in their order, and return how many they are."""
        self._copy("distributed", CHARGES_OF_LAKE, ", ".join(_ORDER), path)
        return self._count("distributed")

    def write_rules(self, path: Path) -> int:
        """Write what each rule took of each payer, and return how many rows that is."""
        self._copy("rules", CHARGE_RULES, "rule_number, payer_account_id", path)
        return self._count("rules")

    def by_type(self, basis: str) -> dict[str, Decimal | None]:
        """Charge type -> USD; None where the basis is unknown of a part of it."""
        sums = dict(
            self.connection.execute(
                f"select charge_type, case when count(*) = count({basis}_usd)"
                f" then sum({basis}_usd) end from distributed group by charge_type"
            ).fetchall()
        )
        return {name: sums.get(name, Decimal(0)) for name in CHARGE_TYPES}

    def _copy(self, table: str, schema: pa.Schema, order: str, path: Path) -> None:
        self.connection.execute(
            f"copy (select {', '.join(schema.names)} from {table} order by {order})"
            f" to {quote(str(path))} (format parquet, compression zstd)"
        )

    def _count(self, table: str) -> int:
        return _one(self.connection, f"select count(*) from {table}")


def distribute(
    connection: duckdb.DuckDBPyConnection,
    month: Month,
    policy: Policy,
    *,
    asked: str = "false",
) -> Distribution:
    """Distribute the costs of a month, as temporary tables of a connection.

    Args:
        connection: To the warehouse; it is only read.
        month: The month.
        policy: By which.
        asked: Condition on its rows: what meets it is kept apart through every rule, in
            ``charges.part`` 1, to tell where it went.

    Raises:
        PodledgerError: Amounts are beyond what can be apportioned exactly.
    """
    try:
        _prepare(connection, month, asked)
        scripts = [
            script_of(number, rule, month.key)
            for number, rule in enumerate(policy.rules, start=1)
        ]
        for script in scripts:
            for statement in script.statements:
                connection.execute(statement)
        _finish(connection, month, scripts)
    except duckdb.CatalogException as error:
        if QUOTAS not in str(error):
            raise
        raise PodledgerError(
            f"The warehouse was built by a version that knew no quotas. Run podledger close"
            f" {month}."
        ) from error
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
        raise PodledgerError(
            f"{month} cannot be distributed by the policy {policy.name!r}: an amount or a"
            f" weight is beyond 128 bits ({str(error).splitlines()[0]}). Narrow the rule"
            " that shares it, or use smaller weights."
        ) from error
    return Distribution(connection, policy, _results(connection, scripts))


def _prepare(connection: duckdb.DuckDBPyConnection, month: Month, asked: str) -> None:
    units = ", ".join(f"{_units(f'{basis}_usd')} as {basis}_units" for basis in BASES)
    whom = ", ".join(f"{name}::varchar" if name == "labels" else name for name in WHOM)
    connection.execute(f"""
        create or replace temp table left_over as
        select
            row_number() over () as cost_id,
            *,
            dense_rank() over (order by {whom}) as who,
            case when origin in ('split', 'pod') then {weight_units()} else 0 end
                as direct_units
        from (
            select
                * exclude (unblended_usd, amortized_usd, net_amortized_usd,
                    public_on_demand_usd, billing_month, labels, owner_labels),
                coalesce(labels, map([], [])::{_MAP}) as labels,
                coalesce(owner_labels, map([], [])::{_MAP}) as owner_labels,
                {_in_cluster("namespace")} as cluster_namespace,
                {_in_cluster("node_pool")} as cluster_node_pool,
                ({asked})::int as part,
                null::varchar as why,
                {units}
            from {COSTS}
            where billing_month = date '{month.key}'
        )
    """)
    # Quotas are looked at by the first rule that speaks of them.
    connection.execute("drop table if exists temp.held")
    connection.execute(
        f"create or replace temp table whom as select distinct who, {', '.join(WHOM)}"
        " from left_over where origin in ('split', 'pod')"
    )
    types = {
        "usage_date": "date",
        "labels": _MAP,
        "rule_number": "int",
        "part": "int",
        "who": "bigint",
    }
    columns = ", ".join(
        f"{name} {types.get(name, 'hugeint' if name in UNITS else 'varchar')}"
        for name in CHARGES
    )
    connection.execute(f"create or replace temp table charges ({columns})")
    connection.execute(
        "create or replace temp table taken_pods (who bigint, rule_number int)"
    )
    for name in ("matched", "missed"):
        connection.execute(
            f"create or replace temp table {name} (rule_number int, payer_account_id"
            f" varchar, cost_count bigint, {', '.join(f'{one} hugeint' for one in UNITS)})"
        )


def _in_cluster(column: str) -> str:
    """One text for a part of a cluster: other clusters may have one of the same name."""
    return (
        f"case when cluster_name is not null and {column} is not null"
        f" then row(cluster_name, {column})::varchar end"
    )


def _finish(
    connection: duckdb.DuckDBPyConnection, month: Month, scripts: Sequence[Script]
) -> None:
    """What no rule took stays with the pods, or with nobody; then units become USD."""
    nobody = ", ".join(["null"] * 4 + [f"map([], [])::{_MAP}"])
    sums = ", ".join(f"sum({units})" for units in UNITS)
    connection.execute(f"""
        insert into charges
        select usage_date, {", ".join(WHOM)}, 'direct', origin, null, null, null, part,
            null, {sums}
        from left_over where origin in ('split', 'pod') group by all
    """)
    connection.execute(f"""
        insert into charges
        select case when origin <> 'remainder' then usage_date end, {", ".join(WHOM[:4])},
            {nobody}, 'unassigned', origin, {DETAIL}, null, coalesce(why, 'no_rule'), part,
            null, {sums}
        from left_over where origin not in ('split', 'pod') group by all
    """)
    names = (
        ", ".join(
            f"({one.number}, {quote(one.rule.name)}, {quote(one.rule.key)},"
            f" {str(one.rule.across_payers).lower()}, {quote(one.text)})"
            for one in scripts
        )
        or "(null, null, null, null, null)"
    )
    connection.execute(
        "create or replace temp table named as select * from (values"
        f" {names}) as named(rule_number, rule, key, across_payers, statements)"
        " where rule_number is not null"
    )
    some = " or ".join(f"{units} <> 0" for units in UNITS)
    usd = ", ".join(f"{usd_of(f'sum({basis}_units)')} as {basis}_usd" for basis in BASES)
    connection.execute(f"""
        create or replace temp table distributed as
        select charges.usage_date, {", ".join(WHOM)}, charge_type, origin, origin_detail,
            named.rule, reason, rule_number, {usd}
        from charges left join named using (rule_number)
        where {some}
        group by all
    """)
    taken = ", ".join(
        f"{usd_of(f'matched.{basis}_units - coalesce(missed.{basis}_units, 0)')}"
        f" as {basis}_taken_usd, "
        f"{usd_of(f'coalesce(missed.{basis}_units, 0 * matched.{basis}_units)')}"
        f" as {basis}_left_usd"
        for basis in BASES
    )
    connection.execute(f"""
        create or replace temp table rules as
        select named.rule_number::int as rule_number, named.rule, named.key,
            named.across_payers, matched.payer_account_id,
            coalesce(matched.cost_count, 0) as cost_count, {taken}, named.statements
        from named
        left join matched on named.rule_number = matched.rule_number
        left join missed on matched.rule_number = missed.rule_number
            and matched.payer_account_id is not distinct from missed.payer_account_id
    """)


def _results(
    connection: duckdb.DuckDBPyConnection, scripts: Sequence[Script]
) -> list[RuleResult]:
    sums = ", ".join(
        f"sum({basis}_{part}_usd)" for part in ("taken", "left") for basis in BASES
    )
    rows = connection.execute(
        f"select rule_number, sum(cost_count)::bigint, {sums} from rules"
        " group by rule_number order by rule_number"
    ).fetchall()
    by_number = {number: (count, money) for number, count, *money in rows}
    found = []
    for script in scripts:
        count, money = by_number[script.number]
        if not count:
            # What nothing was matched for is known in every basis: nothing.
            money = [Decimal(0)] * len(money)
        found.append(
            RuleResult(
                number=script.number,
                name=script.rule.name,
                key=script.rule.key,
                matched=count,
                taken_usd=dict(zip(BASES, money[: len(BASES)], strict=True)),
                left_usd=dict(zip(BASES, money[len(BASES) :], strict=True)),
                script=script.text,
            )
        )
    return found


def _units(usd: str) -> str:
    """USD as whole units, in 128 bits."""
    return f"({usd}::decimal(27, 10) * 10000000000::decimal(11, 0))::hugeint"


def usd_of(units: str) -> str:
    """Whole units as USD. A product, since a quotient would be a double."""
    return (
        f"(({units})::decimal(28, 0) * 0.0000000001::decimal({UNIT_DIGITS}, {UNIT_DIGITS}))"
        f"::decimal(38, {UNIT_DIGITS})"
    )


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0])
