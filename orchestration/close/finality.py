"""What tells whether AWS, and the inventory, are done with a month.

Holds the reading of the facts by payer; what they come to is in ``ledger/status.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from orchestration.close.bases import Laws
from orchestration.close.controls import Control
from orchestration.lake.schemas import SHOWN_BASIS
from orchestration.ledger.status import PayerFacts

GAPS = "inventories_have_no_gaps"
"""The control whose residual is the cost that gaps put at risk."""


def read_facts(
    connection: duckdb.DuckDBPyConnection,
    bill_lines: str,
    laws: Laws,
    controls: Iterable[Control],
) -> list[PayerFacts]:
    """Read what is known of each payer of a month.

    Args:
        connection: Any.
        bill_lines: ``raw/bill_lines`` of the month, as SQL.
        laws: Its law, by payer and basis.
        controls: Its controls.
    """
    rows = connection.execute(
        f"""
        select bill_payer_account_id, count(*), sum(line_item_unblended_cost)
        from {bill_lines}
        where
            line_item_unblended_cost <> 0
            and coalesce(bill_invoice_id, '') = ''
            and coalesce(split_line_item_parent_resource_id, '') = ''
        group by bill_payer_account_id
        """
    ).fetchall()
    uninvoiced = {payer: (count, usd) for payer, count, usd in rows}
    at_risk = {
        one.payer_account_id: one.residual_usd for one in controls if one.control == GAPS
    }
    found = []
    for payer in sorted({payer for payer, _ in laws}):
        law = laws[payer, SHOWN_BASIS]
        count, usd = uninvoiced.get(payer, (0, 0))
        found.append(
            PayerFacts(
                payer_account_id=payer,
                uninvoiced_lines=count,
                uninvoiced_usd=usd,
                at_risk_usd=at_risk.get(payer) if law else None,
                bill_usd=law.bill if law else None,
            )
        )
    return found


def warnings_of(controls: Sequence[Control]) -> tuple[str, ...]:
    """Names of the controls that did not pass, each once."""
    return tuple(dict.fromkeys(one.control for one in controls if not one.is_passed))
