"""An explanation on a terminal: level by level, every amount with all its digits.

Holds looks and words only. Amounts are not rounded, so that each printed table adds up to
the line that it explains; the digits behind the cents are dimmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from orchestration.explain.explain import Explanation
from orchestration.explain.figure import Figure
from orchestration.lake.terminal import (
    USUAL,
    TextTable,
    figures_table,
    print_indented,
    print_section,
)
from orchestration.ledger.status import SETTLED

_WAYS = {
    "charges": "what it is charged",
    "workloads": "by workload",
    "days": "by day",
    "pods": "by pod",
    "hours": "by hour",
    "taken": "what the rule took",
    "receivers": "who is charged",
    "takers": "which rule takes it",
    "nodes": "by node",
    "products": "by product, line type and account",
    "components": "by component",
    "bill_lines": "lines of the bill",
    "resources": "by resource",
    "claims": "who holds it",
    "parts": "split and unused",
}
"""How a breakdown is called, by the name of its parts."""

_HOURS = {"accelerator": "device", "vcpu": "vCPU", "memory": "GiB", "storage": "GB"}

_METHODS = {
    1: "weights 9 a vCPU, 1 a GiB",
    2: "weights 9 an accelerator, 0.9 a vCPU, 0.1 a GiB; 9 and 1 without accelerators",
    3: "market weights of the instance type",
}


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Print an explanation."""
    figure = explanation.figure
    day = f" on {explanation.day}" if explanation.day else f" in {explanation.month}"
    console.print()
    headline = Text.assemble((f"{_capital(figure.name)}{day}: ", "bold"), _usd(figure.usd))
    console.print(headline.append(" USD"))
    basis = explanation.basis.replace("_", " ")
    origin = (
        f"Revision {explanation.revision}, charged by policy {explanation.policy!r}, split"
        f" by method {explanation.method_version}"
        f" ({_METHODS[explanation.method_version]}). {_capital(basis)} cost in USD, not"
        " rounded: each table adds up to the amount that it explains."
    )
    console.print(Text(origin, style="dim"), width=min(console.width, USUAL))
    status = explanation.status
    why = f": {'; '.join(status.reasons)}" if status.reasons else ""
    style = "green" if status.name in SETTLED else "yellow"
    told = Text(f"{_capital(status.name)}{why}.", style=style)
    console.print(told, width=min(console.width, USUAL))
    _print_figure(console, figure, figure.name)
    for note in explanation.notes:
        console.print()
        print_indented(console, f"Note: {note}", style="yellow")
    console.print()


def _print_figure(console: Console, figure: Figure, title: str) -> None:
    """Print what a figure is made of, and then the same of its parts."""
    if figure.note:
        console.print()
        print_indented(console, f"{title}: {figure.note}.", style="yellow")
    for way, parts in figure.breakdowns.items():
        # One row that is all of it, and what stands in the table above, are no news.
        if way == "parts" or (way in ("takers", "components") and len(parts) == 1):
            continue
        print_section(console, f"{title}: {_WAYS[way]}", _table(way, figure, parts))
        for part in parts:
            if way == "bill_lines":
                if part.part_of:
                    _print_whole(console, part, part.name)
            elif way != "claims":
                _print_figure(console, part, _title(title, figure, part))
    if figure.part_of:
        _print_whole(console, figure, title)


def _print_whole(console: Console, figure: Figure, title: str) -> None:
    """Say which whole a figure is part of, and print that."""
    whole = figure.part_of
    assert whole is not None
    if figure.usd != whole.usd or figure.kind == "taken":
        console.print()
        sentence = Text(f"{title} is ").append(_usd(figure.usd))
        sentence.append(f" of {_told(whole)}, which is ").append(_usd(whole.usd)).append(
            "."
        )
        console.print(sentence, width=min(console.width, USUAL))
    if figure.kind == "pod_hour" and "resources" in whole.breakdowns:
        # The pod's own part of each stands above; --json has those of the others.
        resources = tuple(_bare(one) for one in whole.breakdowns["resources"])
        whole = whole.by("resources", resources)
    _print_figure(console, whole, _told(whole))


def _bare(figure: Figure) -> Figure:
    return Figure(figure.kind, figure.name, figure.usd, figure.facts)


def _told(figure: Figure) -> str:
    """A whole, as a sentence names it."""
    if figure.kind == "rule":
        return f'what "{figure.facts["rule"]}" took of {figure.name}'
    if figure.kind == "whole":
        return f"all {figure.name}"
    if figure.kind == "node_hour":
        return f"{figure.name} ({figure.facts['instance_type']})"
    return figure.name


