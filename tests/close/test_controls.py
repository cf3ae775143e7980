"""What lets a month through, and what a refusal tells."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestration.close.catalogue import catalogue, controls_of
from orchestration.close.controls import Control, read_controls, require_all_passed
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from tests.close.conftest import ClosedWorld

MONTH = Month(2026, 10)


def passed(name: str) -> Control:
    return Control(
        control=name,
        payer_account_id="111122223333",
        cost_basis="amortized",
        expected_usd=Decimal("100.0000000001"),
        actual_usd=Decimal("100.0000000001"),
        residual_usd=Decimal(0),
        is_passed=True,
        severity=catalogue()[name].severity,
        evidence="3 node-hours",
    )


def good_month(method: int = 2) -> list[Control]:
    return [passed(rule.name) for rule in controls_of(method)]


def with_failed(name: str) -> list[Control]:
    failed = replace(
        passed(name),
        actual_usd=Decimal("99.9999999999"),
        residual_usd=Decimal("0.0000000002"),
        is_passed=False,
        evidence="worst: i-1 at 2026-10-03 07:00",
    )
    return [failed if row.control == name else row for row in good_month()]


def test_a_month_whose_controls_all_passed_goes_through() -> None:
    require_all_passed(good_month(), MONTH, method=2)


@pytest.mark.parametrize(
    "name", [rule.name for rule in catalogue().values() if rule.severity == "blocking"]
)
def test_a_refusal_names_control_payer_basis_amounts_evidence_and_who_does_what(
    name: str,
) -> None:
    with pytest.raises(PodledgerError) as refusal:
        require_all_passed(with_failed(name), MONTH, method=2)
    told = str(refusal.value)
    for part in (
        "2026-10 is not published",
        name,
        "payer 111122223333, amortized",
        "expected 100.0000000001 USD",
        "actual 99.9999999999 USD",
        "residual 0.0000000002 USD",
        "i-1 at 2026-10-03 07:00",
        catalogue()[name].who,
        catalogue()[name].what_to_do,
    ):
        assert part in told
    assert "\n" not in told


def test_every_failing_blocking_control_is_named_and_no_passing_one() -> None:
    rows = [
        replace(row, is_passed=row.control not in names)
        for names in [{"every_node_hour_adds_up", "deliveries_were_read_whole"}]
        for row in good_month()
    ]
    with pytest.raises(PodledgerError) as refusal:
        require_all_passed(rows, MONTH, method=2)
    told = str(refusal.value)
    assert "every_node_hour_adds_up" in told
    assert "deliveries_were_read_whole" in told
    assert "no_pod_hour_is_counted_twice" not in told


@pytest.mark.parametrize(
    "name", [r.name for r in controls_of(2) if r.severity == "warning"]
)
def test_a_failed_warning_does_not_hold_the_month_back(name: str) -> None:
    require_all_passed(with_failed(name), MONTH, method=2)


def test_a_month_without_rows_was_not_checked() -> None:
    with pytest.raises(PodledgerError, match="nothing was checked"):
        require_all_passed([], MONTH)


@pytest.mark.parametrize("name", [rule.name for rule in controls_of(2)])
def test_a_control_that_did_not_run_has_not_passed(name: str) -> None:
    rows = [row for row in good_month() if row.control != name]
    with pytest.raises(PodledgerError, match=f"no row of {name},"):
        require_all_passed(rows, MONTH, method=2)


def test_the_control_of_version_3_is_asked_for_by_version_3_alone() -> None:
    require_all_passed(good_month(method=2), MONTH, method=2)
    with pytest.raises(PodledgerError, match="no row of market_weights_cover_every_type"):
        require_all_passed(good_month(method=2), MONTH, method=3)
    require_all_passed(good_month(method=3), MONTH, method=3)


def test_a_control_may_not_take_itself_for_less_severe_than_the_catalogue_says() -> None:
    rows = [
        replace(row, severity="warning", is_passed=False)
        if row.control == "every_billed_dollar_lands_once"
        else row
        for row in good_month()
    ]
    with pytest.raises(PodledgerError, match="which is blocking by the catalogue"):
        require_all_passed(rows, MONTH)


def test_a_control_that_nobody_described_is_refused() -> None:
    unknown = replace(passed("every_node_hour_adds_up"), control="something_new")
    with pytest.raises(
        PodledgerError, match="something_new, which is not in the catalogue"
    ):
        require_all_passed([*good_month(), unknown], MONTH)


def test_a_control_whose_answer_is_null_has_not_passed(world: ClosedWorld) -> None:
    world.sql(
        "update fct_close_controls set is_passed = null"
        " where control = 'marts_add_up_to_pod_costs' and cost_basis = 'unblended'"
    )
    with pytest.raises(PodledgerError, match="marts_add_up_to_pod_costs"):
        require_all_passed(
            read_controls(world.settings.warehouse, world.month), world.month
        )


def test_rows_of_other_months_are_not_read(world: ClosedWorld) -> None:
    assert read_controls(world.settings.warehouse, world.month.next) == []
    assert (
        len(read_controls(world.settings.warehouse, world.month))
        == len(controls_of(method=2)) * 2 * 4
    )


def test_without_a_warehouse_the_answer_is_to_close(world: ClosedWorld) -> None:
    world.settings.warehouse.unlink()
    with pytest.raises(PodledgerError, match="podledger close"):
        read_controls(world.settings.warehouse, world.month)


def test_a_warehouse_without_controls_says_so(world: ClosedWorld) -> None:
    world.sql("drop table fct_close_controls")
    with pytest.raises(PodledgerError, match=r"has no fct_close_controls.*podledger close"):
        read_controls(world.settings.warehouse, world.month)
