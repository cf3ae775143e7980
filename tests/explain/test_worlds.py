"""Explanations of closed worlds: each level adds up, down to rows of the bill's files."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from orchestration.close.publish import Publication
from orchestration.explain.explain import Question
from orchestration.explain.figure import Reach
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import find_revision
from tests.explain.following import (
    ask,
    figures,
    lines_of,
    require_all_accounts,
    require_on_bill,
    require_sums,
)
from tests.purchases import Closed

OCTOBER = Month(2026, 10)
FOLLOWED = Reach(limit=4, follow=2)


@pytest.fixture(params=["cur2", "legacy"])
def published(request: pytest.FixtureRequest) -> Publication:
    """The world, closed from CUR 2.0 and from a legacy report."""
    name = "closed_world" if request.param == "cur2" else "closed_legacy_world"
    found: Publication = request.getfixturevalue(name)
    return found


def settings_of(publication: Publication) -> Settings:
    return Settings(home=publication.path.parents[2], _env_file=None)


def charged(publication: Publication, what: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(
            f"select {what}, sum(amortized_usd)::decimal(38, 10)"
            f" from '{publication.path}/charges.parquet'"
            " where namespace is not null group by all order by all"
        ).fetchall()


def test_the_lines_of_every_node_hour_are_its_cost_in_every_basis(published):
    assert require_all_accounts(settings_of(published), OCTOBER) > 60


def test_so_are_those_of_hours_that_were_bought_otherwise(closed_purchases: Closed):
    assert require_all_accounts(closed_purchases.settings, OCTOBER) > 50


def test_random_workloads_lead_to_rows_of_the_bills_files(published):
    settings = settings_of(published)
    rows = charged(published, "cluster_name, namespace, workload_name")
    dice = random.Random(14)
    seen = 0
    for cluster, namespace, name, usd in dice.sample(rows, 6):
        if name is None:
            continue
        question = Question(workload=(cluster, namespace, name))
        explained = ask(settings, OCTOBER, question, FOLLOWED)
        assert explained.figure.usd == usd
        require_sums(explained.as_json()["figure"])
        for line in lines_of(explained.figure):
            require_on_bill(line, settings, published.manifest, "amortized")
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("basis", ["unblended", "amortized", "public_on_demand"])
def test_a_namespace_on_a_day_in_each_basis(published, basis):
    settings = settings_of(published)
    dice = random.Random(7)
    rows = charged(published, "cluster_name, namespace, usage_date")
    cluster, namespace, day, _ = dice.choice([row for row in rows if row[2]])
    question = Question(namespace=(cluster, namespace), day=day, basis=basis)
    explained = ask(settings, OCTOBER, question, FOLLOWED)
    with duckdb.connect() as connection:
        ((usd,),) = connection.execute(
            f"select sum({basis}_usd) from '{published.path}/charges.parquet'"
            " where cluster_name = $c and namespace = $n and usage_date = $d",
            {"c": cluster, "n": namespace, "d": day},
        ).fetchall()
    assert explained.figure.usd == usd
    lines = lines_of(explained.figure)
    assert lines
    for line in lines:
        require_on_bill(line, settings, published.manifest, basis)


def test_a_pods_day_is_told_whole(published):
    settings = settings_of(published)
    with duckdb.connect() as connection:
        pods = connection.execute(
            "select split_part(line_item_resource_id, '/', -1),"
            " line_item_usage_start_date::date,"
            " sum(split_line_item_split_cost + split_line_item_unused_cost)"
            f" from '{published.path}/scad/*.parquet' group by all order by all"
        ).fetchall()
    for uid, day, usd in random.Random(3).sample(pods, 8):
        explained = ask(settings, OCTOBER, Question(pod=uid, day=day))
        assert explained.figure.usd == usd
        require_sums(explained.as_json()["figure"])
        hours = [one for one in figures(explained.figure) if one.kind == "pod_hour"]
        for hour in hours:
            assert hour.part_of is not None
            of_node = {
                claim.facts["pod_uid"]: claim
                for resource in hour.part_of.breakdowns["resources"]
                for claim in resource.breakdowns["claims"]
                if claim.facts.get("pod_uid") == uid
            }
            assert of_node or not hour.usd
        for line in lines_of(explained.figure):
            require_on_bill(line, settings, published.manifest, "amortized")


def test_a_spread_fee_is_told_with_the_lines_that_it_is_on(closed_purchases: Closed):
    """The hour of an instance in a Capacity Block costs what its part of the fee is."""
    settings = closed_purchases.settings
    revision = find_revision(settings.published, OCTOBER)
    explained = ask(settings, OCTOBER, Question(pod="b"))
    (spread,) = [one for one in figures(explained.figure) if one.kind == "spread"]
    assert spread.name == "part of the fee of a Capacity Block"
    assert spread.part_of is not None
    assert spread.part_of.usd == Decimal("3020.736")
    (line,) = spread.part_of.breakdowns["bill_lines"]
    require_on_bill(line, settings, revision.manifest, "unblended")
