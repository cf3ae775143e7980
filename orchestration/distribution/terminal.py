"""What the policy's commands print: amounts to cents; ``--json`` has them exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.distribution.policy_file import Policy
from orchestration.distribution.trial import Carrier, TeamUnder, Trial
from orchestration.lake.figures import UNKNOWN, cents
from orchestration.lake.months import Month
from orchestration.lake.terminal import figures_table, print_indented, print_section

_REASONS = {
    "no_rule": "no rule takes it",
    "no_owner": "nobody owns it",
    "nobody_to_share_with": "nobody to share it with",
}

_MOST_CARRIERS = 30


def print_trial(console: Console, policy: Policy, trial: Trial | None) -> None:
    """Print what ``policy check`` found."""
    rules = f"{len(policy.rules)} rule{'' if len(policy.rules) == 1 else 's'}"
    console.print()
    console.print(
        Text(
            f"Policy {policy.name} is valid: {rules}, version {policy.sha256[:12]}", "bold"
        )
    )
    if trial is None:
        console.print(
            Text("No month was computed yet to try it on: podledger close.", style="dim")
        )
        return
    console.print(
        Text(
            f"Tried on {trial.month}; {trial.basis} cost in USD. Nothing is changed.", "dim"
        )
    )
    table = figures_table("matched,\nrows", "taken", "left")
    for one in trial.rules:
        left = one.left_usd[trial.basis]
        table.add_row(
            f"{one.number}  {one.name}",
            f"{one.matched:,}",
            _usd(one.taken_usd[trial.basis]),
            _usd(left) if left else "",
        )
    print_section(console, "Rules, in order", table)
    table = figures_table("cost")
    for name in CHARGE_TYPES:
        table.add_row(name, _usd(trial.by_type[name]))
    print_section(console, "What it comes to", table)
    table = figures_table("cost", names=2)
    for row in trial.unassigned:
        what = f"{row.origin}, {_words(row.detail)}" if row.detail else row.origin
        table.add_row(what, _REASONS.get(row.reason, row.reason), _usd(row.usd))
    print_section(console, "Unassigned", table)
    for line in warnings_of(policy, trial):
        console.print()
        print_indented(console, f"Warning: {line}", style="yellow")
    console.print()


def warnings_of(policy: Policy, trial: Trial) -> list[str]:
    """What a person should look at, a sentence each."""
    found = [
        f"rule {one.name!r} (line {policy.lines[one.number - 1]}) matches nothing in"
        f" {trial.month}, or nothing that earlier rules left."
        for one in trial.rules
        if not one.matched
    ]
    if any(
        not one.matched and policy.rules[one.number - 1].take == "quota"
        for one in trial.rules
    ):
        found.append(
            "take: quota finds what ResourceQuotas hold back, and sources bring them only"
            " where they are asked: podledger collect --quotas, &quotas=true of a"
            " prometheus source, or files named quota_hours (docs/sources.md). Then close"
            f" {trial.month} again."
        )
    found += [
        f"rule {one.name!r} (line {policy.lines[one.number - 1]}) found nobody to give"
        f" {_usd(left)} USD to."
        for one in trial.rules
        if policy.rules[one.number - 1].share and (left := one.left_usd[trial.basis])
    ]
    found += [
        f"rule {name!r} (line {policy.lines[number - 1]}) takes the cost of pods that"
        f" earlier rules charged {_usd(usd)} USD, which stays with these pods. Put it"
        " before those rules."
        for number, name, usd in trial.late
    ]
    if trial.namesakes:
        found.append(
            f"the clusters {', '.join(trial.namesakes)} stand in several accounts or"
            " Regions, and rules within clusters take each name for one cluster. To tell"
            " them apart, write a rule for each account or Region."
        )
    return found


def print_comparison(
    console: Console, month: Month, basis: str, rows: Sequence[TeamUnder]
) -> None:
    """Print what each team would be charged under several policies, side by side."""
    names = list(rows[0].usd) if rows else []
    console.print()
    console.print(Text(f"{month} by team and policy: {basis} cost in USD", style="bold"))
    table = figures_table(*names)
    for row in rows:
        who = row.team or Text("(no team, or unassigned)", style="dim")
        table.add_row(who, *(cents(row.usd[name]) for name in names))
    totals = [sum((row.usd[name] for row in rows), Decimal(0)) for name in names]
    table.add_row("total", *map(cents, totals), style="bold")
    print_section(console, "Charged to", table)
    console.print()


def print_carriers(
    console: Console, month: Month, what: Mapping[str, str], found: Sequence[Carrier]
) -> None:
    """Print who carries what something cost."""
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in what.items())
    total = sum((one.usd for one in found), Decimal(0))
    console.print()
    console.print(Text(f"{told} in {month}: {cents(total)} USD", style="bold"))
    table = figures_table("cost", "part", names=2)
    for one in found[:_MOST_CARRIERS]:
        who = one.team or one.namespace or "nobody"
        part = f"{100 * one.usd / total:.1f}%" if total else ""
        table.add_row(who, one.rule or one.charge_type, cents(one.usd), part)
    rest = sum((one.usd for one in found[_MOST_CARRIERS:]), Decimal(0))
    if len(found) > _MOST_CARRIERS:
        table.add_row(f"{len(found) - _MOST_CARRIERS} more", "", cents(rest), "")
    print_section(console, "Carried by", table)
    console.print()


def _usd(amount: Decimal | None) -> str:
    return UNKNOWN if amount is None else cents(amount)


def _words(text: str) -> str:
    return text.replace("_", " ").replace("/", ", ")
