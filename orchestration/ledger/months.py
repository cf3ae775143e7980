"""Every published month and revision as one line: how far it is, and what changed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import INVOICE_BASIS
from orchestration.ledger.book import Revision, place, revisions
from orchestration.ledger.journal import Entry, read_journal
from orchestration.ledger.manifest import Status
from orchestration.ledger.status import status_of


@dataclass(frozen=True)
class Line:
    """One revision of a month.

    Attributes:
        revision: The revision.
        status: Today's.
        bill_usd: Its bill, unblended.
        change_usd: How much more that is than in the revision before; None for the first.
        entry: Its entry in the journal; None for those from before there was one.
    """

    revision: Revision
    status: Status
    bill_usd: Decimal
    change_usd: Decimal | None
    entry: Entry | None

    @property
    def newest_delivery(self) -> str:
        """The last delivery that was read, as AWS names it."""
        return max(one.delivery_id for one in self.revision.manifest.deliveries)

    def as_json(self) -> dict[str, Any]:
        """The line as JSON's own types; money as strings, exact."""
        manifest = self.revision.manifest
        return {
            "month": manifest.month,
            "status": self.status.name,
            "reasons": list(self.status.reasons),
            "revision": manifest.revision,
            "replaces": manifest.replaces,
            "bill_usd": f"{self.bill_usd:f}",
            "change_usd": None if self.change_usd is None else f"{self.change_usd:f}",
            "deliveries": [one.delivery_id for one in manifest.deliveries],
            "warnings": list(manifest.warnings),
            "policy": manifest.policy.name if manifest.policy else None,
            "journal": self.entry.model_dump() if self.entry else None,
        }


def lines_of(
    published: Path, month: Month, remote: str | None, now: dt.datetime
) -> list[Line]:
    """Every revision of a month, oldest first.

    Raises:
        PodledgerError: The month was never published, or a manifest or entry is damaged.
    """
    found = revisions(published, month, remote)
    if not found:
        raise PodledgerError(
            f"{month} was never published below {place(published, remote)}. Close it first:"
            f" podledger close {month}."
        )
    entries = {entry.revision: entry for entry in read_journal(published, month, remote)}
    lines: list[Line] = []
    for revision in found:
        totals = revision.manifest.totals[INVOICE_BASIS]
        assert totals is not None, "every bill tells the basis of its invoice"
        lines.append(
            Line(
                revision=revision,
                status=status_of(revision.manifest, now),
                bill_usd=totals.bill,
                change_usd=totals.bill - lines[-1].bill_usd if lines else None,
                entry=entries.get(revision.number),
            )
        )
    return lines
