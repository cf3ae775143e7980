"""A summary on a terminal: calm tables that fit 80 columns and read from the top.

Holds looks only. The figures are ``summary.py``'s; they are rounded to cents here, and
exact in the files and in ``--json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.close.catalogue import catalogue
from orchestration.close.controls import Control
from orchestration.close.summary import TOP, Charged, Spender, Summary
from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.distribution.policy_file import BUILT_IN
from orchestration.lake.figures import UNKNOWN, cents
from orchestration.lake.schemas import BASES, INVOICE_BASIS
from orchestration.lake.terminal import USUAL, figures_table, print_indented, print_section
from orchestration.ledger.manifest import Manifest
from orchestration.ledger.status import SETTLED

_TITLES = {
    "unblended": "unblended",
    "amortized": "amortized",
    "net_amortized": "net amort.",
    "public_on_demand": "on-demand",
}
_HOURS, _OF_BILL = "accel.\nhours", "% of\nbill"

_REASONS = {
    "unclaimed": "idle",
    "no_pods": "no pods on the node",
    "no_rule": "no rule takes it",
    "no_owner": "nobody owns it",
    "nobody_to_share_with": "nobody to share it with",
}
"""Why nobody pays, where a reader would use another word than the published one."""

_NO_POLICY = (
    "To charge it to teams, write config/policy.yml; config/policy.example.yml is an"
    " example, and podledger policy check tries it on this month."
)
"""What is next for those who have no policy of their own."""


def print_summary(console: Console, summary: Summary, headline: str) -> None:
    """Print a summary.

    Args:
        console: Where to.
        summary: The month.
        headline: The first line: what happened, or what is shown.
    """
    console.print()
    console.print(Text(headline, style="bold"))
    width = min(console.width, USUAL)
    console.print(_status(summary), width=width)
    console.print(Text(_origin(summary), style="dim"), width=width)
    print_section(console, "Reconciliation", _law(summary))
    _print_missing(console, summary.manifest)
    if policy := summary.manifest.policy:
        title = f'Charges, by policy "{policy.name}" (version {policy.sha256[:12]})'
        print_section(console, title, _charges(summary))
    if summary.owner_label:
        owners = f"{_owner_noun(summary)}s"
        title = _top(owners, len(summary.owners), summary.owner_count)
        print_section(console, title, _owners(summary))
    if summary.compared_with:
        print_section(console, f"Change since {summary.compared_with}", _changes(summary))
    title = _top("namespaces", len(summary.namespaces), summary.namespace_count)
    print_section(console, title, _namespaces(summary))
    title = _top("workloads", len(summary.workloads), summary.workload_count)
    print_section(console, title, _workloads(summary))
    if policy and summary.unassigned:
        print_section(console, "Unassigned cost", _unassigned(summary))
        if policy.name in BUILT_IN:
            print_indented(console, _NO_POLICY, style="dim")
    print_section(console, "Unallocated node cost", _unallocated(summary))
    print_section(console, "Remainder of the bill", _remainder(summary))
    _print_controls(console, summary.controls)
    console.print()
    console.print(Text("Published in", style="bold"))
    console.print(Text(f"  {summary.address}"), soft_wrap=True)
    console.print()


def _status(summary: Summary) -> Text:
    status = summary.status
    reasons = status.reasons or ("AWS has invoiced all of it",)
    is_settled = status.name in SETTLED
    return Text(
        f"{status.name.capitalize()}: {'; '.join(reasons)}.",
        style="green" if is_settled else "yellow",
    )


def _origin(summary: Summary) -> str:
    manifest = summary.manifest
    deliveries = _count(len(manifest.deliveries), "bill delivery", "bill deliveries")
    files = _count(len(manifest.inventory), "inventory file", "inventory files")
    return (
        f"From {deliveries} and {files}, split by method {manifest.method_version}. Amounts"
        " are in USD, rounded to cents. Every table but the reconciliation shows"
        f" {_words(summary.basis)} cost.{_reproduced(summary)}"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _owner_noun(summary: Summary) -> str:
    return _words(summary.owner_label or "owner")


def _reproduced(summary: Summary) -> str:
    """The last version that made the figures again, if any did."""
    if not summary.reproduced:
        return ""
    last = summary.reproduced[-1]
    return f" Reproduced by podledger {last.code_version} on {last.on}."


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _law(summary: Summary) -> Table:
    table = figures_table(*(_TITLES[basis] for basis in BASES))
    totals = [summary.manifest.totals[basis] for basis in BASES]
    for title, name, style in (
        ("bill", "bill", "bold"),
        ("  pods, split", "pods_split", ""),
        ("  pods, unused", "pods_unused", ""),
        ("  unallocated", "unallocated", ""),
        ("  remainder", "remainder", ""),
        ("difference", "difference", "dim"),
    ):
        figures = [
            Text("unknown", style="dim") if total is None else cents(getattr(total, name))
            for total in totals
        ]
        table.add_row(title, *figures, style=style)
    return table


def _print_missing(console: Console, manifest: Manifest) -> None:
    """Name the bases that are unknown, of whom, and why."""
    for one in manifest.missing_bases:
        print_indented(
            console,
            f"{_TITLES[one.cost_basis]} of payer {one.payer_account_id} is {UNKNOWN}:"
            f" {one.lacking}",
            style="yellow",
        )


def _charges(summary: Summary) -> Table:
    table = figures_table(*(_TITLES[basis] for basis in BASES))
    for name in CHARGE_TYPES:
        amounts = [summary.charges[basis][name] for basis in BASES]
        figures = [
            Text(UNKNOWN, style="dim")
            if usd is None and summary.manifest.totals[basis] is None
            else cents(usd or Decimal(0))
            for basis, usd in zip(BASES, amounts, strict=True)
        ]
        table.add_row(name, *figures)
    return table


def _unassigned(summary: Summary) -> Table:
    table = figures_table("cost", _OF_BILL, names=2)
    for row in summary.unassigned:
        what = f"{row.origin}: {_detail(row.detail)}" if row.detail else row.origin
        why = _REASONS.get(row.reason or "", _words(row.reason or ""))
        share = _share(row.cost_usd, summary.totals.bill)
        table.add_row(what, why, cents(row.cost_usd), share)
    return table


def _detail(text: str) -> str:
    resource, _, reason = text.partition("/")
    told = [_words(resource)] + ([_REASONS.get(reason, _words(reason))] if reason else [])
    return ", ".join(told)


def _owners(summary: Summary) -> Table:
    nobody = Text(f"(no {_owner_noun(summary)} label)", style="dim")
    return _charged(summary, [(one.name or nobody, one) for one in summary.owners])


def _changes(summary: Summary) -> Table:
    """The largest changes; volume and price are of accelerator-hours."""
    table = figures_table("before", "change", "%", "volume", "price")
    for one in summary.changes[:TOP]:
        parts = (one.volume_usd, one.price_usd)
        table.add_row(
            one.name or Text(f"(no {_owner_noun(summary)} label)", style="dim"),
            cents(one.before_usd),
            cents(one.change_usd),
            _share(one.change_usd, one.before_usd),
            *("" if usd is None else cents(usd) for usd in parts),
        )
    return table


def _namespaces(summary: Summary) -> Table:
    return _charged(summary, [(_place(one), one) for one in summary.namespaces])


def _charged(summary: Summary, rows: Sequence[tuple[str | Text, Charged]]) -> Table:
    table = figures_table(_HOURS, "direct", "idle", "shared", "total", _OF_BILL)
    for name, one in rows:
        table.add_row(
            name,
            _hours(one.accelerator_hours),
            cents(one.direct_usd),
            cents(one.idle_usd),
            cents(one.shared_usd),
            cents(one.cost_usd),
            _share(one.cost_usd, summary.totals.bill),
        )
    return table


def _workloads(summary: Summary) -> Table:
    table = figures_table(_HOURS, "total", _OF_BILL, names=2)
    for one in summary.workloads:
        table.add_row(
            one.workload_name or "?",
            _place(one),
            _hours(one.accelerator_hours),
            cents(one.cost_usd),
            _share(one.cost_usd, summary.totals.bill),
        )
    return table


def _place(one: Spender) -> str:
    return f"{one.cluster_name or '?'} / {one.namespace or '?'}"


def _unallocated(summary: Summary) -> Table:
    table = figures_table("cost", _OF_BILL)
    for row in summary.unallocated:
        reason = _REASONS.get(row.reason, _words(row.reason))
        table.add_row(
            Text.assemble(row.resource, (f"  {reason}", "dim")),
            cents(row.cost_usd),
            _share(row.cost_usd, summary.totals.bill),
        )
    return table


def _remainder(summary: Summary) -> Table:
    bases = dict.fromkeys((INVOICE_BASIS, summary.basis))
    table = figures_table(*(_TITLES[basis] for basis in bases), _OF_BILL)
    for row in summary.remainder:
        figures = {INVOICE_BASIS: row.unblended_usd, summary.basis: row.cost_usd}
        table.add_row(
            _words(row.category),
            *(cents(figures[basis]) for basis in bases),
            _share(row.cost_usd, summary.totals.bill),
        )
    return table


def _print_controls(console: Console, controls: Sequence[Control]) -> None:
    """What passed in one line, what did not in full."""
    names = list(dict.fromkeys(control.control for control in controls))
    failed = [control for control in controls if not control.is_passed]
    failed_names = list(dict.fromkeys(control.control for control in failed))
    console.print()
    console.print(Text("Controls", style="bold"))
    passed = len(names) - len(failed_names)
    console.print(Text(f"  {passed} of {len(names)} passed", style="green"))
    for name in failed_names:
        console.print(Text(f"  {catalogue()[name].severity}  {name}", style="yellow"))
        for control in failed:
            if control.control == name:
                print_indented(console, control.finding)
        print_indented(console, catalogue()[name].what_to_do, style="dim")


def _top(noun: str, shown: int, count: int) -> str:
    if shown == count:
        return f"{noun.capitalize()} by cost"
    return f"Top {shown} of {count:,} {noun} by cost"


def _hours(hours: Decimal) -> str:
    return f"{hours:,.1f}" if hours else ""


def _share(part: Decimal, whole: Decimal) -> str:
    """Per cent; ``+ 0`` makes a rounded minus zero a zero."""
    return f"{round(100 * part / whole, 1) + 0:.1f}%" if whole else ""
