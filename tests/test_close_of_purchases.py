"""GPUs bought the ways that large teams buy them: nothing is free, nothing is lost.

One month has every way to buy, each with an instance type of its own. It is closed from
CUR 2.0 and from a legacy report, and each figure is held against a fraction.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.close.publish import Publication
from orchestration.close.runner import close_month
from orchestration.months import Month
from orchestration.settings import Settings
from tests.worlds import World, write_cur2, write_legacy, write_pods

OCTOBER = Month(2026, 10)
PAYER, BUYER, USER = "111111111111", "222222222222", "333333333333"
UNIT = Fraction(1, 10**10)
TYPE = "p5.48xlarge"
DAY = dt.datetime(2026, 10, 5)  # noqa: DTZ001 - exports have no zones, all is UTC


def arn(block: str) -> str:
    return f"arn:aws:ec2:us-west-2:{BUYER}:capacity-reservation/{block}"


def line(resource: str | None, cost: str, hour: dt.datetime, **more: Any) -> dict[str, Any]:
    return {
        "payer": PAYER,
        "account": USER,
        "type": "Usage",
        "start": hour,
        "usage": "1",
        "resource_id": resource,
        "usage_type": f"USW2-BoxUsage:{TYPE}",
        "operation": "RunInstances",
        "product_code": "AmazonEC2",
        "family": "Compute Instance",
        "instance_type": TYPE,
        "unblended": cost,
        "public": cost,
        "carries": True,
    } | more


def fee(
    block: str, instance_type: str, cost: str, start: dt.datetime, kind: str = "Fee"
) -> dict[str, Any]:
    return line(
        arn(block),
        cost,
        start,
        account=BUYER,
        type=kind,
        usage_type=f"USW2-CapacityBlock:{instance_type}",
        instance_type=instance_type,
        family="",
        capacity_arn=arn(block),
        capacity_status="Reserved",
        capacity_type="EC2 Capacity Block for ML",
    )


def in_block(
    instance: str,
    block: str,
    instance_type: str,
    when: dt.datetime,
    cost: str = "0",
    **more: Any,
) -> dict[str, Any]:
    return line(
        instance,
        cost,
        when,
        usage_type=f"USW2-CapacityBlockUsage:{instance_type}",
        instance_type=instance_type,
        capacity_arn=arn(block),
        capacity_status="Used",
        capacity_type="EC2 Capacity Block for ML",
        **more,
    )


def pod(instance: str, hour: dt.datetime, uid: str, gpus: float = 8.0) -> dict[str, Any]:
    return {
        "cluster_name": "prod",
        "node_name": f"node-{instance}",
        "instance_id": instance,
        "usage_hour": hour,
        "namespace": "train",
        "pod_name": f"pod-{uid}",
        "pod_uid": uid,
        "workload_type": None,
        "workload_name": None,
        "deployment": None,
        "bound_seconds": 3600,
        "vcpu_requested": 4.0,
        "memory_requested_gib": 16.0,
        "vcpu_used": None,
        "memory_used_gib": None,
        "accelerators_requested": {"nvidia.com/gpu": gpus},
        "accelerators_used": None,
        "labels": {"team": "research"},
    }


class Closed:
    """A closed month, read as a user would."""

    def __init__(self, published: Publication, settings: Settings) -> None:
        self.path, self.settings = published.path, settings
        self._node_hours: dict[str, dict[tuple[str, dt.datetime], Decimal]] = {}

    def warehouse(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def node_hours(
        self, basis: str = "amortized"
    ) -> dict[tuple[str, dt.datetime], Decimal]:
        """What pods and unallocated rows of each node-hour come to."""
        if basis in self._node_hours:
            return self._node_hours[basis]
        costs: dict[tuple[str, dt.datetime], Decimal] = defaultdict(Decimal)
        for path in sorted((self.settings.home / "lake/pod_costs").glob("*/*.parquet")):
            for row in pq.ParquetFile(path).read().to_pylist():
                costs[row["instance_id"], row["usage_hour"]] += sum(
                    row[f"{resource}_{basis}_{part}_usd"]
                    for resource in ("accelerator", "vcpu", "memory")
                    for part in ("split", "unused")
                )
        for path in sorted((self.path / "unallocated").glob("*.parquet")):
            for row in pq.ParquetFile(path).read().to_pylist():
                key = (
                    row["split_line_item_parent_resource_id"],
                    row["line_item_usage_start_date"],
                )
                costs[key] += row[f"{basis}_usd"]
        self._node_hours[basis] = dict(costs)
        return self._node_hours[basis]

    def remainder(self, category: str, basis: str = "amortized") -> Decimal:
        rows = pq.ParquetFile(self.path / "remainder.parquet").read().to_pylist()
        return sum(
            (row[f"{basis}_usd"] for row in rows if row["category"] == category), Decimal(0)
        )

    def controls(self, name: str) -> list[dict[str, Any]]:
        rows = pq.ParquetFile(self.path / "controls.parquet").read().to_pylist()
        return [row for row in rows if row["control"] == name]

    def totals(self, basis: str) -> dict[str, Decimal]:
        """The law of the published month: bill, node-hours (pods), remainder."""
        totals = json.loads((self.path / "manifest.json").read_text())["totals"][basis]
        usd = {name: Decimal(text) for name, text in totals.items()}
        return {
            "bill": usd["bill"],
            "pods": usd["pods_split"] + usd["pods_unused"] + usd["unallocated"],
            "remainder": usd["remainder"],
        }

    def bill(self, basis: str) -> Decimal:
        ((usd,),) = self.warehouse(
            f"select sum(bill_usd) from rpt_month_totals where cost_basis = '{basis}'"
        )
        return usd


def blocks_file(folder: Path, *blocks: tuple[str, str, int, str, str]) -> Path:
    """Capacity Blocks as a user writes them: id, type, instances, start, end."""
    path = folder / "capacity_blocks.csv"
    rows = [
        f"{block},{BUYER},us-west-2,{instance_type},{count},{start},{end}"
        for block, instance_type, count, start, end in blocks
    ]
    path.write_text(
        "capacity_reservation_id,account_id,region,instance_type,instance_count,"
        "starts_at,ends_at\n" + "\n".join(rows) + "\n"
    )
    return path


def hour(number: int) -> dt.datetime:
    return DAY + dt.timedelta(hours=number)


def near(actual: Decimal, expected: Fraction, units: int = 1) -> bool:
    return abs(Fraction(actual) - expected) <= units * UNIT


def host_line(host: str, cost: str, family: str) -> dict[str, Any]:
    return line(
        f"arn:aws:ec2:us-west-2:{USER}:dedicated-host/{host}",
        cost,
        hour(3),
        usage_type=f"USW2-HostUsage:{family}",
        family="Dedicated Host",
        instance_type=None,
    )


def on_host(instance: str, instance_type: str) -> dict[str, Any]:
    return line(
        instance,
        "0",
        hour(3),
        usage_type=f"USW2-HostBoxUsage:{instance_type}",
        instance_type=instance_type,
    )


def hyperpod(resource: str, instance_type: str, cost: str, usage: str) -> dict[str, Any]:
    return line(
        resource,
        cost,
        hour(20),
        product_code="AmazonSageMaker",
        usage_type=f"USW2-Cluster:ml.{instance_type}",
        operation="RunInstance",
        family="ML Instance",
        instance_type=f"ml.{instance_type}",
        usage=usage,
    )


SIZED, UNSIZED, UNUSED, PAID_OS, REFUNDED, TWIN, OTHER_TWIN, FEELESS = (
    f"cr-{number:017x}" for number in range(8)
)
(
    A,
    B,
    SEEN_A,
    SEEN_B,
    OS,
    BACK,
    TWIN_A,
    TWIN_B,
    FREE,
    AUTO,
    HOSTED,
    LARGE,
    SMALL,
    HYPER,
) = (f"i-{number:017x}" for number in range(14))
FULL_HOST, EMPTY_HOST, SHARED_HOST = (f"h-{number:017x}" for number in range(3))
CLUSTER = f"arn:aws:sagemaker:us-west-2:{USER}:cluster/abc123def456"
NOON = ("2026-10-05T12:00:00Z", "2026-10-05T14:00:00Z")

LINES = [
    # Two instances for four hours from 11:30, of which one runs three and a half.
    fee(SIZED, TYPE, "3020.736", hour(11)),
    in_block(A, SIZED, TYPE, hour(11), usage="0.5"),
    *(in_block(A, SIZED, TYPE, hour(n)) for n in (12, 13, 14)),
    in_block(B, SIZED, TYPE, hour(12)),
    fee(UNSIZED, "p4d.24xlarge", "100", hour(11)),
    *(
        in_block(i, UNSIZED, "p4d.24xlarge", hour(n))
        for i in (SEEN_A, SEEN_B)
        for n in (12, 13, 14)
    ),
    fee(UNUSED, "trn1.32xlarge", "70.5", hour(11)),
    fee(PAID_OS, "p5en.48xlarge", "96", hour(12)),
    in_block(OS, PAID_OS, "p5en.48xlarge", hour(12), cost="2.5"),
    fee(REFUNDED, "p4de.24xlarge", "96", hour(12)),
    fee(REFUNDED, "p4de.24xlarge", "-32", hour(13), kind="Refund"),
    *(in_block(BACK, REFUNDED, "p4de.24xlarge", hour(n)) for n in (12, 13)),
    fee(TWIN, "g6e.48xlarge", "100", hour(12)),
    fee(OTHER_TWIN, "g6e.48xlarge", "300", hour(12)),
    *(in_block(TWIN_A, TWIN, "g6e.48xlarge", hour(n)) for n in (12, 13)),
    *(in_block(TWIN_B, OTHER_TWIN, "g6e.48xlarge", hour(n)) for n in (12, 13)),
    in_block(FREE, FEELESS, "trn1.2xlarge", hour(12)),
    line(
        AUTO,
        "55.04",
        hour(3),
        usage_type="USW2-BoxUsage:g5.48xlarge",
        instance_type="g5.48xlarge",
    ),
    line(
        AUTO,
        "6.6048",
        hour(3),
        product_code="AmazonEKS",
        usage_type="USW2-EKS-Auto:g5.48xlarge",
        operation="EKSAutoUsage",
        family="",
        instance_type="g5.48xlarge",
    ),
    host_line(FULL_HOST, "60.544", "p5"),
    host_line(EMPTY_HOST, "60.544", "p5"),
    on_host(HOSTED, TYPE),
    host_line(SHARED_HOST, "5.06", "m5"),
    on_host(LARGE, "m5.4xlarge"),
    on_host(SMALL, "m5.2xlarge"),
    hyperpod(f"{CLUSTER}/{HYPER}", TYPE, "63.296", "1"),
    hyperpod(CLUSTER, "p4d.24xlarge", "126.592", "2"),
]
PODS = [
    *(pod(A, hour(n), f"a{n}") for n in (11, 12, 13, 14)),
    pod(B, hour(12), "b"),
    pod(SEEN_A, hour(12), "seen"),
    pod(AUTO, hour(3), "auto"),
    pod(HOSTED, hour(3), "hosted"),
    pod(LARGE, hour(3), "large", 0.0),
    pod(HYPER, hour(20), "hyper"),
]


@pytest.fixture(scope="module", params=["cur2", "legacy"])
def closed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Closed:
    """The month of purchases, closed from each kind of export in turn."""
    folder = tmp_path_factory.mktemp("purchases")
    world = World(lines=LINES, pods=PODS)
    (write_cur2 if request.param == "cur2" else write_legacy)(world, folder / "bill")
    write_pods(world, folder / "pods")
    settings = Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        capacity_blocks=blocks_file(
            folder,
            (SIZED, TYPE, 2, "2026-10-05T11:30:00Z", "2026-10-05T15:30:00Z"),
            (PAID_OS, "p5en.48xlarge", 1, *NOON),
            (REFUNDED, "p4de.24xlarge", 1, *NOON),
            (TWIN, "g6e.48xlarge", 1, *NOON),
            (OTHER_TWIN, "g6e.48xlarge", 1, *NOON),
        ),
        _env_file=None,
    )
    return Closed(close_month(OCTOBER, settings, lambda _: None), settings)


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
    assert closed.remainder("unused_capacity_reservations") == sum(unused.values())


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
        assert closed.remainder("eks_fees", basis) == 0
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
    assert closed.remainder("other_services") == Decimal("126.592")
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
