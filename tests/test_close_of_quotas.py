"""A month with quotas from files: what they hold back, by hand, and who is charged."""

from __future__ import annotations

import csv
import datetime as dt
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.distribution.policy_file import read_policy
from orchestration.explain.explain import Question
from orchestration.explain.figure import Reach
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.provenance import fingerprint_of
from tests.distribution.costs import Quota
from tests.distribution.definition import meaning
from tests.explain.following import ask, figures, require_sums
from tests.test_close_of_policy import published, require_charges, undistributed
from tests.worlds import World, a_pod_hour, an_instance_hour, write_cur2, write_pods

OCTOBER = Month(2026, 10)
DAY = dt.date(2026, 10, 7)
NODE, GPUS = (f"i-{n:017x}" for n in (1, 2))

POLICY = """\
- {name: GPUs that quotas hold, take: quota, where: {resource: accelerator}, give: owner}
- {name: what quotas hold, take: quota, give: owner}
- {name: the rest, take: idle, share: {within: cluster, by: direct_cost}}
"""


def hour(number: int) -> dt.datetime:
    return dt.datetime(2026, 10, 7, number)  # noqa: DTZ001 - the world has no zones


def world() -> World:
    """Two hours of 4 vCPU and 16 GiB with a pod or two, and an hour of 8 GPUs."""
    pods = [
        a_pod_hour(NODE, hour(3), "red", namespace="red", labels={"team": "red"}),
        # Uses more than it requests, for half of the hour: 2 x 0.5 vCPU-hours.
        a_pod_hour(
            NODE,
            hour(4),
            "blue",
            namespace="blue",
            bound_seconds=1800,
            vcpu_used=2.0,
        ),
        a_pod_hour(
            GPUS,
            hour(3),
            "trainer",
            namespace="blue",
            accelerators_requested={"nvidia.com/gpu": 2.0},
        ),
    ]
    lines = [
        an_instance_hour(NODE, "m5.xlarge", "0.192", hour(3)),
        an_instance_hour(NODE, "m5.xlarge", "0.192", hour(4)),
        an_instance_hour(GPUS, "p3.16xlarge", "24.48", hour(3)),
    ]
    return World(lines, pods)


QUOTAS: list[dict[str, Any]] = [
    # 3 - 1 vCPU at three, 3 - 0 at four. 8 GPUs of quota for one hour.
    {"namespace": "red", "hour": 3, "vcpu_hard": 3, "accelerators_hard": ""},
    {"namespace": "red", "hour": 4, "vcpu_hard": 3, "accelerators_hard": ""},
    # Of 3 GPUs 2 are in use, and 2 of its slices are worth 2/7 of one.
    {
        "namespace": "blue",
        "hour": 3,
        "accelerators_hard": '{"nvidia.com/gpu": 3, "nvidia.com/mig-1g.5gb": 2}',
    },
    # Less than its pods have: nothing is held back.
    {"namespace": "blue", "hour": 4, "vcpu_hard": 0.5},
    # A namespace without pods.
    {"namespace": "green", "hour": 4, "vcpu_hard": 7, "memory_hard_gib": 10_000},
]

HELD = [
    # Idle vCPUs: 3 at three, 4 - 1 at four, and 63 of the GPUs' node.
    Quota("red", 5, 69, DAY, "prod", "vcpu", {"team": "red"}),
    Quota("green", 7, 69, DAY, "prod", "vcpu", {"team": "verde"}),
    Quota("green", 10_000, Decimal("517.5"), DAY, "prod", "memory", {"team": "verde"}),
    # To the twelfth digit, as the hours are kept.
    Quota("blue", Decimal("1.285714285714"), 6, DAY, "prod", "accelerator"),
]


def write_quotas(folder: Path) -> None:
    names = ("cluster_name", "usage_hour", "namespace", "vcpu_hard", "memory_hard_gib")
    with (folder / "quota_hours.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, (*names, "accelerators_hard"))
        writer.writeheader()
        for row in QUOTAS:
            told = {name: value for name, value in row.items() if name != "hour"}
            when = f"{hour(row['hour']):%Y-%m-%dT%H:%M:%SZ}"
            writer.writerow({"cluster_name": "prod", "usage_hour": when, **told})


def settings_of(folder: Path, home: str) -> Settings:
    return Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / home,
        policy=str(folder / "quotas.yml"),
        ownership=folder / "ownership.yml",
        _env_file=None,
    )


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Publication]:
    """The month without quotas."""
    folder = tmp_path_factory.mktemp("quotas")
    write_cur2(world(), folder / "bill")
    write_pods(world(), folder / "pods")
    (folder / "quotas.yml").write_text(POLICY)
    (folder / "ownership.yml").write_text("- {namespace: green, team: verde}\n")
    settings = settings_of(folder, "without")
    return settings, close_month(OCTOBER, settings, lambda _: None)


