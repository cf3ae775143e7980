"""Whether a month is open, provisional, final or restated, and what it waits for.

Holds the rule alone. The facts that it looks at are read by ``close/finality.py``; what a
published month said of itself is in its manifest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from orchestration.lake.figures import cents
from orchestration.lake.months import Month
from orchestration.ledger.manifest import Manifest, Status

SETTLED = ("final", "restated")
"""Statuses whose figures people rely on: they change for a stated reason only."""

_UNKNOWN = Status(
    name="provisional", reasons=("it was published before months had a status",)
)


@dataclass(frozen=True)
class PayerFacts:
    """What tells whether AWS, and the inventory, are done with a payer's month.

    Attributes:
        payer_account_id: The payer.
        uninvoiced_lines: Bill lines with money and without an invoice id.
        uninvoiced_usd: What they cost, unblended.
        at_risk_usd: Cost of the node-hours that gaps in the inventory touch, amortized;
            None where the export does not tell that basis.
        bill_usd: The payer's bill in the same basis.
    """

    payer_account_id: str
    uninvoiced_lines: int
    uninvoiced_usd: Decimal
    at_risk_usd: Decimal | None
    bill_usd: Decimal | None

    def open_points(self, limit_percent: Decimal) -> list[str]:
        """What the payer's month waits for, a phrase each."""
        found = []
        if self.uninvoiced_lines:
            found.append(
                f"payer {self.payer_account_id} has {self.uninvoiced_lines:,} bill lines"
                f" ({cents(self.uninvoiced_usd)} USD) without an invoice id"
            )
        at_risk, bill = self.at_risk_usd, self.bill_usd
        if at_risk and bill and 100 * at_risk > limit_percent * bill:
            found.append(
                f"gaps in the inventory of payer {self.payer_account_id} touch"
                f" {cents(at_risk)} USD, more than PODLEDGER_AT_RISK_PERCENT"
                f" ({limit_percent:f}%) of its bill"
            )
        return found


def decide(
    month: Month,
    payers: Sequence[PayerFacts],
    *,
    limit_percent: Decimal,
    before: Manifest | None,
    now: dt.datetime,
) -> Status:
    """The status of a revision that is about to be published.

    Args:
        month: The month.
        payers: What is known of each payer.
        limit_percent: Largest part of a payer's bill that may be at risk in a final month.
        before: The revision that it replaces.
        now: Time of the publication, with a zone.
    """
    if not has_ended(month, now):
        return Status(name="open", reasons=("the month has not ended",))
    points = tuple(point for payer in payers for point in payer.open_points(limit_percent))
    if before and is_settled(before):
        return Status(name="restated", reasons=points)
    return Status(name="provisional" if points else "final", reasons=points)


def has_ended(month: Month, now: dt.datetime) -> bool:
    """Whether a billing month is over, by UTC."""
    return now >= month.end


def is_settled(manifest: Manifest) -> bool:
    """Whether a revision is final or restated, so that a change of it needs a reason."""
    return manifest.status is not None and manifest.status.name in SETTLED


def status_of(manifest: Manifest, now: dt.datetime) -> Status:
    """The status of a published revision today: what was open then may have ended."""
    if manifest.status is None:
        return _UNKNOWN
    if manifest.status.name == "open" and has_ended(Month.parse(manifest.month), now):
        return Status(name="provisional", reasons=("it was closed before the month ended",))
    return manifest.status
