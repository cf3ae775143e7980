"""Capacity Blocks as people write them, and what a month gets of them."""

import datetime as dt
from pathlib import Path

import pytest

from orchestration.bill.reservations import (
    BLOCK_COLUMNS,
    HOSTS_FILE,
    RESERVATIONS_FILE,
    read_blocks,
    read_kept,
    read_reserved,
)
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR

HEADER = ",".join(BLOCK_COLUMNS)
CELLS = {
    "capacity_reservation_id": "cr-0a",
    "account_id": "111122223333",
    "region": "us-east-1",
    "instance_type": "p5.48xlarge",
    "instance_count": "4",
    "starts_at": "2026-10-05T11:30:00Z",
    "ends_at": "2026-10-07T11:30:00Z",
}


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    return tmp_path / "capacity_blocks.csv"


def line(**cells: str) -> str:
    return ",".join((CELLS | cells).values())


def written(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_the_example_can_be_read() -> None:
    first, second = read_blocks(PROJECT_DIR / "config" / "capacity_blocks.example.csv")
    assert (first["instance_count"], second["instance_count"]) == (4, 2)
    assert {first["source"], second["source"]} == {"file"}


def test_a_time_of_another_zone_is_kept_in_utc(blocks: Path) -> None:
    (row,) = read_blocks(written(blocks, line(starts_at="2026-10-05T13:30:00+02:00")))
    assert row["starts_at"] == dt.datetime.fromisoformat("2026-10-05T11:30")


def test_a_line_that_repeats_another_word_for_word_counts_once(blocks: Path) -> None:
    assert len(read_blocks(written(blocks, line(), line()))) == 1


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"capacity_reservation_id": "r-0a"}, "line 2, capacity_reservation_id: 'r-0a'"),
        ({"account_id": "1"}, "line 2, account_id: '1' is not an account of 12 digits"),
        ({"region": ""}, "line 2, region: it is empty"),
        ({"instance_type": "p5"}, "line 2, instance_type: 'p5' is not"),
        ({"instance_count": "0"}, "line 2, instance_count: '0' is not a whole number"),
        ({"instance_count": "1.5"}, "line 2, instance_count: '1.5'"),
        ({"starts_at": "5 October"}, "line 2, starts_at: '5 October' is not a time like"),
        ({"starts_at": "2026-10-05T11:30:00"}, "line 2, starts_at: .* with its zone"),
        ({"ends_at": "2026-10-05T11:30:00Z"}, "line 2, ends_at: it ends at"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_column(
    blocks: Path, cells: dict[str, str], message: str
) -> None:
    written(blocks, line(**cells))
    with pytest.raises(PodledgerError, match=f"{blocks}, {message}"):
        read_blocks(blocks)


def test_two_lines_of_one_block_that_say_different_things_are_refused(
    blocks: Path,
) -> None:
    written(blocks, line(), line(instance_count="5"))
    with pytest.raises(PodledgerError, match="line 3: cr-0a is in line 2 too"):
        read_blocks(blocks)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace(",region", ",place"), "line 1: it lacks the column region"),
        (f"{HEADER},colour", "line 1: it has a column 'colour'"),
    ],
)
def test_columns_that_are_missing_or_unknown_are_named(
    blocks: Path, header: str, message: str
) -> None:
    written(blocks, line(), header=header)
    with pytest.raises(PodledgerError, match=message):
        read_blocks(blocks)


def test_a_file_that_is_not_there_is_named(blocks: Path) -> None:
    with pytest.raises(PodledgerError, match=r"capacity_blocks\.csv cannot be read"):
        read_blocks(blocks)


@pytest.mark.parametrize(
    ("month", "is_held"),
    [
        (Month(2026, 9), False),
        (Month(2026, 10), True),
        (Month(2026, 11), True),
        (Month(2026, 12), False),
    ],
)
def test_a_month_has_the_blocks_that_overlap_it(
    blocks: Path, month: Month, is_held: bool
) -> None:
    written(blocks, line(ends_at="2026-12-01T00:00:00Z"))
    reserved = read_reserved(blocks, None, month)
    assert (len(reserved.reservations) == 1) == is_held


def test_without_any_file_nothing_is_held(tmp_path: Path, october: Month) -> None:
    reserved = read_reserved(None, tmp_path, october)
    assert (len(reserved.reservations), len(reserved.hosts)) == (0, 0)


@pytest.mark.parametrize("name", [RESERVATIONS_FILE, HOSTS_FILE])
def test_a_kept_file_with_a_mistake_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("id\n1\n")
    with pytest.raises(PodledgerError, match=f"{name}, line 1"):
        read_kept(tmp_path, name)