@pytest.fixture(scope="module")
def held(without: tuple[Settings, Publication]) -> tuple[Settings, Publication]:
    """The same month with them."""
    folder = without[0].home.parent
    write_quotas(folder / "pods")
    settings = settings_of(folder, "held")
    return settings, close_month(OCTOBER, settings, lambda _: None)


def test_what_quotas_hold_back_is_what_no_pod_of_the_namespace_was_allocated(
    held: tuple[Settings, Publication],
) -> None:
    with duckdb.connect(str(held[0].warehouse), read_only=True) as connection:
        found = connection.execute(
            "select usage_date, cluster_name, resource, namespace, labels, held_hours,"
            " idle_hours from int_quotas__held"
        ).fetchall()
    assert sorted(found, key=str) == sorted((tuple(one.row()[1:]) for one in HELD), key=str)


def test_who_holds_a_quota_is_charged_for_its_part_of_what_is_idle(
    held: tuple[Settings, Publication],
) -> None:
    settings, publication = held
    costs = list(undistributed(settings))
    rules = read_policy(settings.policy, settings.labels).rules
    require_charges(publication, meaning(costs, rules, HELD).charges, len(costs))

    def idle(resource: str) -> Fraction:
        return sum(
            (
                Fraction(cost.money("amortized") or 0)
                for cost in costs
                if cost.origin in ("unused", "unallocated") and cost.resource == resource
            ),
            Fraction(0),
        )

    by_rule: dict[Any, Decimal] = defaultdict(Decimal)
    for row in published(publication):
        resource = (row["origin_detail"] or "").partition("/")[0]
        by_rule[row["rule"], row["namespace"], resource] += row["amortized_usd"]
    for (rule, namespace, resource), part in {
        ("GPUs that quotas hold", "blue", "accelerator"): Fraction(9, 42),
        ("what quotas hold", "red", "vcpu"): Fraction(5, 69),
        ("what quotas hold", "green", "vcpu"): Fraction(7, 69),
        ("what quotas hold", "green", "memory"): Fraction(1),
    }.items():
        usd = Fraction(by_rule[rule, namespace, resource])
        assert abs(usd - part * idle(resource)) < Fraction(1, 10**8)
    controls = duckdb.sql(
        f"select control from '{publication.path}/controls.parquet'"
        " where not is_passed and severity = 'error'"
    ).fetchall()
    assert controls == []


def test_quotas_are_part_of_what_a_month_was_made_from(
    without: tuple[Settings, Publication], held: tuple[Settings, Publication]
) -> None:
    plain, with_quotas = without[1].manifest, held[1].manifest
    assert {file.kind for file in with_quotas.inventory} == {"pod_hours", "quota_hours"}
    assert {file.kind for file in plain.inventory} == {"pod_hours"}
    assert fingerprint_of(plain) != fingerprint_of(with_quotas)
    unasked = with_quotas.model_copy(update={"inventory": plain.inventory})
    assert fingerprint_of(unasked) == fingerprint_of(plain)


def test_without_quotas_the_rules_match_nothing_and_that_is_told(
    without: tuple[Settings, Publication],
) -> None:
    _, publication = without
    ((evidence,),) = duckdb.sql(
        f"select evidence from '{publication.path}/controls.parquet'"
        " where control = 'every_rule_matches_something'"
    ).fetchall()
    assert evidence.startswith("3 rules, nothing matched: GPUs that quotas hold,")
    assert evidence.endswith("sources that are asked for them (docs/sources.md)")
    assert {row["rule"] for row in published(publication)} == {None, "the rest"}


def test_what_a_quota_is_charged_is_followed_to_the_bill(
    held: tuple[Settings, Publication],
) -> None:
    explained = ask(held[0], OCTOBER, Question(namespace=("prod", "green")), Reach())
    assert explained.figure.usd > 0
    require_sums(explained.as_json()["figure"])
    nodes = {one.name for one in figures(explained.figure) if one.kind == "node"}
    assert nodes == {NODE, GPUS}
