"""What no node carries, by day and by whose it is: published as tags and ARNs tell."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.purchases import (
    ALB,
    BUYER,
    DAY,
    NLB,
    PAID_OS,
    RESERVED,
    SIZED,
    TYPE,
    USER,
    Closed,
)


def rows(closed: Closed, **wanted: object) -> list[dict[str, Any]]:
    found = pq.ParquetFile(closed.path / "remainder.parquet").read().to_pylist()
    return [row for row in found if all(row[key] == wanted[key] for key in wanted)]


@pytest.fixture
def closed(closed_purchases: Closed) -> Closed:
    return closed_purchases


@pytest.mark.parametrize(
    ("resource", "usd", "namespace", "hint"),
    [
        ("vol-claimed", "2", "serve", "pvc/weights"),
        (ALB, "0.5", "shop", "ingress/front"),
        (NLB, "0.375", "shop", "service/api"),
    ],
    ids=["volume", "ALB", "NLB"],
)
def test_a_volume_or_load_balancer_tells_who_has_it(
    closed: Closed, resource: str, usd: str, namespace: str, hint: str
) -> None:
    (row,) = rows(closed, line_item_resource_id=resource)
    assert {name: row[name] for name in ("cluster_name", "namespace", "owner_hint")} == {
        # The volume's tag has it as a key, in which AWS writes underscores.
        "cluster_name": "prod-eu",
        "namespace": namespace,
        "owner_hint": hint,
    }
    assert row["usage_date"] == DAY.date()
    assert row["line_item_usage_account_id"] == USER
    for basis in ("unblended", "amortized", "net_amortized", "public_on_demand"):
        assert row[f"{basis}_usd"] == Decimal(usd)


def test_a_volume_without_such_tags_has_what_its_own_tag_says(closed: Closed) -> None:
    (row,) = rows(closed, line_item_resource_id="vol-bare")
    assert (row["cluster_name"], row["namespace"]) == (None, None)
    assert row["owner_hint"] == "team/billing"


def test_an_eks_fee_keeps_its_cluster(closed: Closed) -> None:
    (row,) = rows(closed, category="eks_fees", unblended_usd=Decimal("0.1"))
    assert (row["cluster_name"], row["line_item_resource_id"]) == ("prod-eu", None)


def test_traffic_keeps_its_cluster_and_no_id(closed: Closed) -> None:
    (row,) = rows(closed, unblended_usd=Decimal("0.125"))
    assert (row["cluster_name"], row["line_item_resource_id"]) == ("prod-eu", None)


def test_an_unused_reservation_says_whom_to_ask(closed: Closed) -> None:
    (row,) = rows(closed, line_item_resource_id=RESERVED)
    assert row["category"] == "unused_capacity_reservations"
    assert (row["instance_type"], row["owner_hint"]) == (TYPE, "team/vision")
    assert row["line_item_usage_account_id"] == USER
    assert row["amortized_usd"] == Decimal("98.32")


def test_idle_hours_of_a_block_say_whom_to_ask_by_the_reservations_own_tag(
    closed: Closed,
) -> None:
    unused = "unused_capacity_reservations"
    (row,) = rows(closed, line_item_resource_id=SIZED, category=unused)
    assert (row["instance_type"], row["owner_hint"]) == (TYPE, "team/llm")
    assert row["line_item_usage_account_id"] == BUYER
    (other,) = rows(closed, line_item_resource_id=PAID_OS, category=unused)
    assert other["owner_hint"] is None


def test_the_rows_of_a_payer_are_told_apart(closed: Closed) -> None:
    found = rows(closed)
    keys = [
        tuple(value for name, value in row.items() if not name.endswith("_usd"))
        for row in found
    ]
    assert len(set(keys)) == len(keys)
    assert {type(row["usage_date"]) for row in found} == {dt.date}
