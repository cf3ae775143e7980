"""GPUs bought the ways that large teams buy them: nothing is free, nothing is lost.

The month is closed from CUR 2.0 and from a legacy report, and each figure is held against a
fraction.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from tests.purchases import (
    AUTO,
    BACK,
    BUYER,
    EMPTY_HOST,
    FREE,
    HOSTED,
    HYPER,
    LARGE,
    OCTOBER,
    OS,
    PAID_OS,
    SEEN_A,
    SEEN_B,
    SIZED,
    SMALL,
    TWIN_A,
    TWIN_B,
    TYPE,
    UNSIZED,
    UNUSED,
    USER,
    A,
    B,
    Closed,
    blocks_file,
    fee,
    hour,
    in_block,
    near,
    pod,
)
from tests.worlds import World, write_cur2, write_pods


@pytest.fixture
def closed(closed_purchases: Closed) -> Closed:
    return closed_purchases


def test_every_node_hour_that_another_line_pays_for_carries_its_price(closed):
    """An hour costs nothing only where its fee is on no bill, and that is told."""
    costs = closed.node_hours()
    assert {key for key, usd in costs.items() if not usd} == {(FREE, hour(12))}


def test_a_blocks_fee_is_paid_by_its_hours(closed):
    price = Fraction("3020.736") / 8
    for costs in (closed.node_hours(), closed.node_hours("net_amortized")):
        assert near(costs[A, hour(11)], price / 2)
        for n in (12, 13, 14):
            assert near(costs[A, hour(n)], price)
        assert near(costs[B, hour(12)], price)
    assert closed.node_hours("unblended")[A, hour(12)] == 0
    assert closed.warehouse(
        "select sum(reservation_amortized_usd - amortized_usd), sum(instance_amortized_usd)"
        f" from int_node_hours where instance_id = '{A}'"
    ) == [(Decimal(0), Decimal(0))]


def test_the_fee_as_billed_is_a_remainder_of_its_own(closed):
    fees = Decimal("3020.736") + 100 + Decimal("70.5") + 96 + 96 - 32 + 100 + 300
    assert closed.remainder("capacity_blocks", "unblended") == fees
    assert closed.remainder("capacity_blocks") == Decimal("70.5")


def test_hours_in_which_nothing_ran_are_unused_under_the_blocks_id(closed):
    unused = dict(
        closed.warehouse(
            "select capacity_reservation_id, sum(amortized_usd) from int_bill_charges"
            " where capacity_reservation_status = 'Unused' and node_instance_id is null"
            f" and usage_account_id = '{BUYER}' group by all"
        )
    )
    assert set(unused) == {SIZED, PAID_OS}
    assert near(unused[SIZED], Fraction("3020.736") * 7 / 16, 9)
    assert unused[PAID_OS] == 48
    # The month has an unused reservation, too, that is no block.
    of_blocks = closed.remainder("unused_capacity_reservations") - Decimal("98.32")
    assert of_blocks == sum(unused.values())


def test_who_used_a_block_pays_it_and_not_who_bought_it(closed):
    paid = closed.warehouse(
        f"select distinct usage_account_id from int_node_hours where instance_id = '{A}'"
    )
    assert paid == [(USER,)]


def test_the_law_holds_with_fees_in_the_months_of_their_hours(closed):
    assert closed.bill("amortized") == closed.bill("unblended")
    for basis in ("unblended", "amortized", "net_amortized", "public_on_demand"):
        parts = closed.warehouse(
            "select sum(bill_usd - pods_split_usd - pods_unused_usd - unallocated_usd"
            f" - remainder_usd) from rpt_month_totals where cost_basis = '{basis}'"
        )
        assert parts == [(Decimal(0),)]


def test_a_block_of_unknown_size_is_paid_by_the_hours_that_were_seen(closed):
    costs = closed.node_hours()
    for instance in (SEEN_A, SEEN_B):
        for n in (12, 13, 14):
            assert near(costs[instance, hour(n)], Fraction(100, 6))
    (told,) = closed.controls("capacity_blocks_have_a_known_size")
    assert not told["is_passed"]
    assert UNSIZED in told["evidence"]
    assert told["actual_usd"] == 100


def test_a_fee_without_any_hour_stays_what_was_billed_and_is_named(closed):
    (told,) = closed.controls("capacity_block_fees_are_carried")
    assert not told["is_passed"]
    assert UNUSED in told["evidence"]
    assert told["actual_usd"] == Decimal("70.5")


def test_a_paid_system_by_the_hour_comes_on_top_of_the_block(closed):
    assert closed.node_hours()[OS, hour(12)] == Decimal("50.5")
    assert closed.node_hours("unblended")[OS, hour(12)] == Decimal("2.5")


def test_a_refund_is_netted(closed):
    assert {closed.node_hours()[BACK, hour(n)] for n in (12, 13)} == {Decimal(32)}


def test_two_blocks_of_one_type_and_start_keep_their_own_prices(closed):
    """The legacy report names no block: hours fill the blocks in the order of their ids."""
    costs = closed.node_hours()
    assert {costs[TWIN_A, hour(n)] for n in (12, 13)} == {Decimal(50)}
    assert {costs[TWIN_B, hour(n)] for n in (12, 13)} == {Decimal(150)}


def test_hours_of_a_block_whose_fee_is_on_no_bill_are_named(closed):
    (told,) = closed.controls("capacity_block_hours_carry_a_fee")
    assert not told["is_passed"]
    assert FREE in told["evidence"]


def test_auto_modes_fee_is_part_of_its_node_hour(closed):
    for basis in ("unblended", "amortized", "net_amortized", "public_on_demand"):
        assert closed.node_hours(basis)[AUTO, hour(3)] == Decimal("61.6448")
        # The cluster's own hour.
        assert closed.remainder("eks_fees", basis) == Decimal("0.1")
    assert closed.warehouse(
        "select instance_amortized_usd, management_fee_amortized_usd, usage_hours"
        f" from int_node_hours where instance_id = '{AUTO}'"
    ) == [(Decimal("55.04"), Decimal("6.6048"), Decimal(1))]


def test_a_dedicated_host_is_paid_by_what_runs_on_it_and_an_empty_one_is_unallocated(
    closed,
):
    for basis in ("unblended", "amortized", "public_on_demand"):
        costs = closed.node_hours(basis)
        assert costs[HOSTED, hour(3)] == Decimal("60.544")
        assert costs[EMPTY_HOST, hour(3)] == Decimal("60.544")
    unallocated = pq.ParquetFile(closed.path / "unallocated/2026-10-05.parquet").read()
    reasons = {
        row["reason"]
        for row in unallocated.to_pylist()
        if row["split_line_item_parent_resource_id"] == EMPTY_HOST
    }
    assert reasons == {"host_unused"}
    (told,) = closed.controls("dedicated_hosts_are_known")
    assert not told["is_passed"]


def test_instances_share_a_host_by_their_vcpus(closed):
    costs = closed.node_hours()
    assert near(costs[LARGE, hour(3)], Fraction("5.06") * 2 / 3)
    assert costs[LARGE, hour(3)] + costs[SMALL, hour(3)] == Decimal("5.06")


def test_a_hyperpod_line_that_names_its_instance_is_its_node_hour(closed):
    assert closed.node_hours()[HYPER, hour(20)] == Decimal("63.296")
    assert closed.warehouse(
        f"select instance_type from int_node_hours where instance_id = '{HYPER}'"
    ) == [(TYPE,)]


def test_a_hyperpod_line_of_unknown_nodes_stays_in_the_remainder_and_is_named(closed):
    assert closed.warehouse(
        "select sum(amortized_usd) from fct_bill_remainder"
        " where line_item_product_code = 'AmazonSageMaker'"
    ) == [(Decimal("126.592"),)]
    (told,) = closed.controls("hyperpod_nodes_are_known")
    assert not told["is_passed"]
    assert told["actual_usd"] == Decimal("126.592")


def test_a_block_over_two_months_is_paid_in_both(tmp_path):
    """Bought on 30 September at 22:00 for four hours; each month carries its two."""
    start = dt.datetime(2026, 9, 30, 22)  # noqa: DTZ001 - as above
    first = dt.datetime(2026, 10, 1)  # noqa: DTZ001 - as above
    file = blocks_file(
        tmp_path, (SIZED, TYPE, 1, "2026-09-30T22:00:00Z", "2026-10-01T02:00:00Z")
    )

    def close(month: Month, lines: list[dict[str, Any]], when: dt.datetime) -> Closed:
        folder = tmp_path / month.key
        world = World(lines=lines, pods=[pod(A, when, "a")])
        write_cur2(world, folder / "bill")
        write_pods(world, folder / "pods")
        settings = Settings(
            bill=(str(folder / "bill"),),
            pods=(str(folder / "pods"),),
            home=tmp_path / "home",
            capacity_blocks=file,
        )
        return Closed(close_month(month, settings, lambda _: None), settings)

    bought = [fee(SIZED, TYPE, "400", start), in_block(A, SIZED, TYPE, start)]
    september = close(Month(2026, 9), bought, start)
    totals = (september.totals("amortized"), september.totals("unblended"))
    assert totals == (
        {"bill": 200, "pods": 100, "remainder": 100},
        {"bill": 400, "pods": 0, "remainder": 400},
    )
    october = close(OCTOBER, [in_block(A, SIZED, TYPE, first)], first)
    assert october.totals("amortized") == {"bill": 200, "pods": 100, "remainder": 100}
    assert october.totals("unblended") == {"bill": 0, "pods": 0, "remainder": 0}
