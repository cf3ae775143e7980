"""A published month read back from its files: exact for machines, legible for people."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest
from rich.console import Console

from orchestration.close.catalogue import catalogue, controls_of
from orchestration.close.publish import publish
from orchestration.close.summary import Summary, summarize
from orchestration.close.terminal import print_summary
from orchestration.lake.errors import PodledgerError
from orchestration.ledger.book import find_revision
from tests.close.conftest import BILL, IDLE, SPLIT, TAX, UNUSED, ClosedWorld


def summarized(world: ClosedWorld) -> Summary:
    publish(world.settings, world.month, world.progress.append)
    return summarize(find_revision(world.settings.published, world.month))


def printed(summary: Summary, width: int) -> str:
    out = io.StringIO()
    print_summary(Console(file=out, width=width, highlight=False), summary, "2026-10")
    return out.getvalue()


def test_figures_are_those_of_the_published_rows(world: ClosedWorld) -> None:
    summary = summarized(world)
    assert [(r.reason, r.resource, r.cost_usd) for r in summary.unallocated] == [
        ("unclaimed", "accelerator", 4 * IDLE)
    ]
    assert [(r.category, r.unblended_usd, r.cost_usd) for r in summary.remainder] == [
        ("tax", 2 * TAX, 2 * TAX)
    ]
    assert [(s.cluster_name, s.namespace, s.cost_usd) for s in summary.namespaces] == [
        ("ml", "serving", 4 * SPLIT),
        ("ml", "training", 4 * SPLIT),
    ]
    assert [(s.workload_type, s.workload_name) for s in summary.workloads] == [
        ("Deployment", "chat"),
        ("Deployment", "trainer"),
    ]
    assert len(summary.controls) == len(controls_of(method=2)) * 2 * 4


@pytest.mark.parametrize("name", ["[x]", "[red]a[/]", ":warning:", "a[0]"])
def test_a_name_is_printed_as_it_is(world: ClosedWorld, name: str) -> None:
    """Rich would take it for markup."""
    world.sql(
        f"update fct_daily_costs set namespace = '{name}', workload_name = '{name}',"
        f" cluster_name = '{name}', labels = map {{'team': '{name}'}}",
        f"update fct_charges set namespace = '{name}', workload_name = '{name}',"
        f" cluster_name = '{name}', labels = map {{'team': '{name}'}}"
        " where charge_type = 'direct'",
        f"update fct_charges set origin_detail = '{name}' where origin = 'remainder'",
        f"update fct_split_line_items set resource_tags = map {{'aws_eks_namespace':"
        f" '{name}', 'aws_eks_cluster_name': '{name}', 'aws_eks_workload_name': '{name}',"
        f" 'aws_eks_workload_type': 'Deployment', 'user_team': '{name}'}}",
        f"update fct_unallocated set resource = '{name}'",
        f"update fct_bill_remainder set category = '{name}'",
    )
    text = printed(summarized(world), 80)
    assert text.count(f"{name} / {name}") == 2
    assert text.count(name) >= 8


def test_the_most_expensive_come_first_and_the_others_are_counted(
    world: ClosedWorld,
) -> None:
    world.sql(
        *(
            f"insert into {table} select * replace (0 as {split},"
            f" {n}.0000000000 as {unused}, {changed}) from {table} limit 1"
            for n in range(10, 22)
            for table, split, unused, changed in (
                (
                    "fct_split_line_items",
                    "split_line_item_split_cost",
                    "split_line_item_unused_cost",
                    "0 as split_line_item_net_split_cost,"
                    " 0 as split_line_item_net_unused_cost,"
                    " 0 as split_line_item_public_on_demand_split_cost,"
                    " 0 as split_line_item_public_on_demand_unused_cost,"
                    f" 'other/{n}' as line_item_resource_id",
                ),
                (
                    "fct_daily_costs",
                    "amortized_split_usd",
                    "amortized_unused_usd",
                    f"{n} as amortized_total_usd, 'team-{n}' as namespace,"
                    + ", ".join(
                        f" 0 as {basis}_{part}_usd"
                        for basis in ("unblended", "net_amortized", "public_on_demand")
                        for part in ("split", "unused", "total")
                    ),
                ),
            )
        ),
        *(
            f"insert into fct_charges select * replace ('team-{n}' as namespace,"
            f" {n} as amortized_usd, 0 as unblended_usd, 0 as net_amortized_usd,"
            " 0 as public_on_demand_usd) from fct_charges where charge_type = 'direct'"
            " limit 1"
            for n in range(10, 22)
        ),
        "update rpt_month_totals set bill_usd = bill_usd + 186,"
        " pods_unused_usd = pods_unused_usd + 186"
        " where payer_account_id = '111122223333' and cost_basis = 'amortized'",
    )
    summary = summarized(world)
    names = [one.namespace for one in summary.namespaces]
    assert names == [f"team-{n}" for n in range(21, 11, -1)]
    assert summary.namespace_count == 14
    assert "Top 10 of 14 " in printed(summary, 80)


def test_owners_go_by_the_first_chosen_label(world: ClosedWorld) -> None:
    world.sql(
        *(
            f"update {table} set labels = map {{}} where namespace = 'training'"
            for table in ("fct_daily_costs", "fct_charges")
        )
    )
    summary = summarized(world)
    assert summary.owner_label == "team"
    assert [(one.name, one.cost_usd) for one in summary.owners] == [
        (None, 4 * SPLIT),
        ("chat", 4 * SPLIT),
    ]
    assert "Teams by cost" in printed(summary, 80)


def test_money_in_json_is_exact_text(world: ClosedWorld) -> None:
    told = json.loads(json.dumps(summarized(world).as_json()))
    assert told["totals"]["unblended"]["bill"] == f"{2 * BILL:f}"
    assert told["namespaces"][0]["direct_usd"] == f"{4 * SPLIT:f}"
    assert told["controls"][0]["expected_usd"] == f"{BILL:f}"
    assert told["month"] == "2026-10"
    assert told["revision"] == 1


def test_a_summary_needs_no_warehouse_and_no_lake(world: ClosedWorld) -> None:
    before = summarized(world)
    world.settings.warehouse.unlink()
    revision = find_revision(world.settings.published, world.month)
    assert summarize(revision) == before


def test_a_missing_file_is_told(world: ClosedWorld) -> None:
    summary = summarized(world)
    (summary.path / "remainder.parquet").unlink()
    with pytest.raises(PodledgerError, match=r"remainder\.parquet.*backup"):
        summarize(find_revision(world.settings.published, world.month))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(
    world: ClosedWorld, width: int
) -> None:
    world.sql(
        *(
            f"update {table} set cluster_name = '{'c' * 100}', namespace = '{'n' * 253}',"
            f" workload_name = '{'w' * 253}' where namespace is not null"
            for table in ("fct_daily_costs", "fct_charges")
        )
    )
    summary = summarized(world)
    lines = printed(summary, width).splitlines()
    assert max(len(line) for line in lines if str(summary.path) not in line) <= width
    figures = [line.split()[-4:] for line in lines]
    assert ["0.00", "0.00", "4.80", "21.8%"] in figures, lines


def test_a_failed_warning_is_shown_with_evidence_and_what_to_do(world: ClosedWorld) -> None:
    world.sql(
        "update fct_close_controls set is_passed = false, evidence = '7 pod-hours on i-9'"
        " where control = 'pods_run_on_billed_instances' and cost_basis = 'amortized'"
        " and payer_account_id = '111122223333'"
    )
    text = " ".join(printed(summarized(world), 80).split())
    count = len(controls_of(method=2))
    assert f"{count - 1} of {count} passed" in text
    assert "warning pods_run_on_billed_instances" in text
    assert "7 pod-hours on i-9" in text
    assert catalogue()["pods_run_on_billed_instances"].what_to_do in text


def test_an_empty_month_has_a_summary(world: ClosedWorld) -> None:
    pods = 4 * (SPLIT + UNUSED)
    world.sql(
        "delete from fct_split_line_items",
        "delete from fct_daily_costs",
        "delete from fct_charges where origin in ('split', 'unused')",
        "update rpt_month_totals set pods_split_usd = 0, pods_unused_usd = 0,"
        f" bill_usd = bill_usd - {pods}",
    )
    world.set_bill(BILL - pods)
    summary = summarized(world)
    assert summary.namespaces == []
    assert summary.totals.pods == Decimal(0)
    assert "Namespaces by cost" in printed(summary, 80)
