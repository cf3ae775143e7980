"""The worked cases of docs/chargeback.md, to the cent and to the unit."""

from decimal import Decimal

from orchestration.distribution.policy_file import built_in
from tests.distribution.costs import (
    Cost,
    Quota,
    by_team,
    charges_of,
    idle,
    pod,
    rest,
    unused,
)

UNIT = Decimal("0.0000000001")


def _containers(team: str, cluster: str, count: int, memory: int = 1) -> list[Cost]:
    """Containers of 1 a resource, the first with another amount of memory."""
    costs = []
    for number in range(count):
        size = {"vcpu": 1, "memory": memory if number == 0 else 1, "accelerator": 4}
        costs += [
            pod(team, usd, cluster_name=cluster, resource=resource)
            for resource, usd in size.items()
        ]
    return costs


def _two_clusters() -> list[Cost]:
    """Three teams with direct cost of 28, 36 and 18, and 30 of idle nodes."""
    return [
        *_containers("a", "one", 3, memory=11),
        *_containers("b", "one", 3),
        *_containers("b", "two", 3),
        *_containers("c", "two", 3),
        idle(5, cluster_name="one", resource="vcpu"),
        idle(15, cluster_name="one", resource="memory"),
        idle(5, cluster_name="two", resource="vcpu"),
        idle(5, cluster_name="two", resource="memory"),
    ]


def test_idle_nodes_are_shared_by_cost_of_the_same_resource_in_the_cluster() -> None:
    costs = _two_clusters()
    direct = charges_of(costs, built_in("scad"))
    assert by_team(direct) == {
        "a": Decimal(28),
        "b": Decimal(36),
        "c": Decimal(18),
        None: Decimal(30),
    }
    charges = charges_of(
        costs, "- {name: idle, take: idle, share: {within: cluster, by: split_cost}}"
    )
    assert by_team(charges) == {
        "a": Decimal("42.6875"),
        "b": Decimal("46.3125"),
        "c": Decimal("23"),
    }
    details = {(one.team, one.origin_detail): one.amortized for one in charges}
    assert details["a", "memory/unclaimed"] == Decimal("12.1875")


def test_idle_of_a_resource_that_nobody_has_goes_by_all_their_cost() -> None:
    charges = charges_of(
        [pod("a", 3), pod("b", 1), idle(10, resource="accelerator")],
        "- {name: idle, take: idle, share: {within: cluster, by: split_cost}}",
    )
    assert by_team(charges) == {"a": Decimal("10.5"), "b": Decimal("3.5")}


def test_a_part_that_does_not_come_out_even_is_still_all_of_it() -> None:
    charges = charges_of(
        [pod("a", 1), pod("b", 1), pod("c", 1), rest("tax", 10)],
        "- {name: tax, take: remainder, share: {within: payer, by: direct_cost}}",
    )
    shares = sorted(one.amortized for one in charges if one.charge_type == "shared")
    assert sum(shares) == 10
    assert shares[-1] - shares[0] == UNIT


def test_separate_gives_idle_to_the_owner_of_the_pool_and_scad_to_the_pods() -> None:
    owner = {"team": "standby"}
    costs = [
        pod("a", 1),
        unused("a", 4, owner_labels=owner),
        idle(5, labels=owner, owner_labels=owner),
        idle(6),
    ]
    separate = charges_of(costs, built_in("separate"))
    assert by_team(separate) == {
        "a": Decimal(1),
        "standby": Decimal(9),
        None: Decimal(6),
    }
    assert {one.reason for one in separate if one.charge_type == "unassigned"} == {
        "no_owner"
    }
    scad = charges_of(costs, built_in("scad"))
    assert by_team(scad) == {"a": Decimal(5), None: Decimal(11)}
    assert {one.charge_type for one in scad if one.team == "a"} == {"direct", "idle"}


def test_pods_that_a_rule_takes_are_no_receivers_of_later_ones() -> None:
    charges = charges_of(
        [pod("a", 1), pod("b", 3), pod("kube-system", 4), rest("support", 8)],
        "- {name: system, take: split, where: {namespace: kube-*},"
        " share: {within: cluster, by: direct_cost}}\n"
        "- {name: support, take: remainder, share: {within: payer, by: charged_so_far}}",
    )
    assert by_team(charges) == {"a": Decimal(4), "b": Decimal(12)}


