"""The controls of the close: what they found, and whether a month passed.

Holds the reading of their rows and the one rule that decides whether a month may be
published. The arithmetic is SQL, a model a control below ``models/marts/controls``, which
``fct_close_controls`` puts together; the same rows feed the asset checks and the published
table. What a control means is in ``catalogue.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import duckdb

from orchestration.close.catalogue import CONTROLS_YAML, catalogue
from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.months import Month
from orchestration.ledger.tables import CONTROLS


@dataclass(frozen=True)
class Control:
    """One row of ``fct_close_controls``.

    Attributes:
        control: Its name in the catalogue.
        payer_account_id: The payer; None where it concerns them all.
        cost_basis: The basis; None where it concerns no one basis.
        expected_usd: What should be.
        actual_usd: What is.
        residual_usd: Expected less actual.
        is_passed: Whether the control holds.
        severity: ``blocking`` or ``warning``.
        evidence: What was counted, and the worst case by name.
    """

    control: str
    payer_account_id: str | None
    cost_basis: str | None
    expected_usd: Decimal | None
    actual_usd: Decimal | None
    residual_usd: Decimal | None
    is_passed: bool
    severity: str
    evidence: str | None

    @property
    def scope(self) -> str:
        """Payer and basis in words."""
        payer = f"payer {self.payer_account_id}" if self.payer_account_id else "all payers"
        return f"{payer}, {self.cost_basis}" if self.cost_basis else payer

    @property
    def finding(self) -> str:
        """Scope, amounts and evidence in one sentence, without its full stop.

        Amounts that are all zero are left out: such a control counts something else.
        """
        figures = {
            "expected": self.expected_usd,
            "actual": self.actual_usd,
            "residual": self.residual_usd,
        }
        amounts = ", ".join(
            f"{word} {exact(usd)} USD"
            for word, usd in figures.items()
            if usd is not None and any(figures.values())
        )
        said = [amounts, (self.evidence or "").strip().rstrip(".")]
        return f"{self.scope}: {'; '.join(part for part in said if part)}"


def read_controls(warehouse: Path, month: Month) -> list[Control]:
    """Read the month's rows of ``fct_close_controls``, in the catalogue's order.

    Raises:
        PodledgerError: There is no warehouse, it is busy, or it lacks the table.
    """
    with open_warehouse(warehouse) as connection:
        try:
            rows = connection.execute(
                f"select {', '.join(CONTROLS.columns)} from {CONTROLS.mart}"
                f" where billing_month = date '{month.key}'"
                f" order by {', '.join(CONTROLS.order_by)}"
            ).fetchall()
        except duckdb.CatalogException as error:
            raise PodledgerError(
                f"The warehouse {warehouse} has no {CONTROLS.mart}: no month was closed"
                f" there yet. Run the whole close: podledger close {month}."
            ) from error
    return in_catalogue_order(Control(*row) for row in rows)


def in_catalogue_order(controls: Iterable[Control]) -> list[Control]:
    """The rows as they are told; rows of one control stay in their order."""
    order = {name: position for position, name in enumerate(catalogue())}
    return sorted(controls, key=lambda row: order.get(row.control, len(order)))


def require_all_passed(
    controls: Sequence[Control], month: Month, method: int | None = None
) -> None:
    """Let a month through only if every blocking control ran and passed.

    Args:
        controls: Rows of the month.
        month: The month, for the message.
        method: Version of the split; None asks only for the controls of every version.

    Raises:
        PodledgerError: There are no rows; a control of the catalogue has none; a row is not
            of the catalogue, or takes itself for less severe; or a blocking one failed.
    """
    if not controls:
        raise PodledgerError(
            f"{month} is not published: fct_close_controls has no row for it, so nothing"
            f" was checked. Run the whole close: podledger close {month}."
        )
    _require_catalogue(controls, month, method)
    failed = [c for c in controls if c.severity == "blocking" and not c.is_passed]
    if failed:
        raise PodledgerError(
            f"{month} is not published, because a control failed. {' '.join(_told(failed))}"
            " Earlier revisions are unchanged."
        )


def _require_catalogue(
    controls: Sequence[Control], month: Month, method: int | None
) -> None:
    """A control that did not run, or that nobody has described, has not passed."""
    seen = {control.control for control in controls}
    missing = [
        rule.name
        for rule in catalogue().values()
        if rule.name not in seen and rule.only_method in (None, method)
    ]
    if missing:
        raise PodledgerError(
            f"{month} is not published: fct_close_controls has no row of"
            f" {', '.join(missing)}, and a control that did not run has not passed. Run the"
            f" whole close: podledger close {month}. If it stays so, correct the model"
            " fct_close_controls."
        )
    for control in controls:
        rule = catalogue().get(control.control)
        if rule is None or rule.severity != control.severity:
            expected = (
                f"{rule.severity} by the catalogue" if rule else "not in the catalogue"
            )
            raise PodledgerError(
                f"{month} is not published: fct_close_controls has a {control.severity}"
                f" control {control.control}, which is {expected} ({CONTROLS_YAML.name})."
                " Another version built that row. Run the whole close: podledger close"
                f" {month}."
            )


def _told(failed: Sequence[Control]) -> Iterator[str]:
    for name, rows in groupby(failed, key=lambda control: control.control):
        findings = "; ".join(f"({control.finding})" for control in rows)
        rule = catalogue()[name]
        yield f"{name} {findings}. To do, by {rule.who}: {rule.what_to_do}"
