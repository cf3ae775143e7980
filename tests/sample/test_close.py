"""What the close makes of the sample's Capacity Block, pods on Fargate and Auto Mode."""

import random
import re
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest
from typer.testing import CliRunner

from orchestration.cli.app import app
from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.distribution.policy_file import read_policy
from orchestration.distribution.trial import compare_policies
from orchestration.explain.explain import Question
from orchestration.explain.figure import Reach
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.explain.following import (
    ask,
    lines_of,
    require_on_bill,
    require_sums,
)
from tests.sample.reading import fetch

OCTOBER = Month(2026, 10)
Connection = duckdb.DuckDBPyConnection

FEE = Decimal("4530.816")
HOURLY = Decimal("31.464")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """October's sample, closed as it is without settings."""
    home = tmp_path_factory.mktemp("closed sample")
    return close_month(OCTOBER, Settings(home=home), lambda _: None)


@pytest.fixture(scope="module")
def closed(published: Publication) -> Iterator[Connection]:
    """The warehouse, with views of the bill's lines and of what is published."""
    home = published.path.parents[2]
    connection = duckdb.connect(home / "warehouse" / "podledger.duckdb", read_only=True)
    for name, files in (
        ("scad", "scad/*.parquet"),
        ("remainder", "remainder.parquet"),
        ("controls", "controls.parquet"),
    ):
        path = published.path / files
        connection.execute(
            f"create temp view {name} as select * from read_parquet('{path}')"
        )
    lines = Lake(home).partition("raw/bill_lines", OCTOBER) / "*.parquet"
    connection.execute(
        f"create temp view bill_lines as select * from read_parquet('{lines}')"
    )
    yield connection
    connection.close()


def test_the_fee_of_the_block_is_carried_by_its_pods_and_what_was_idle(
    closed: Connection,
) -> None:
    """144 instance-hours were paid for; the nodes ran 98.49 of them."""
    carried, net, unblended, hours = fetch(
        closed,
        """
        select
            sum(amortized_usd),
            sum(net_amortized_usd),
            sum(unblended_usd),
            sum(usage_hours)
        from int_node_hours
        where reservation_amortized_usd > 0
        """,
    )[0]
    assert unblended == 0
    assert carried == net
    assert abs(carried - hours * HOURLY) < Decimal("0.000001")
    idle = fetch(
        closed,
        """
        select sum(amortized_usd), sum(unblended_usd) from remainder
        where category = 'unused_capacity_reservations'
            and line_item_usage_account_id = '111122223333'
        """,
    )
    assert idle == [(FEE - carried, 0)]
    assert idle[0][0].quantize(Decimal("0.01")) == Decimal("1432.05")


def test_the_fee_of_the_block_stays_as_billed_in_unblended_cost(closed: Connection) -> None:
    assert fetch(
        closed,
        """
        select
            line_item_usage_account_id,
            sum(unblended_usd),
            sum(amortized_usd),
            sum(net_amortized_usd)
        from remainder where category = 'capacity_blocks'
        group by all
        """,
    ) == [("111122223333", FEE, 0, 0)]


def test_a_training_in_the_block_costs_its_team_what_the_platform_paid(
    closed: Connection,
) -> None:
    """Its pods and the DaemonSets beside them: all that the two nodes ran."""
    costs = dict(
        fetch(
            closed,
            """
            select
                resource_tags['user_team'],
                sum(split_line_item_split_cost + split_line_item_unused_cost)
            from scad
            where split_line_item_parent_resource_id in (
                select instance_id from int_node_hours where reservation_amortized_usd > 0
            )
            group by all
            """,
        )
    )
    assert costs["vision"] > 3_000
    assert set(costs) == {"vision", "platform", None}


def test_the_size_of_the_block_is_known_from_the_samples_file(closed: Connection) -> None:
    assert fetch(
        closed,
        """
        select distinct is_passed from controls
        where control = 'capacity_blocks_have_a_known_size'
        """,
    ) == [(True,)]


def test_idle_hours_of_the_block_show_with_its_id(closed: Connection) -> None:
    assert fetch(
        closed,
        """
        select
            capacity_reservation_id = (
                select capacity_reservation_id from int_bill_charges
                where is_capacity_block_fee
            ),
            min(usage_started_at)::text,
            max(usage_started_at)::text,
            sum(amortized_usd) between 1432.04 and 1432.05
        from int_bill_charges
        where capacity_reservation_status = 'Unused'
            and usage_account_id = '111122223333'
        group by all
        """,
    ) == [(True, "2026-10-20 11:00:00", "2026-10-23 11:00:00", True)]


def test_the_fee_of_auto_mode_is_part_of_its_nodes_hours(closed: Connection) -> None:
    assert fetch(
        closed,
        """
        select
            count(*),
            sum(instance_amortized_usd)::decimal(18, 2),
            sum(management_fee_amortized_usd)::decimal(18, 2),
            bool_and(
                amortized_usd = instance_amortized_usd + management_fee_amortized_usd
            )
        from int_node_hours
        where management_fee_amortized_usd > 0
        """,
    ) == [(842, Decimal("1563.45"), Decimal("187.61"), True)]


