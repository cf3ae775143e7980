"""What Dagster shows of a month's marts: figures, tables and a chart, by asset.

Holds which figure belongs to which asset; they are read by ``overview.py``.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import dagster as dg

from orchestration.close import charts
from orchestration.close.controls import Control
from orchestration.close.overview import Overview
from orchestration.engines.metadata import Metadata, money, picture, plain, table
from orchestration.lake.figures import UNKNOWN
from orchestration.lake.schemas import INVOICE_BASIS, SHOWN_BASIS

DAILY = "daily_costs"
NAMESPACES = "top_namespaces"
TEAMS = "charges_by_team"


def of_marts(overview: Overview) -> dict[str, Metadata]:
    """Metadata of the marts by name, for a month whose roll-ups are built."""
    cost = overview.totals.get(overview.basis)
    found: dict[str, Metadata] = {
        "rpt_month_totals": {**law(overview), **figures(overview)},
        "rpt_month_by_namespace": {NAMESPACES: namespaces(overview)},
        "rpt_month_by_team": {TEAMS: teams(overview)},
        "fct_daily_costs": chart(overview),
        "fct_close_controls": controls(overview.controls),
        "fct_unallocated": {
            **(money(unallocated_usd=cost.unallocated) if cost else {}),
            "by_reason": table(("reason", "resource", "USD"), overview.unallocated),
        },
        "fct_bill_remainder": {
            **(money(remainder_usd=cost.remainder) if cost else {}),
            "by_category": table(
                ("category", "unblended USD", f"{overview.basis} USD"), overview.remainder
            ),
        },
        "fct_split_line_items": (
            money(split_usd=cost.pods_split, unused_usd=cost.pods_unused) if cost else {}
        ),
    }
    for name, count in overview.row_counts.items():
        found.setdefault(name, {})["dagster/row_count"] = dg.MetadataValue.int(count)
    return found


def of_published(overview: Overview) -> Metadata:
    """What a person asks of a closed month, in the order in which one asks."""
    return {
        **law(overview),
        **chart(overview),
        TEAMS: teams(overview),
        NAMESPACES: namespaces(overview),
        **controls(overview.controls),
        **figures(overview),
    }


def law(overview: Overview) -> Metadata:
    """The law of the month, in the basis of the invoice and in that of the split.

    Dagster's column of values holds some fifty characters.
    """
    shown = [basis for basis in (INVOICE_BASIS, SHOWN_BASIS) if basis in overview.totals]
    parts = {
        "bill": "bill",
        "= pods, split": "pods_split",
        "+ pods, unused": "pods_unused",
        "+ unallocated": "unallocated",
        "+ remainder": "remainder",
        "residual": "difference",
    }
    rows = [
        (title, *(getattr(overview.totals[basis], name, UNKNOWN) for basis in shown))
        for title, name in parts.items()
    ]
    return {"law": table(("USD", *shown), rows)}


def figures(overview: Overview) -> Metadata:
    """The law in the basis of the invoice, exact and to be plotted over the months."""
    invoice = overview.totals.get(INVOICE_BASIS)
    if invoice is None:
        return {}
    return money(
        billed_usd=invoice.bill,
        split_usd=invoice.pods_split,
        unused_usd=invoice.pods_unused,
        unallocated_usd=invoice.unallocated,
        remainder_usd=invoice.remainder,
        residual_usd=invoice.difference,
    )


def teams(overview: Overview) -> dg.MetadataValue:
    """What each team is charged, in order, as wide as Dagster's column of values."""
    return table(
        ("team", "direct", "idle", "shared", f"{overview.basis} USD"),
        [
            (
                one.name or "(no team)",
                one.direct_usd,
                one.idle_usd,
                one.shared_usd,
                one.cost_usd,
            )
            for one in overview.teams
        ],
    )


def namespaces(overview: Overview) -> dg.MetadataValue:
    """The most expensive namespaces, in order."""
    totals = overview.totals.get(overview.basis)
    bill = totals.bill if totals else Decimal(0)
    return table(
        ("namespace", "accelerator-hours", f"{overview.basis} USD", "% of bill"),
        [
            (
                one.name,
                one.device_hours,
                one.cost_usd,
                float(100 * one.cost_usd / bill) if bill else 0.0,
            )
            for one in overview.namespaces
        ],
    )


def chart(overview: Overview) -> Metadata:
    """What every day cost, or why it is not drawn; nothing for a month without any node."""
    if not overview.days:
        return {}
    try:
        drawn = charts.daily_costs(overview.days, overview.basis)
    except charts.NoChartError as error:
        return {DAILY: dg.MetadataValue.text(str(error))}
    return {DAILY: picture(drawn, "Cost of every day")}


def controls(rows: Sequence[Control]) -> Metadata:
    """How many controls passed, and what those say that did not.

    A warning is none of those that failed: a month is published with it.
    """
    names = {row.control for row in rows}
    failed = [row for row in rows if not row.is_passed]
    warned = {row.control for row in failed if row.severity == "warning"}
    passed = len(names) - len({row.control for row in failed})
    told = f"{passed} of {len(names)}"
    if warned:
        told += f", {len(warned)} warning{'s' if len(warned) > 1 else ''}"
    found: Metadata = {"controls_passed": dg.MetadataValue.text(told)}
    for key, severity in (("controls_failed", "blocking"), ("warnings", "warning")):
        lines = [
            f"- **{plain(one.control)}**: {plain(one.finding)}"
            for one in failed
            if one.severity == severity
        ]
        if lines:
            found[key] = dg.MetadataValue.md("\n".join(lines))
    return found