def _title(title: str, figure: Figure, part: Figure) -> str:
    if part.kind == "charge" and part.facts["rule"]:
        return f'{part.facts["charge_type"]}, rule "{part.facts["rule"]}"'
    if part.kind == "charge":
        return part.name.replace(": ", ", ", 1)
    if part.kind in ("workload", "pod_hour", "node_part", "node", "taken"):
        return part.name
    if part.kind == "day":
        return f"{title}, {part.name}"
    if part.kind == "pod":
        day = figure.name if figure.kind == "day" else ""
        return f"{part.name} on {day}" if day else part.name
    return f"{title}, {part.name}"


def _table(way: str, figure: Figure, parts: Sequence[Figure]) -> TextTable:
    if way == "bill_lines":
        return _lines(parts)
    if way == "taken":
        return _taken(parts)
    if way == "claims" or (way == "resources" and figure.kind == "pod_hour"):
        return _held(parts)
    if way == "resources":
        return _resources(parts)
    table = figures_table("USD", "%", is_wrapped=way == "charges")
    for part in parts:
        share = f"{100 * part.usd / figure.usd:.1f}" if figure.usd else ""
        table.add_row(_name(part), _usd(part.usd), share)
        if rule := part.facts.get("rule"):
            table.add_row(
                Padding(Text(f"{rule}: {part.facts['key']}", "dim"), (0, 0, 0, 2))
            )
    return table


def _name(part: Figure) -> str | Text:
    return Text(part.name, style="dim") if part.kind == "rest" else part.name


def _lines(parts: Iterable[Figure]) -> TextTable:
    table = figures_table("USD")
    for part in parts:
        if part.kind != "bill_line":
            table.add_row(_name(part), _usd(part.usd))
            continue
        facts = part.facts
        what = [facts["component"], facts["product_code"], facts["usage_type"]]
        table.add_row(", ".join(str(one) for one in what if one), _usd(part.usd))
        file = str(facts["file"]).rpartition("/")[2]
        table.add_row(Text(f"  {file}, row {facts['row']:,}", style="dim"))
        if facts["line_item_id"]:
            table.add_row(Text(f"  line {facts['line_item_id']}", style="dim"))
    return table


def _taken(parts: Iterable[Figure]) -> TextTable:
    table = figures_table("rule took\nin all", "part", "charged")
    for part in parts:
        whole = part.facts.get("rule_usd")
        share = part.facts.get("part")
        table.add_row(
            _name(part),
            _usd(whole) if isinstance(whole, Decimal) else "",
            f"{100 * share:.4f}%" if isinstance(share, Decimal) else "",
            _usd(part.usd),
        )
    return table


def _held(parts: Iterable[Figure]) -> TextTable:
    """What pods requested, used and were allocated, and what it costs them."""
    table = figures_table("req.", "used", "alloc.", "share", "USD")
    for part in parts:
        unit = _HOURS.get(part.name, "")
        facts = part.facts
        used = facts.get("used_hours")
        table.add_row(
            f"{part.name}, {unit}-hours" if unit else _name(part),
            _number(facts.get("requested_hours")),
            "no data" if used is None and "used_hours" in facts else _number(used),
            _number(facts.get("allocated_hours")),
            _percent(facts.get("share")),
            _usd(part.usd),
        )
        for name in ("split", "unused"):
            usd = facts.get(f"{name}_usd")
            if "parts" in part.breakdowns and isinstance(usd, Decimal) and usd:
                label = Text(f"  of it {name}", style="dim")
                table.add_row(label, "", "", "", "", _usd(usd))
        rounding = facts.get("rounding_usd")
        if isinstance(rounding, Decimal) and rounding and unit:
            label = Text(f"  rounded by {rounding:+.12f}", style="dim")
            table.add_row(label)
    return table


def _resources(parts: Iterable[Figure]) -> TextTable:
    table = figures_table("weight", "hours", "claimed", "USD an hour", "USD")
    for part in parts:
        facts = part.facts
        price = facts.get("usd_per_hour")
        table.add_row(
            f"{part.name}, {_HOURS[part.name]}-hours",
            str(facts.get("weight") or ""),
            _number(facts.get("capacity_hours")) or "?",
            _number(facts.get("claimed_hours")),
            _usd(price) if isinstance(price, Decimal) else "",
            _usd(part.usd),
        )
    return table


def _number(value: object) -> str:
    return "" if value is None else f"{value:,.4g}"


def _percent(value: object) -> str:
    return "" if value is None else f"{100 * float(str(value)):.2f}%"


def _usd(amount: Decimal) -> Text:
    """An amount with all its digits, those behind the cents dimmed."""
    whole = f"{amount:,.10f}"
    return Text.assemble(whole[:-8], (whole[-8:], "dim"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
