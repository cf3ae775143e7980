"""Break one number between bill and mart: a named control fires, nothing is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from orchestration.close.publish import Publication, publish
from orchestration.engines.dbt.in_process import run_dbt
from orchestration.engines.dbt.project import dbt_environment, window
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import POD_COSTS
from orchestration.lake.settings import DBT_PROJECT_DIR, Settings

OCTOBER = Month(2026, 10)
MARTS = (
    "int_bill_remainder__grouped",
    "int_node_hours__proved",
    "int_pod_costs__recomputed",
    "int_pod_costs__daily",
    "fct_daily_costs",
    "fct_charges",
    "fct_close_controls",
)
"""Tables of the close that are not views on something else."""


@pytest.fixture
def home(closed_world: Publication, tmp_path: Path) -> Path:
    """A copy of the closed world's lake and warehouse, nothing published yet."""
    original = closed_world.path.parents[2]
    for folder in ("lake", "warehouse"):
        shutil.copytree(original / folder, tmp_path / "home" / folder)
    shutil.rmtree(tmp_path / "home" / "scratch", ignore_errors=True)
    with duckdb.connect(str(tmp_path / "home/warehouse/podledger.duckdb")) as connection:
        # Views name the lake by its path.
        views = connection.execute(
            "select view_name, sql from duckdb_views() where not internal"
        ).fetchall()
        for name, sql in views:
            if str(original) in sql:
                moved = sql.replace(str(original), str(tmp_path / "home"))
                connection.execute(f"drop view {name}")
                connection.execute(moved)
    return tmp_path / "home"


@pytest.fixture
def publish_again(home: Path) -> Callable[..., str]:
    """Build the tables of the close again, and publish; gives the refusal."""

    def run(*models: str) -> str:
        settings = Settings(home=home)
        with dbt_environment(settings):
            built = run_dbt(
                [
                    *("run", "--quiet", "--log-level-file", "none", "--no-write-json"),
                    *("--project-dir", os.fspath(DBT_PROJECT_DIR)),
                    *("--profiles-dir", os.fspath(DBT_PROJECT_DIR)),
                    *("--target-path", os.fspath(home / "target")),
                    *("--select", *(models or MARTS), *window(OCTOBER)),
                ],
                settings,
            )
        assert built.success, built.exception or built.result
        with pytest.raises(PodledgerError) as refused:
            publish(settings, OCTOBER, lambda _: None)
        assert not list(home.glob("published/*/revision=*"))
        return str(refused.value)

    return run


def rewrite(home: Path, table: str, change: str) -> None:
    """Write the table's files again with one row changed by ``change``, an SQL update."""
    files = sorted((home / "lake" / table).rglob("*.parquet"))
    path = next(
        file
        for file in files
        if duckdb.execute("select count(*) from read_parquet(?)", [str(file)]).fetchone()[0]
    )
    with duckdb.connect() as connection:
        connection.execute(
            f"create table rows as from read_parquet('{path}', hive_partitioning = false)"
        )
        change = change.replace("[HOME]", str(home))
        changed = connection.execute(f"update rows set {change}").fetchall()
        assert changed[0][0] > 0
        connection.execute(f"copy rows to '{path}' (format parquet)")


ONE_UNIT = "0.0000000001"


@pytest.mark.parametrize(
    ("table", "change", "control"),
    [
        (
            "pod_costs",
            f"vcpu_amortized_split_usd = vcpu_amortized_split_usd + {ONE_UNIT}"
            " where rowid = (select min(rowid) from rows"
            " where vcpu_amortized_split_usd > 0)",
            "every_node_hour_adds_up",
        ),
        (
            "unallocated_costs",
            f"net_amortized_usd = net_amortized_usd - {ONE_UNIT} where rowid = 0",
            "every_billed_dollar_lands_once",
        ),
        (
            "raw/bill_lines",
            "reservation_effective_cost = reservation_effective_cost + 1 where rowid ="
            " (select min(rowid) from rows where reservation_effective_cost > 0)",
            "deliveries_were_read_whole",
        ),
        (
            "raw/bill_files",
            "rounding_moved_usd = 0.02 where rowid = 0",
            "rounding_is_accounted_for",
        ),
        (
            "charges",
            f"amortized_usd = amortized_usd + {ONE_UNIT} where rowid = 0",
            "charges_add_up_to_the_bill",
        ),
        (
            "charges",
            "payer_account_id = '444444444444' where rowid = (select min(rowid)"
            " from rows where payer_account_id = '111111111111' and unblended_usd > 0)",
            "nothing_moves_between_payers",
        ),
        (
            "charges",
            "rule = (select min(rule) from '[HOME]/lake/charge_rules/*/*.parquet')"
            " where rowid = (select min(rowid) from rows where amortized_usd > 0)",
            "each_rule_gives_what_it_takes",
        ),
    ],
)
def test_one_changed_number_in_the_lake_fires_its_control(
    home, publish_again, table, change, control
):
    rewrite(home, table, change)
    assert control in publish_again()