def test_pods_on_fargate_cost_exactly_their_lines(closed: Connection) -> None:
    billed = fetch(
        closed,
        """
        select
            line_item_resource_id,
            sum(coalesce(
                savings_plan_savings_plan_effective_cost, line_item_unblended_cost
            ))
        from bill_lines
        where line_item_operation = 'FargatePod' and line_item_resource_id is not null
        group by all
        order by all
        """,
    )
    assert len(billed) == 77
    assert (
        fetch(
            closed,
            """
            select line_item_resource_id, sum(split_line_item_split_cost)
            from scad where line_item_operation = 'FargatePod'
            group by all
            order by all
            """,
        )
        == billed
    )


def test_the_page_on_chargeback_tells_what_each_policy_charges(
    published: Publication,
) -> None:
    home = published.path.parents[2]
    page = (PROJECT_DIR / "docs" / "chargeback.md").read_text()
    policies = [
        read_policy(name)
        for name in ("scad", "separate", str(home / "sample/2026-10/sample-policy.yml"))
    ]
    _, rows = compare_policies(home / "warehouse" / "podledger.duckdb", OCTOBER, policies)
    assert len(rows) == 12
    for row in rows:
        amounts = " | ".join(f"{usd:,.2f}" for usd in row.usd.values())
        assert f"| {row.team or 'nobody'} | {amounts} |" in page


def test_every_dollar_of_the_sample_is_somebodys(published: Publication) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select charge_type, sum(amortized_usd), count(distinct rule)"
            f" from '{published.path}/charges.parquet' group by 1"
        ).fetchall()
    by_type = {name: (usd, rules) for name, usd, rules in found}
    assert set(by_type) == {"direct", "idle", "shared"}
    # Of the standby pool a rule gives all; the pools share theirs.
    assert by_type["idle"] == (Decimal("148409.1889209902"), 2)
    assert by_type["shared"][1] == 8


def test_the_controls_of_the_policy_pass(closed: Connection) -> None:
    rows = fetch(
        closed,
        "select count(*), bool_and(is_passed) from controls where control in"
        " ('every_cost_is_charged_to_somebody', 'every_rule_matches_something')",
    )
    assert rows == [(3, True)]


# ---------------------------------------------------------------- explained


def explained_page() -> list[tuple[str, list[str]]]:
    """Commands of the page on explanations, and the output that it shows of each."""
    text = (PROJECT_DIR / "docs" / "explain.md").read_text()
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```", text, flags=re.M | re.S)
    command, found = "", []
    for kind, block in blocks:
        if kind == "sh":
            command = block.strip().splitlines()[0]
        else:
            found.append((command, block.splitlines()))
    return found


def test_the_page_on_explanations_shows_what_the_commands_print(
    published: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of the page are lines of the output, in their order."""
    monkeypatch.setenv("PODLEDGER_HOME", str(published.path.parents[2]))
    monkeypatch.setenv("COLUMNS", "80")
    printed: dict[str, list[str]] = {}
    shown = explained_page()
    assert len(shown) > 5
    for command, lines in shown:
        if command not in printed:
            words = command.removeprefix("podledger ").split()
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.output
            printed[command] = [line.rstrip() for line in result.stdout.splitlines()]
        place = 0
        for line in (line.rstrip() for line in lines):
            if line not in ("", "..."):
                assert line in printed[command][place:], line
                place = printed[command].index(line, place) + 1


def test_random_figures_of_the_month_lead_to_rows_of_the_bills_files(
    published: Publication,
) -> None:
    settings = Settings(home=published.path.parents[2])
    with duckdb.connect() as connection:
        workloads = connection.execute(
            "select cluster_name, namespace, workload_name,"
            " sum(amortized_usd)::decimal(38, 10)"
            f" from '{published.path}/charges.parquet' where workload_name is not null"
            " group by all order by all"
        ).fetchall()
        pods = connection.execute(
            "select split_part(line_item_resource_id, '/', -1),"
            " line_item_usage_start_date::date,"
            " sum(split_line_item_split_cost + split_line_item_unused_cost)"
            f" from '{published.path}/scad/*.parquet' group by all order by all"
        ).fetchall()
    dice = random.Random(2026)
    asked = [
        (Question(workload=(cluster, namespace, name)), usd)
        for cluster, namespace, name, usd in dice.sample(workloads, 2)
    ]
    asked += [(Question(pod=uid, day=day), usd) for uid, day, usd in dice.sample(pods, 4)]
    lines = 0
    for question, usd in asked:
        explained = ask(settings, OCTOBER, question, Reach(limit=4, follow=2))
        assert explained.figure.usd == usd
        require_sums(explained.as_json()["figure"])
        for line in lines_of(explained.figure):
            require_on_bill(line, settings, published.manifest, "amortized")
            lines += 1
    assert lines > 20
