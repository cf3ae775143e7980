"""However an hour of GPUs was bought, its price stands on its node and its pods.

Every hour of a world's nodes is bought in a way that dice choose, and the world is closed
once from CUR 2.0 and once from a legacy report. What each hour must cost is written from
the price that was paid, before any line of a bill is.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.lake.settings import Settings
from orchestration.ledger.diff import compare
from tests.purchases import (
    BUYER,
    OCTOBER,
    USER,
    Closed,
    arn,
    blocks_file,
    fee,
    hour,
    in_block,
    line,
    near,
    pod,
)
from tests.worlds import World, write_cur2, write_legacy, write_pods

HOURS = 48
NODES = {
    # Of one instance type each: a legacy report names no block. GPUs, and whether the
    # size of the node's block is known.
    "p5.48xlarge": (8, True),
    "p4d.24xlarge": (8, False),
    "g5.48xlarge": (8, True),
}
BASES = ("unblended", "amortized", "net_amortized", "public_on_demand")
FREE = Decimal(0)
Hour = tuple[str, dt.datetime]


@dataclass
class Purchases:
    """A world, and what each of its node-hours and all of its bill must come to."""

    world: World = field(default_factory=World)
    prices: dict[Hour, dict[str, Fraction]] = field(
        default_factory=lambda: defaultdict(lambda: dict.fromkeys(BASES, Fraction(0)))
    )
    bill: dict[str, Fraction] = field(
        default_factory=lambda: dict.fromkeys(BASES, Fraction(0))
    )
    ways: dict[Hour, list[str]] = field(default_factory=lambda: defaultdict(list))
    in_blocks: dict[str, list[dt.datetime]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(
        self,
        bought: dict[str, Any],
        amortized: Decimal | None = None,
        of: str | None = None,
    ) -> None:
        """Put a line on the bill, and its cost on the node-hour that it is the price of."""
        self.world.lines.append(bought)
        unblended = Decimal(bought["unblended"])
        effective = unblended if amortized is None else amortized
        costs = {
            "unblended": unblended,
            "amortized": effective,
            "net_amortized": effective,
            "public_on_demand": Decimal(bought["public"]),
        }
        for basis, usd in costs.items():
            self.bill[basis] += Fraction(usd)
            if of is not None:
                self.prices[of, bought["start"]][basis] += Fraction(usd)


@dataclass(frozen=True)
class Slot:
    """An hour of a node, or a part of it, to be bought.

    Attributes:
        instance: Its id.
        instance_type: Its type.
        when: The hour.
        part: Of the hour.
        price: On-Demand, of the part.
        paid: What commitments, Spot and hosts cost, of the part.
    """

    instance: str
    instance_type: str
    when: dt.datetime
    part: Decimal
    price: Decimal
    paid: Decimal

    def line(self, **more: Any) -> dict[str, Any]:
        usual = {
            "usage": str(self.part),
            "usage_type": f"USW2-BoxUsage:{self.instance_type}",
            "instance_type": self.instance_type,
        }
        return line(self.instance, str(self.price), self.when, **(usual | more))


def on_demand(bought: Purchases, slot: Slot) -> None:
    bought.add(slot.line(), of=slot.instance)


def spot(bought: Purchases, slot: Slot) -> None:
    """Spot lines come without product attributes."""
    one = slot.line(
        unblended=str(slot.paid), usage_type=f"USW2-SpotUsage:{slot.instance_type}"
    )
    bought.add(one | {"family": "", "instance_type": None}, of=slot.instance)


def reserved_instance(bought: Purchases, slot: Slot) -> None:
    one = slot.line(type="DiscountedUsage", unblended="0", effective=str(slot.paid))
    bought.add(one, slot.paid, of=slot.instance)
    unused = slot.price - slot.paid
    bought.add(
        line(
            None,
            str(slot.price),
            slot.when,
            type="RIFee",
            public="0",
            usage_type=f"USW2-HeavyUsage:{slot.instance_type}",
            unused_upfront="0",
            unused_recurring=str(unused),
        ),
        unused,
    )


def savings_plan(bought: Purchases, slot: Slot) -> None:
    one = slot.line(type="SavingsPlanCoveredUsage", effective=str(slot.paid))
    bought.add(one, slot.paid, of=slot.instance)
    negation = one | {
        "type": "SavingsPlanNegation",
        "unblended": f"-{slot.price}",
        "public": "0",
        "resource_id": None,
    }
    bought.add(negation, FREE)
    bought.add(
        line(
            None,
            str(slot.price),
            slot.when,
            type="SavingsPlanRecurringFee",
            public="0",
            product_code="ComputeSavingsPlans",
            usage_type="ComputeSP:1yrNoUpfront",
            operation="",
            family="",
            commitment=str(slot.price),
            used_commitment=str(slot.paid),
        ),
        slot.price - slot.paid,
    )


def capacity_reservation(bought: Purchases, slot: Slot) -> None:
    """Of two instances that are held, one runs and one is empty."""
    reservation = f"cr-0fd{slot.instance[-14:]}"
    held = {
        "capacity_arn": arn(reservation),
        "capacity_type": "On Demand Capacity Reservation",
    }
    bought.add(slot.line(capacity_status="Used", **held), of=slot.instance)
    empty = slot.line(
        usage_type=f"USW2-UnusedBox:{slot.instance_type}",
        capacity_status="Unused",
        **held,
    )
    bought.add(empty | {"resource_id": arn(reservation), "account": BUYER})


def capacity_block(bought: Purchases, slot: Slot) -> None:
    """The fee is one line of the month: see ``make_purchases``."""
    bought.in_blocks[slot.instance].append(slot.when)
    bought.add(
        in_block(slot.instance, block_of(slot.instance), slot.instance_type, slot.when),
        of=slot.instance,
    )


def dedicated_host(bought: Purchases, slot: Slot) -> None:
    one = slot.line(
        unblended="0", public="0", usage_type=f"USW2-HostBoxUsage:{slot.instance_type}"
    )
    bought.add(one, of=slot.instance)
    host = f"arn:aws:ec2:us-west-2:{USER}:dedicated-host/h-{slot.instance[2:]}"
    whole = slot.line(
        unblended=str(slot.paid),
        public=str(slot.paid),
        usage_type=f"USW2-HostUsage:{slot.instance_type.partition('.')[0]}",
        family="Dedicated Host",
    )
    bought.add(whole | {"resource_id": host, "instance_type": None}, of=slot.instance)


def auto_mode(bought: Purchases, slot: Slot) -> None:
    bought.add(slot.line(), of=slot.instance)
    management = slot.line(
        unblended=str(slot.paid),
        public=str(slot.paid),
        product_code="AmazonEKS",
        usage_type=f"USW2-EKS-Auto:{slot.instance_type}",
        operation="EKSAutoUsage",
        family="",
    )
    bought.add(management, of=slot.instance)


MIXED: list[Callable[[Purchases, Slot], None]] = [
    on_demand,
    reserved_instance,
    savings_plan,
    capacity_reservation,
    auto_mode,
]
"""What may be part of an hour."""

WHOLE = [*MIXED, spot, capacity_block, dedicated_host]


def block_of(instance: str) -> str:
    return f"cr-0cb{instance[-14:]}"


def make_purchases(seed: int) -> Purchases:
    """Buy every hour of every node: the same seed, the same month."""
    dice = random.Random(seed)
    bought = Purchases()
    for number, (instance_type, (gpus, is_known)) in enumerate(NODES.items()):
        instance = f"i-{number + 1:017x}"
        for n in range(HOURS):
            is_mixed = dice.random() < 0.2
            part = Decimal("0.5") if is_mixed else Decimal(1)
            for way in dice.sample(MIXED, 2) if is_mixed else [dice.choice(WHOLE)]:
                price = Decimal(dice.randrange(10**11, 10**12)) / 10**10
                paid = price * Decimal(dice.randrange(1, 100)) / 100
                paid = paid.quantize(Decimal("1e-10"))
                way(bought, Slot(instance, instance_type, hour(n), part, price, paid))
                bought.ways[instance, hour(n)].append(way.__name__)
            for uid in range(dice.randrange(1, 4)):
                bought.world.pods.append(
                    pod(instance, hour(n), f"{number}-{n}-{uid}", dice.randrange(1, gpus))
                )
        _pay_block(bought, dice, instance, instance_type, is_known)
    return bought


def _pay_block(
    bought: Purchases,
    dice: random.Random,
    instance: str,
    instance_type: str,
    is_known: bool,
) -> None:
    """One fee for all hours of the block; of a size that is known, empty ones too."""
    cents = dice.randrange(10**5, 10**7)
    paid = fee(block_of(instance), instance_type, str(Decimal(cents) / 100), hour(0))
    bought.add(paid | {"public": "0"}, Decimal(cents) / 100)
    used = bought.in_blocks[instance]
    for when in used:
        price = Fraction(cents, 100) / (HOURS if is_known else len(used))
        bought.prices[instance, when]["amortized"] += price
        bought.prices[instance, when]["net_amortized"] += price


def close(bought: Purchases, layout: str, folder: Path) -> Closed:
    (write_cur2 if layout == "cur2" else write_legacy)(bought.world, folder / "bill")
    write_pods(bought.world, folder / "pods")
    settings = Settings(
        bill=(str(folder / "bill"),),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        capacity_blocks=blocks_file(
            folder,
            *(
                (block_of(f"i-{n + 1:017x}"), type_, 1, f"{hour(0)}Z", f"{hour(HOURS)}Z")
                for n, (type_, (_, is_known)) in enumerate(NODES.items())
                if is_known
            ),
        ),
        _env_file=None,
    )
    return Closed(close_month(OCTOBER, settings, lambda _: None), settings)


def pods_of(closed: Closed, basis: str) -> dict[Hour, list[Decimal]]:
    """What each pod of a node-hour costs."""
    costs: dict[Hour, list[Decimal]] = defaultdict(list)
    for path in sorted((closed.settings.home / "lake/pod_costs").glob("*/*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            costs[row["instance_id"], row["usage_hour"]].append(
                sum(
                    row[f"{resource}_{basis}_{part}_usd"]
                    for resource in ("accelerator", "vcpu", "memory")
                    for part in ("split", "unused")
                )
            )
    return costs


def is_exact(bought: Purchases, key: Hour, basis: str) -> bool:
    """Whether the hour's price is a whole number of units: only a block's part is not."""
    return "capacity_block" not in bought.ways[key] or basis in (
        "unblended",
        "public_on_demand",
    )


LAYOUTS = ("cur2", "legacy")


def check(bought: Purchases, folder: Path) -> None:
    closed = {layout: close(bought, layout, folder / layout) for layout in LAYOUTS}
    for layout, month in closed.items():
        for basis in BASES:
            nodes, pods = month.node_hours(basis), pods_of(month, basis)
            assert nodes.keys() == bought.prices.keys()
            for key, prices in bought.prices.items():
                told = (layout, basis, *key, bought.ways[key])
                expected = prices[basis]
                if is_exact(bought, key, basis):
                    assert Fraction(nodes[key]) == expected, told
                else:
                    assert near(nodes[key], expected), told
                # Every pod claims some of every resource, so nothing is unallocated.
                assert sum(pods[key]) == nodes[key], told
                if expected:
                    assert min(pods[key]) > 0, told
            assert Fraction(month.totals(basis)["bill"]) == bought.bill[basis]
            totals = month.totals(basis)
            assert totals["bill"] == totals["pods"] + totals["remainder"]
            assert totals["pods"] == sum(nodes.values())
    # Whoever pays, an hour of an instance is never free.
    for month in closed.values():
        for basis in ("amortized", "net_amortized"):
            assert all(min(costs) > 0 for costs in pods_of(month, basis).values())
    # Only the control that counts the files of a delivery tells one export from the other.
    cur2, legacy = (closed[layout].path for layout in LAYOUTS)
    differences = list(compare(cur2, legacy, lambda _: None))
    assert [told for told in differences if "deliveries_were_read_whole" not in told] in (
        [],
        ["controls.parquet: 1 rows are only in A, 1 only in B"],
    )


def test_every_way_to_buy_occurs():
    """In the month that is always closed, and alone as well as in parts of an hour."""
    ways = make_purchases(0).ways.values()
    assert {way for (way,) in (found for found in ways if len(found) == 1)} == {
        way.__name__ for way in WHOLE
    }
    assert {way for found in ways if len(found) == 2 for way in found} == {
        way.__name__ for way in MIXED
    }


def test_an_hours_price_reaches_its_pods_however_it_was_bought(tmp_path):
    check(make_purchases(0), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_an_hours_price_reaches_its_pods_in_other_months(tmp_path, seed):
    check(make_purchases(seed), tmp_path)
