"""A month closed by a policy of one's own: the published charges against the definition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from orchestration.cli.app import app
from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.distribution.policy_file import read_policy
from orchestration.explain.explain import Question
from orchestration.explain.figure import Reach
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES
from orchestration.lake.settings import Settings
from orchestration.ledger.book import find_revision
from tests.distribution.costs import Cost
from tests.distribution.definition import meaning
from tests.explain.following import (
    ask,
    figures,
    lines_of,
    require_on_bill,
    require_sums,
)
from tests.worlds import PAYERS

OCTOBER = Month(2026, 10)

POLICY = """\
- name: idle memory, to finance
  take: idle
  where: {resource: memory, cluster: cluster-0}
  give: {team: finance, cost_center: "0017"}
- name: one namespace, by what runs on the same node
  take: split
  where: {namespace: "[NAMESPACE]"}
  share: {within: node, by: vcpu_hours, else: wider}
- name: idle capacity of a node
  take: idle
  share: {within: node, by: split_cost, else: wider}
- name: what all share, by all that was charged
  take: remainder
  where: {line_type: [Usage, Fee, RIFee, SavingsPlanRecurringFee]}
  share: {within: payer, by: charged_so_far}
- name: what the month has none of
  take: remainder
  where: {category: no-such-category}
  give: {team: nobody}
- name: credits, evenly
  take: remainder
  where: {category: [credits, refunds]}
  share: {within: account, by: even, among: namespace, else: wider}
