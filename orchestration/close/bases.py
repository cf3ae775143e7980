"""Cost bases of a month over its payers: their totals, and those that no export tells.

Holds the one rule on what is unknown: the total of a basis is known if it is known of every
payer. A part of it would be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import duckdb

from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, INVOICE_BASIS, SHOWN_BASIS
from orchestration.ledger.manifest import BasisTotals, MissingBasis

Laws = Mapping[tuple[str, str], BasisTotals | None]
"""The law of the month by payer and cost basis; None where the exports do not tell it."""


def basis_of_breakdowns(totals: Mapping[str, BasisTotals | None]) -> str:
    """The basis that a month is broken down in: one that is known of all payers."""
    return SHOWN_BASIS if totals.get(SHOWN_BASIS) is not None else INVOICE_BASIS


def as_law(figures: Sequence[Decimal | None]) -> BasisTotals | None:
    """Amounts in the order of ``BasisTotals``; None if any is missing."""
    names = BasisTotals.model_fields
    known = {name: usd for name, usd in zip(names, figures, strict=True) if usd is not None}
    return BasisTotals(**known) if len(known) == len(names) else None


def sum_totals(parts: Sequence[BasisTotals]) -> BasisTotals:
    """The totals of several payers together."""
    return BasisTotals(
        **{
            name: sum((getattr(part, name) for part in parts), Decimal(0))
            for name in BasisTotals.model_fields
        }
    )


def sum_laws(laws: Laws) -> dict[str, BasisTotals | None]:
    """The totals of each basis over all payers; None where one of them has none."""
    totals: dict[str, BasisTotals | None] = {}
    for basis in BASES:
        of_payers = [law for (_, name), law in laws.items() if name == basis]
        known = [law for law in of_payers if law is not None]
        totals[basis] = sum_totals(known) if len(known) == len(of_payers) else None
    return totals


def read_missing_bases(
    connection: duckdb.DuckDBPyConnection, month: Month
) -> tuple[MissingBasis, ...]:
    """Read what the exports of the month do not tell, by payer and basis.

    Raises:
        duckdb.CatalogException: The warehouse has no ``int_bases__known``.
    """
    rows = connection.execute(
        f"""
        select payer_account_id, cost_basis, missing_in, missing_columns
        from int_bases__known
        where billing_month = date '{month.key}' and not is_known
        order by payer_account_id, cost_basis
        """
    ).fetchall()
    return tuple(
        MissingBasis(
            payer_account_id=payer,
            cost_basis=basis,
            exports=tuple(exports.split(", ")),
            columns=tuple(columns.split(", ")),
        )
        for payer, basis, exports, columns in rows
    )