def test_nothing_moves_between_payers_unless_a_rule_says_so() -> None:
    costs = [pod("a", 1), rest("support", 7, payer_account_id="999900002222")]
    rule = "- {name: s, take: remainder, share: {within: payer, by: direct_cost}}"
    stays = charges_of(costs, rule)
    assert by_team(stays) == {"a": Decimal(1), None: Decimal(7)}
    assert {one.reason for one in stays} == {None, "nobody_to_share_with"}
    crosses = charges_of(
        costs, f"{rule[:-1]}, across_payers: true}}".replace("payer,", "all,", 1)
    )
    assert by_team(crosses) == {"a": Decimal(8)}


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


def test_a_quota_is_charged_for_what_it_holds_back_of_idle_capacity() -> None:
    # 32 vCPUs of quota, 8 of them used: 24 x 24 h = 576 of 1,152 idle vCPU-hours.
    costs = [pod("a", 4), pod("b", 2), unused("b", 2), idle(10), idle(7, resource="memory")]
    quotas = [
        Quota("a", 576, 1152, labels={"team": "a"}),
        Quota("c", 144, 1152, labels={"team": "c"}),
    ]
    rule = "- {name: quotas, take: quota, give: owner}\n"
    charges = charges_of(costs, rule, quotas)
    assert by_team(charges) == {
        "a": Decimal(10),  # 4, and half of 12
        "b": Decimal(2),
        "c": Decimal("1.5"),  # an eighth of 12, and no pod
        None: Decimal("11.5"),  # 3/8 of 12, and 7 of memory
    }
    held = [one for one in charges if one.rule == "quotas"]
    # Where it came from is told as of other idle cost.
    assert {one.origin_detail for one in held} == {"vcpu", "vcpu/unclaimed"}
    assert {one.charge_type for one in held} == {"idle"}
    assert {(one.namespace, one.workload) for one in held} == {("a", None), ("c", None)}
    # Later rules have what no quota holds back.
    rest_of_it = "- {name: idle, take: idle, share: {within: cluster, by: direct_cost}}"
    both = charges_of(costs, rule + rest_of_it, quotas)
    assert abs(by_team(both)["a"] - (10 + Decimal("11.5") * 4 / 6)) < 4 * UNIT
    assert sum(one.amortized for one in both) == 25


def test_quotas_above_what_is_idle_share_all_of_it() -> None:
    quotas = [Quota("a", 300, 100), Quota("b", 100, 100)]
    charges = charges_of([idle(8)], "- {name: quotas, take: quota, give: owner}", quotas)
    assert {one.namespace: one.amortized for one in charges} == {
        "a": Decimal(6),
        "b": Decimal(2),
    }


def test_rules_for_one_namespace_each_come_in_any_order() -> None:
    one, other = (
        f"- {{name: {name}, take: quota, where: {{namespace: {name}}}, give: owner}}\n"
        for name in "ab"
    )
    every = "- {name: others, take: quota, give: owner}\n"
    quotas = [Quota(name, hours, 7) for name, hours in (("a", 1), ("b", 2), ("c", 3))]
    found = [
        {
            charge.namespace: charge.amortized
            for charge in charges_of([idle(1), idle(6)], rules, quotas)
        }
        for rules in (every, one + other + every, other + one + every)
    ]
    assert found[0] == found[1] == found[2]
    assert sum(found[0].values()) == 7
    assert found[0]["b"] == 2


def test_an_idle_pool_that_an_earlier_rule_gave_away_is_no_quotas() -> None:
    charges = charges_of(
        [idle(8, node_pool="standby"), idle(4, node_pool="gpu")],
        "- {name: standby, take: idle, where: {node_pool: standby}, give: {team: red}}\n"
        "- {name: quotas, take: quota, give: owner}",
        [Quota("a", 6, 12, labels={"team": "a"})],
    )
    assert by_team(charges) == {"red": Decimal(8), "a": Decimal(2), None: Decimal(2)}