"""


def settings_of(closed_world: Publication, home: Path, policy: Path | str) -> Settings:
    folder = closed_world.path.parents[3]
    return Settings(
        bill=tuple(str(folder / payer) for payer in PAYERS),
        pods=(str(folder / "pods"),),
        home=home,
        policy=str(policy),
        _env_file=None,
    )


@pytest.fixture(scope="module")
def by_policy(
    closed_world: Publication, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Publication]:
    folder = tmp_path_factory.mktemp("policy")
    with duckdb.connect() as connection:
        ((namespace,),) = connection.execute(
            f"select namespace from '{closed_world.path}/charges.parquet'"
            " where charge_type = 'direct' group by 1 order by sum(amortized_usd) desc"
            " limit 1"
        ).fetchall()
    policy = folder / "mine.yml"
    policy.write_text(POLICY.replace("[NAMESPACE]", namespace.replace('"', '\\"')))
    settings = settings_of(closed_world, folder / "home", policy)
    return settings, close_month(OCTOBER, settings, lambda _: None)


def undistributed(settings: Settings) -> Iterator[Cost]:
    """The costs of the month as the SQL before the distribution leaves them."""
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        rows = connection.execute("from int_costs__undistributed").to_arrow_table()
    for row in rows.to_pylist():
        money = {basis: row.pop(f"{basis}_usd") for basis in BASES}
        row.pop("billing_month")
        for name in ("workload_type", "deployment"):
            row.pop(name)
        hours = row.pop("allocated_hours")
        labels = {name: dict(row.pop(name) or []) for name in ("labels", "owner_labels")}
        yield Cost(usd=money["amortized"] or 0, hours=hours, bases=money, **row, **labels)


def published(publication: Publication) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        table = connection.execute(f"from '{publication.path}/charges.parquet'")
        return table.to_arrow_table().to_pylist()


def require_charges(
    publication: Publication, expected: dict[Any, dict[str, Fraction]], cost_count: int
) -> dict[Any, dict[str, Decimal]]:
    """Hold published charges to what a policy means, within a unit a cost; gives them."""
    actual: dict[Any, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in published(publication):
        whom = (
            row["bill_payer_account_id"],
            row["line_item_usage_account_id"],
            row["product_region_code"],
            row["cluster_name"],
            row["namespace"],
            row["workload_name"],
            frozenset(dict(row["labels"]).items()),
        )
        kind = (row["charge_type"], row["origin"], row["rule"], row["reason"])
        for basis in BASES:
            actual[row["usage_date"], whom, *kind][basis] += row[f"{basis}_usd"]
    tolerance = Fraction(cost_count, 10**10)
    for key in expected.keys() | actual.keys():
        for basis in BASES:
            difference = abs(Fraction(actual[key][basis]) - expected[key][basis])
            assert difference <= tolerance, (key, basis)
    return actual


def test_published_charges_are_what_the_policy_means(
    by_policy: tuple[Settings, Publication],
) -> None:
    settings, publication = by_policy
    costs = list(undistributed(settings))
    rules = read_policy(settings.policy, settings.labels).rules
    actual = require_charges(publication, meaning(costs, rules).charges, len(costs))
    silent = "what the month has none of"
    named = {rule.name for rule in rules} - {silent}
    assert {rule for *_, rule, _ in actual} >= named


def test_charges_add_up_to_the_bill_of_each_payer(
    by_policy: tuple[Settings, Publication],
) -> None:
    settings, publication = by_policy
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        bills = connection.execute(
            "select payer_account_id, cost_basis, bill_usd from rpt_month_totals"
        ).fetchall()
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in published(publication):
        for basis in BASES:
            found[row["bill_payer_account_id"], basis] += row[f"{basis}_usd"]
    assert len(bills) == len(PAYERS) * len(BASES)
    assert {(payer, basis): usd for payer, basis, usd in bills} == found


def test_what_people_should_look_at_is_a_warning_with_its_evidence(
    by_policy: tuple[Settings, Publication],
) -> None:
    _, publication = by_policy
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select control, severity, is_passed, actual_usd, evidence"
            f" from '{publication.path}/controls.parquet' where control in"
            " ('every_rule_matches_something', 'every_cost_is_charged_to_somebody')"
            " order by control, payer_account_id"
        ).fetchall()
    *unassigned, rules = rows
    assert rules[1:3] == ("warning", False)
    assert rules[4] == "6 rules, nothing matched: what the month has none of"
    nobodys: dict[str, Decimal] = defaultdict(Decimal)
    for row in published(publication):
        if row["charge_type"] == "unassigned":
            nobodys[row["bill_payer_account_id"]] += row["amortized_usd"]
    assert [row[3] for row in unassigned] == [nobodys[payer] for payer in sorted(PAYERS)]
    assert any(not row[2] and "no_rule of" in row[4] for row in unassigned)


def test_the_manifest_names_the_policy(by_policy: tuple[Settings, Publication]) -> None:
    settings, publication = by_policy
    applied = publication.manifest.policy
    assert applied is not None
    assert (applied.name, applied.text) == ("mine", Path(settings.policy).read_text())
    assert applied.sha256 == read_policy(settings.policy).sha256


def test_a_policy_that_vanished_stops_the_close_and_harms_nothing(
    by_policy: tuple[Settings, Publication],
) -> None:
    settings, publication = by_policy
    gone = settings.model_copy(update={"policy": settings.policy.replace("mine", "gone")})
    with pytest.raises(PodledgerError, match=r"gone\.yml cannot be read"):
        close_month(OCTOBER, gone, lambda _: None)
    revision = find_revision(settings.published, OCTOBER)
    assert revision.number == publication.revision
    assert len(published(publication)) == publication.manifest.row_counts["charges"]


def run(settings: Settings, *words: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("bill", "pods"):
        values = getattr(settings, name)
        monkeypatch.setenv(f"PODLEDGER_{name.upper()}", ",".join(values))
    monkeypatch.setenv("PODLEDGER_HOME", str(settings.home))
    monkeypatch.setenv("PODLEDGER_POLICY", settings.policy)
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_check_tells_what_each_rule_takes(
    by_policy: tuple[Settings, Publication], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, publication = by_policy
    told = run(settings, "policy", "check", monkeypatch=monkeypatch)
    assert told["month"] == "2026-10"
    given: dict[str, Decimal] = defaultdict(Decimal)
    kinds: dict[str, Decimal] = defaultdict(Decimal)
    for row in published(publication):
        given[row["rule"]] += row["amortized_usd"]
        kinds[row["charge_type"]] += row["amortized_usd"]
    for rule in told["rules"]:
        assert Decimal(rule["taken_usd"]) == given[rule["name"]]
    for kind in ("direct", "idle", "shared", "unassigned"):
        assert Decimal(told[f"{kind}_usd"]) == kinds[kind]


def test_both_ways_of_a_shared_cost_add_up(
    by_policy: tuple[Settings, Publication], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, publication = by_policy
    rows = published(publication)
    words = ("explain", "2026-10", "--team", "finance")
    onto = run(settings, *words, monkeypatch=monkeypatch)["figure"]
    of_finance = sum(
        row["amortized_usd"] for row in rows if dict(row["labels"]).get("team") == "finance"
    )
    assert Decimal(onto["usd"]) == of_finance > 0
    for charge in onto["breakdowns"]["charges"]:
        assert charge["rule"] == "idle memory, to finance"
        for taken in charge["breakdowns"]["taken"]:
            assert taken["part"] == "1.00000000"
    words = ("policy", "explain", "2026-10", "--category", "tax")
    back = run(settings, *words, monkeypatch=monkeypatch)
    tax = sum(
        cost.money("amortized") or 0
        for cost in undistributed(settings)
        if cost.category == "tax"
    )
    assert sum(Decimal(one["usd"]) for one in back["carriers"]) == tax > 0


def test_policies_are_compared_over_one_bill(
    by_policy: tuple[Settings, Publication], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, publication = by_policy
    told = run(settings, "policy", "compare", monkeypatch=monkeypatch)
    totals = publication.manifest.totals["amortized"]
    assert totals is not None
    for name in ("scad", "separate", "mine"):
        assert sum(Decimal(row["usd"][name]) for row in told["teams"]) == totals.bill


@pytest.mark.parametrize("kind", ["team", "namespace", "workload"])
def test_whoever_is_charged_is_explained_rule_by_rule_and_down_to_the_bill(
    by_policy: tuple[Settings, Publication], kind: str
) -> None:
    settings, publication = by_policy
    columns = {
        "team": "labels['team']",
        "namespace": "cluster_name || '|' || namespace",
        "workload": "cluster_name || '|' || namespace || '|' || workload_name",
    }
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select {columns[kind]} as name, sum(amortized_usd)::decimal(38, 10)"
            f" from '{publication.path}/charges.parquet' where name is not null group by 1"
            " order by abs(sum(amortized_usd)) desc limit 3"
        ).fetchall()
    assert rows
    for name, usd in rows:
        asked = {kind: name if kind == "team" else tuple(name.split("|"))}
        explained = ask(settings, OCTOBER, Question(**asked), Reach(limit=3, follow=3))
        assert explained.figure.usd == usd
        require_sums(explained.as_json()["figure"])
        rules = {one.facts["rule"] for one in explained.figure.breakdowns["charges"]}
        assert rules - {None}
        for taken in figures(explained.figure):
            if taken.kind == "taken" and taken.part_of:
                of_rule, whole = taken.part_of, taken.part_of.part_of
                assert of_rule.usd == taken.facts["rule_usd"]
                assert whole is not None
                assert set(whole.breakdowns) & {"nodes", "bill_lines"}
        for line in lines_of(explained.figure)[:50]:
            require_on_bill(line, settings, publication.manifest, "amortized")
