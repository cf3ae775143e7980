"""The last looks before a month is published, each of which may refuse it.

Holds what must be so: that the marts belong to the lake as it is now, that the law of the
month holds, and that the written files carry the totals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from orchestration.close.bases import Laws, as_law, sum_totals
from orchestration.close.export import Tally
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES
from orchestration.ledger.manifest import MissingBasis
from orchestration.ledger.tables import (
    BASIS_COLUMNS,
    CHARGEBACK,
    CHARGES,
    REMAINDER,
    SCAD,
    SCAD_SPLIT_COLUMNS,
    SCAD_UNUSED_COLUMNS,
    UNALLOCATED,
)


def require_this_bill(
    connection: duckdb.DuckDBPyConnection, lake: Lake, month: Month
) -> None:
    """Refuse marts that were built before the bill in the lake was read.

    The manifest names the deliveries of the lake: the figures have to be theirs. AWS's own
    split rows are no part of the bill.
    """
    in_marts, in_lake = connection.execute(
        f"""
        select
            (
                select coalesce(sum(bill_usd), 0) from rpt_month_totals
                where billing_month = date '{month.key}' and cost_basis = 'unblended'
            ),
            (
                select coalesce(sum(line_item_unblended_cost), 0)
                from {lake_files(lake, "raw/bill_lines", month)}
                where coalesce(split_line_item_parent_resource_id, '') = ''
            )
        """
    ).fetchall()[0]
    if in_marts != in_lake:
        raise PodledgerError(
            f"{month} is not published: the bill in the lake is {exact(in_lake)} USD"
            f" unblended, and the marts were built from one of {exact(in_marts)} USD. The"
            " bill was read again after them. Run the whole close: podledger close"
            f" {month}."
        )


def require_this_method(
    connection: duckdb.DuckDBPyConnection, lake: Lake, month: Month, method: int
) -> None:
    """Refuse costs that were split by another version than the manifest would name.

    Raises:
        PodledgerError: They were.
    """
    found = {
        version
        for table in ("pod_costs", "unallocated_costs")
        for (version,) in connection.execute(
            f"select distinct method_version from {lake_files(lake, table, month)}"
        ).fetchall()
    }
    if found - {method}:
        raise PodledgerError(
            f"{month} is not published: its costs were split by version"
            f" {', '.join(str(version) for version in sorted(found))} of the method, and"
            f" PODLEDGER_METHOD is {method}. Run the whole close: podledger close {month}"
            f" --method {method}."
        )


def lake_files(lake: Lake, table: str, month: Month) -> str:
    """A table of the lake as SQL.

    Raises:
        PodledgerError: The lake has none of the month.
    """
    paths = lake.files(table, month)
    if not paths:
        raise PodledgerError(
            f"{month} is not published: the lake at {lake.root} has no {table} of it. Run"
            f" the whole close: podledger close {month}."
        )
    return parquet(*paths)


def read_laws(connection: duckdb.DuckDBPyConnection, month: Month) -> Laws:
    """The law of the month for each payer and basis, after it held.

    Raises:
        PodledgerError: A payer lacks a basis, or its parts do not add up to its bill.
    """
    rows = connection.execute(
        f"""
        select
            payer_account_id,
            cost_basis,
            bill_usd,
            pods_split_usd,
            pods_unused_usd,
            unallocated_usd,
            remainder_usd
        from rpt_month_totals
        where billing_month = date '{month.key}'
        order by payer_account_id, cost_basis
        """
    ).fetchall()
    laws = {(payer, basis): as_law(figures) for payer, basis, *figures in rows}
    payers = sorted({payer for payer, _ in laws})
    missing = [
        f"payer {payer}, {basis}"
        for payer in payers
        for basis in BASES
        if (payer, basis) not in laws
    ]
    if not payers or missing or len(laws) != len(rows):
        raise PodledgerError(
            f"{month} is not published: rpt_month_totals must have one row a payer and cost"
            f" basis, and does not ({', '.join(missing) or f'{len(rows)} rows'}). Run the"
            f" whole close: podledger close {month}."
        )
    for payer, basis, *figures in rows:
        if None in figures and any(usd is not None for usd in figures):
            raise PodledgerError(
                f"{month} is not published: rpt_month_totals has some {basis} amounts of"
                f" payer {payer} and not others, and what is missing is not zero. Run the"
                f" whole close: podledger close {month}. If it stays so, a model is wrong."
            )
    for (payer, basis), law in laws.items():
        if law is not None and law.difference:
            raise PodledgerError(
                f"{month} is not published: the {basis} bill of payer {payer} is"
                f" {exact(law.bill)} USD, and its parts differ from it by"
                f" {exact(law.difference)} USD (pods {exact(law.pods)}, unallocated"
                f" {exact(law.unallocated)}, remainder {exact(law.remainder)})."
                " Compare fct_bill_remainder, fct_unallocated and pod_costs with"
                " raw/bill_lines."
            )
    return laws


def require_nulls(laws: Laws, missing: Sequence[MissingBasis], month: Month) -> None:
    """Hold what has no amounts against what the exports cannot tell.

    Raises:
        PodledgerError: A basis is null that they tell, or has amounts that they do not.
    """
    without = {key for key, law in laws.items() if law is None}
    named = {(one.payer_account_id, one.cost_basis) for one in missing}
    for payer, basis in sorted(without ^ named):
        found = "has no amounts" if (payer, basis) in without else "has amounts"
        raise PodledgerError(
            f"{month} is not published: the {basis} cost of payer {payer} {found} in"
            " rpt_month_totals, and int_bases__known says otherwise. They are of different"
            f" runs, or a model is wrong. Run the whole close: podledger close {month}."
        )


def require_totals(tallies: Mapping[str, Tally], laws: Laws, month: Month) -> None:
    """Hold the written files against the totals that the manifest will name.

    A column of which a payer has no amounts is held against the other payers' sum.

    Raises:
        PodledgerError: A money column of a file does not add up to its total, or is null
            where its basis is known.
    """
    totals = {
        basis: sum_totals([law for (_, b), law in laws.items() if b == basis and law])
        for basis in BASES
    }
    unknown = {basis for (_, basis), law in laws.items() if law is None}
    due = {
        SCAD.name: {
            **{c: (b, totals[b].pods_split) for b, c in SCAD_SPLIT_COLUMNS.items()},
            **{c: (b, totals[b].pods_unused) for b, c in SCAD_UNUSED_COLUMNS.items()},
        },
        UNALLOCATED.name: {c: (b, totals[b].unallocated) for c, b in BASIS_COLUMNS.items()},
        REMAINDER.name: {c: (b, totals[b].remainder) for c, b in BASIS_COLUMNS.items()},
        CHARGES.name: {c: (b, totals[b].bill) for c, b in BASIS_COLUMNS.items()},
        CHARGEBACK.name: {
            f"{basis}_{part}_usd": (basis, amount)
            for basis, law in totals.items()
            for part, amount in (
                ("split", law.pods_split),
                ("unused", law.pods_unused),
                ("total", law.pods),
            )
        },
    }
    for name, columns in due.items():
        for column, (basis, expected) in columns.items():
            actual = tallies[name].sums[column]
            if actual != expected:
                raise PodledgerError(
                    f"{month} is not published: {column} of {name} adds up to"
                    f" {exact(actual)} USD, and rpt_month_totals says {exact(expected)}."
                    " Marts and pod_costs are of different runs, or a model drops rows. Run"
                    f" the whole close: podledger close {month}."
                )
            nulls = tallies[name].nulls[column]
            if nulls and basis not in unknown:
                raise PodledgerError(
                    f"{month} is not published: {column} of {name} is null in {nulls} rows,"
                    f" and the {basis} cost of every payer is known. A model loses amounts."
                    f" Run the whole close: podledger close {month}."
                )
