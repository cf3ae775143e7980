"""Spark reads the bill that the local engine reads: every byte, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.bill.engines import engine_of
from orchestration.bill.exports import Delivery, find_deliveries
from orchestration.bill.lines import BillRead, read_bill
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import EngineName, Settings
from tests.bill import writers
from tests.bill.writers import line, scad, tax
from tests.spark_server import SparkServer

Contents = dict[str, bytes]


@pytest.fixture
def find(tmp_path: Path, october: Month) -> Callable[..., list[Delivery]]:
    """Find October's deliveries in some roots."""
    return lambda *roots: find_deliveries(
        [str(root) for root in roots], october, landing=tmp_path / "landing"
    )


@pytest.fixture
def by(lake: Lake, october: Month) -> Callable[..., tuple[BillRead, Contents]]:
    """Read deliveries by an engine; gives what was told, and what is in the lake then."""

    def read_by(engine: EngineName, found: list[Delivery]) -> tuple[BillRead, Contents]:
        chosen = engine_of(Settings(engine=engine))
        read = read_bill(found, october, lake, read_files=chosen)
        return read, contents(lake)

    return read_by


def contents(lake: Lake) -> Contents:
    return {
        path.relative_to(lake.root).as_posix(): path.read_bytes()
        for path in lake.root.rglob("*")
        if path.is_file()
    }


def refusal(by: Callable, engine: str, deliveries: list[Delivery]) -> str:
    with pytest.raises(PodledgerError) as refused:
        by(engine, deliveries)
    return str(refused.value)


def test_every_byte_of_the_lake_is_the_local_engines(
    connected: SparkServer, root: Path, find: Callable, by: Callable, lake: Lake
) -> None:
    """CSV and Parquet, an export without a line, doubles and text, money to round."""
    writers.cur2(
        root / "cur2",
        [line(line_item_unblended_cost="0.30000000000000004"), tax()],
        [],
        [line(line_item_usage_account_id="222222222222"), scad()],
    )
    writers.legacy(
        root / "legacy",
        [line(bill_payer_account_id="999999999999", line_item_unblended_cost="1e-11")],
        [tax(bill_payer_account_id="999999999999")],
    )
    writers.athena(root / "athena", [line(bill_payer_account_id="888888888888")])
    deliveries = find(root / "cur2", root / "legacy", root / "athena")
    local, expected = by("local", deliveries)
    read, found = by("spark", deliveries)
    assert (read.row_count, read.file_count) == (7, 6)
    assert read == local
    assert found == expected
    assert not list((lake.root / ".incoming").iterdir())


def test_what_is_wrong_with_a_file_is_told_as_the_local_engine_tells_it(
    connected: SparkServer, root: Path, find: Callable, by: Callable, lake: Lake
) -> None:
    writers.cur2(root, [line()])
    by("local", find(root))
    before = contents(lake)
    writers.cur2(
        root, [line()], [line(), line(line_item_unblended_cost="nan")], [line(), scad()]
    )
    told = refusal(by, "spark", find(root))
    assert told == refusal(by, "local", find(root))
    assert "row 2, column line_item_unblended_cost" in told
    assert contents(lake) == before


def test_an_account_in_two_exports_is_refused(
    connected: SparkServer, root: Path, find: Callable, by: Callable
) -> None:
    for name in ("one", "two"):
        writers.cur2(root / name, [line()])
    deliveries = find(root / "one", root / "two")
    told = refusal(by, "spark", deliveries)
    assert told == refusal(by, "local", deliveries)
    assert "would count twice" in told


def test_a_bill_that_executors_do_not_see_is_told_as_such(
    connected: SparkServer, root: Path, find: Callable, by: Callable, lake: Lake
) -> None:
    writers.cur2(root, [line()])
    (delivery,) = find(root)
    (file,) = delivery.files
    elsewhere = replace(file, path=root / "only-here.parquet")
    told = refusal(by, "spark", [replace(delivery, files=(elsewhere,))])
    assert "executors do not find" in told
    assert "PODLEDGER_BILL" in told
    assert contents(lake) == {}


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    connected: SparkServer,
    root: Path,
    find: Callable,
    by: Callable,
    lake: Lake,
) -> None:
    writers.cur2(root, *([line(), tax()] * 200 for _ in range(24)))
    deliveries = find(root)
    local, expected = by("local", deliveries)
    pattern = ".incoming/spark-*/bill_lines-*.parquet"
    with connected.one_killed("python worker", lake.root, pattern):
        read, found = by("spark", deliveries)
    assert read == local
    assert found == expected
