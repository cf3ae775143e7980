"""What the controls do as asset checks: block, warn, and say why."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.close.catalogue import catalogue
from orchestration.close.checks import CLOSE_CONTROLS, close_checks
from orchestration.engines.partitions import billing_months
from tests.close.conftest import ClosedWorld


@dg.asset(key=CLOSE_CONTROLS, partitions_def=billing_months)
def controls_model() -> None:
    """Stands where dbt builds the model; its rows are in the world's warehouse."""


@dg.asset(deps=[CLOSE_CONTROLS], partitions_def=billing_months)
def after_the_controls() -> None:
    """Anything that must not run for a month that failed."""


def run(world: ClosedWorld) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [controls_model, after_the_controls, close_checks],
        partition_key=world.month.key,
        resources={"settings": world.settings},
        raise_on_error=False,
    )


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def test_every_control_is_one_check_and_all_pass_in_a_good_month(
    world: ClosedWorld,
) -> None:
    result = run(world)
    assert result.success
    assert set(evaluations(result)) == set(catalogue())
    assert all(e.passed for e in evaluations(result).values())
    assert result.asset_materializations_for_node("after_the_controls")


@pytest.mark.parametrize(
    "control", [r.name for r in catalogue().values() if r.severity == "blocking"]
)
def test_a_failed_blocking_control_keeps_what_comes_after_from_running(
    world: ClosedWorld, control: str
) -> None:
    world.sql(
        f"update fct_close_controls set is_passed = false where control = '{control}'"
    )
    result = run(world)
    assert not result.success
    assert not result.asset_materializations_for_node("after_the_controls")
    failed = [name for name, e in evaluations(result).items() if not e.passed]
    assert failed == [control]


def test_a_failed_warning_is_shown_and_lets_the_month_through(world: ClosedWorld) -> None:
    world.sql(
        "update fct_close_controls set is_passed = false, actual_usd = expected_usd - 3,"
        " residual_usd = 3, evidence = 'cluster ml has no pods on 2 days'"
        " where control = 'cluster_nodes_have_an_inventory' and cost_basis = 'amortized'"
        " and payer_account_id = '111122223333'"
    )
    result = run(world)
    assert result.success
    shown = evaluations(result)["cluster_nodes_have_an_inventory"]
    assert not shown.passed
    assert shown.severity is dg.AssetCheckSeverity.WARN
    assert shown.metadata["residual_usd"].value == "3.00"
    assert shown.metadata["evidence"].value == "cluster ml has no pods on 2 days"
    assert "PODLEDGER_PODS" in str(shown.metadata["what_to_do"].value)
    assert "payer 111122223333, amortized" in (shown.description or "")


def test_a_control_that_counts_no_money_shows_none(world: ClosedWorld) -> None:
    world.sql(
        "update fct_close_controls set expected_usd = 0, actual_usd = 0, residual_usd = 0,"
        " evidence = '3 files' where control = 'deliveries_were_read_whole'"
    )
    told = evaluations(run(world))
    counted = told["deliveries_were_read_whole"].metadata
    assert set(counted) == {"evidence", "controls", "what_to_do"}
    assert set(counted["controls"].records[0].data) == {"payer", "basis", "is_passed"}
    billed = told["every_billed_dollar_lands_once"].metadata
    assert billed["expected_usd"].value == billed["actual_usd"].value
    assert "expected_usd" in billed["controls"].records[0].data


def test_a_control_without_a_row_fails_its_check(world: ClosedWorld) -> None:
    world.sql("delete from fct_close_controls where control = 'every_node_hour_adds_up'")
    result = run(world)
    assert not result.success
    assert not evaluations(result)["every_node_hour_adds_up"].passed
    assert not result.asset_materializations_for_node("after_the_controls")


def test_evaluations_are_kept_by_billing_month(world: ClosedWorld) -> None:
    assert {e.partition for e in evaluations(run(world)).values()} == {world.month.key}