def test_money_moved_between_two_resources_of_a_node_hour_does_not_hide(
    home, publish_again
):
    """The node-hour still adds up; its resources do not."""
    rewrite(
        home,
        "pod_costs",
        f"vcpu_unblended_split_usd = vcpu_unblended_split_usd + {ONE_UNIT},"
        f" memory_unblended_split_usd = memory_unblended_split_usd - {ONE_UNIT}"
        " where rowid = (select min(rowid) from rows where memory_unblended_split_usd > 0)",
    )
    refusal = publish_again()
    assert "resources_add_up_to_their_node_hour" in refusal
    assert "every_billed_dollar_lands_once" not in refusal


def test_a_charge_that_stands_for_another_is_found(home, publish_again):
    """Every payer's charges still add up to its bill."""
    rewrite(
        home,
        "charges",
        "origin = 'remainder' where rowid = (select min(rowid) from rows"
        " where origin = 'split' and amortized_usd > 0)",
    )
    refusal = publish_again()
    assert "no_cost_is_charged_twice" in refusal
    assert "charges_add_up_to_the_bill" not in refusal


def test_a_roll_up_that_loses_a_unit_is_found(home, publish_again):
    with duckdb.connect(str(home / "warehouse/podledger.duckdb")) as connection:
        connection.execute("create table kept as from rpt_month_by_model")
        connection.execute("drop view rpt_month_by_model")
        connection.execute(
            "create table rpt_month_by_model as select * replace"
            f" (amortized_direct_usd - {ONE_UNIT} as amortized_direct_usd) from kept"
        )
    assert "roll_ups_add_up_to_charges" in publish_again("fct_close_controls")


def test_two_pods_of_a_node_hour_that_pay_for_each_other_are_found(home, publish_again):
    """Every sum holds: the node-hour adds up, and so do its resources and the bill."""
    money = [
        name
        for name in POD_COSTS.names
        if name.endswith("_usd") and not name.startswith("storage_")
    ]
    path = sorted((home / "lake" / "pod_costs").rglob("*.parquet"))[0]
    with duckdb.connect() as connection:
        connection.execute(
            "create table pods as select row_number() over () as place, *"
            f" from read_parquet('{path}', hive_partitioning = false)"
        )
        one, two = connection.execute(
            """
            select a.place, b.place
            from pods as a
            inner join pods as b
                on a.instance_id = b.instance_id
                and a.usage_hour = b.usage_hour
                and a.pod_uid < b.pod_uid
                and a.vcpu_allocated_hours <> b.vcpu_allocated_hours
            where a.vcpu_amortized_split_usd > 0.001
            order by all
            """
        ).fetchall()[0]
        swapped = f"when {one} then {two} when {two} then {one}"
        theirs = ", ".join(f"theirs.{name} as {name}" for name in money)
        connection.execute(
            f"copy (select pods.* exclude (place) replace ({theirs}) from pods"
            " inner join pods as theirs"
            f" on theirs.place = case pods.place {swapped} else pods.place end"
            f" order by pods.place) to '{path}' (format parquet)"
        )
    refusal = publish_again()
    assert "shares_follow_claims" in refusal
    for law in (
        "every_node_hour_adds_up",
        "resources_add_up_to_their_node_hour",
        "every_billed_dollar_lands_once",
    ):
        assert law not in refusal


def test_a_pod_hour_that_stands_twice_is_found(home, publish_again):
    files = sorted((home / "lake" / "pod_costs").rglob("*.parquet"))
    shutil.copyfile(files[0], files[0].with_name("again.parquet"))
    refusal = publish_again()
    assert "no_pod_hour_is_counted_twice" in refusal
    assert "every_billed_dollar_lands_once" in refusal


@pytest.mark.parametrize(
    ("change", "control"),
    [
        (
            "update int_node_hours set amortized_usd = amortized_usd + 1"
            " where instance_id = (select min(instance_id) from int_node_hours)",
            "every_node_hour_adds_up",
        ),
        (
            "update int_bill_remainder__grouped set unblended_usd = unblended_usd - 0.01"
            " where category = 'tax'",
            "every_billed_dollar_lands_once",
        ),
        (
            "update fct_daily_costs"
            f" set amortized_total_usd = amortized_total_usd + {ONE_UNIT}"
            " where namespace = 'ns-1'",
            "marts_add_up_to_pod_costs",
        ),
    ],
)
def test_one_changed_number_in_the_warehouse_fires_its_control(
    home, publish_again, change, control
):
    with duckdb.connect(str(home / "warehouse/podledger.duckdb")) as connection:
        connection.execute(change)
    assert control in publish_again("int_node_hours__proved", "fct_close_controls")


def test_a_row_of_the_split_of_aws_that_bills_something_is_refused(home, publish_again):
    rewrite(
        home,
        "raw/bill_lines",
        "split_line_item_parent_resource_id = 'i-1' where rowid ="
        " (select min(rowid) from rows where line_item_unblended_cost > 0)",
    )
    assert "split_rows_of_aws_are_left_out" in publish_again()
