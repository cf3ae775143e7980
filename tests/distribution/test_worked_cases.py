"""The worked cases of docs/chargeback.md, to the cent and to the unit."""

from decimal import Decimal

from tests.distribution.costs import Cost, by_team, charges_of, pod, rest

UNIT = Decimal("0.0000000001")


def _node() -> list[Cost]:
    """35.00 of nodes in two clusters: three teams with 28, 36 and 18 of direct cost."""
    return [
        pod("a", 5, cluster_name="one", resource="vcpu"),
        pod("a", 15, cluster_name="one", resource="memory"),
        pod("a", 8, cluster_name="two", resource="vcpu"),
    ]


def test_a_shared_namespace_is_spread_evenly_or_by_direct_cost() -> None:
    costs = [pod("a", 28), pod("b", 36), pod("tools", 18)]
    even = charges_of(
        costs,
        "- {name: tools, take: split, where: {namespace: tools},"
        " share: {within: cluster, by: even, among: namespace}}",
    )
    assert by_team(even) == {"a": Decimal(37), "b": Decimal(45)}
    by_cost = charges_of(
        costs,
        "- {name: tools, take: split, where: {namespace: tools},"
        " share: {within: cluster, by: direct_cost}}",
    )
    assert by_team(by_cost) == {"a": Decimal("35.875"), "b": Decimal("46.125")}


def test_an_overhead_is_spread_by_cost_before_any_rule() -> None:
    charges = charges_of(
        [pod("a", 28), pod("b", 36), pod("c", 18), rest("support", 168)],
        "- {name: support, take: remainder, where: {category: support},"
        " share: {within: payer, by: direct_cost}}",
    )
    shares = {name: round(usd, 6) for name, usd in by_team(charges).items()}
    assert shares == {
        "a": Decimal("85.365854"),
        "b": Decimal("109.756098"),
        "c": Decimal("54.878049"),
    }
    assert sum(by_team(charges).values()) == 250
