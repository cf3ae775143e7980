"""Two revisions held against each other."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from orchestration.close.publish import publish
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES
from orchestration.ledger.diff import compare
from orchestration.ledger.tables import REMAINDER
from tests.close.conftest import ClosedWorld


@pytest.fixture
def pair(world: ClosedWorld) -> tuple[Path, Path]:
    """A revision, and a copy of it in another place under another number."""
    first = publish(world.settings, world.month, world.progress.append).path
    second = world.settings.home / "elsewhere" / "billing_month=2026-10" / "revision=007"
    shutil.copytree(first, second)
    for path in second.rglob("*"):
        path.chmod(0o755)
    return first, second


def rewrite(path: Path, select: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create table changed as {select} from {parquet(path)}")
        connection.execute(f"copy changed to '{path}' (format parquet)")


def differences(pair: tuple[Path, Path]) -> list[str]:
    return list(compare(*pair, lambda line: None))


def test_a_copy_is_the_same(pair: tuple[Path, Path]) -> None:
    assert differences(pair) == []


def test_order_of_rows_and_compression_carry_no_meaning(pair: tuple[Path, Path]) -> None:
    for path in pair[1].rglob("*.parquet"):
        with duckdb.connect() as connection:
            connection.execute(f"create table t as from {parquet(path)} order by random()")
            connection.execute(f"copy t to '{path}' (format parquet, compression gzip)")
    assert differences(pair) == []


def test_one_unit_of_money_in_one_row_is_found_and_told(pair: tuple[Path, Path]) -> None:
    rewrite(
        pair[1] / "scad" / "2026-10-31.parquet",
        "select * replace (case when line_item_resource_id like '%:111122223333:%chat%'"
        " then split_line_item_split_cost + 0.0000000001 else split_line_item_split_cost"
        " end::decimal(18, 10) as split_line_item_split_cost)",
    )
    found = differences(pair)
    assert found[:2] == [
        "scad/2026-10-31.parquet: 1 rows are only in A, 1 only in B",
        "scad/2026-10-31.parquet: split_line_item_split_cost adds up to 2.4000000004 in A,"
        " 2.4000000005 in B",
    ]
    assert all("chat-1" in line for line in found[2:])
    assert len(found) == 4


def test_money_that_moved_between_two_rows_is_found(pair: tuple[Path, Path]) -> None:
    """The totals of both files are the same; the rows are not."""
    rewrite(
        pair[1] / "remainder.parquet",
        "select * replace ((amortized_usd + case when bill_payer_account_id ="
        " '111122223333' then 1 else -1 end)::decimal(38, 10) as amortized_usd)",
    )
    assert differences(pair)[0] == "remainder.parquet: 2 rows are only in A, 2 only in B"


def test_a_row_that_is_there_twice_is_a_difference(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "remainder.parquet"
    rewrite(path, f"from {parquet(path)} union all select *")
    assert differences(pair)[0] == "remainder.parquet: 0 rows are only in A, 2 only in B"


def test_a_missing_file_and_an_extra_one_are_differences(pair: tuple[Path, Path]) -> None:
    (pair[1] / "scad" / "2026-10-01.parquet").unlink()
    (pair[1] / "note.txt").write_text("hello")
    assert differences(pair) == [
        f"note.txt: is not in {pair[0]}",
        f"scad/2026-10-01.parquet: is not in {pair[1]}",
    ]


def test_columns_are_compared_by_name_type_and_order(pair: tuple[Path, Path]) -> None:
    rewrite(
        pair[1] / "controls.parquet",
        "select * exclude (evidence) replace (is_passed::varchar as is_passed)",
    )
    assert differences(pair) == [
        "controls.parquet: the column is_passed is bool in A and string in B",
        "controls.parquet: the column evidence is string in A and not there in B",
    ]


NEW = tuple(REMAINDER.columns)[8:]
"""Columns that the remainder did not have at first."""


def test_a_revision_from_before_a_table_had_more_columns_is_compared_by_the_old_ones(
    pair: tuple[Path, Path],
) -> None:
    before, path = (folder / "remainder.parquet" for folder in pair)
    before.chmod(0o644)
    rewrite(before, f"select * exclude ({', '.join(NEW)})")
    none = ", ".join(f"0::decimal(38, 10) as {basis}_usd" for basis in BASES)
    rewrite(
        path,
        f"select * replace ({none}, 'search' as namespace) from {parquet(path)}"
        " union all select *",
    )
    told = [f"remainder.parquet: the column {name} is not there in A" for name in NEW]
    found = differences(pair)
    assert [line.partition(" and ")[0] for line in found] == told
    rewrite(
        path, "select * replace ((amortized_usd + 1)::decimal(38, 10) as amortized_usd)"
    )
    found = differences(pair)[len(NEW) :]
    assert found[:2] == [
        "remainder.parquet: 2 rows are only in A, 2 only in B",
        "remainder.parquet: amortized_usd adds up to 15.00 in A, 19.00 in B",
    ]
    assert all("category tax" in line for line in found[2:])


def test_totals_in_the_manifest_are_compared(pair: tuple[Path, Path]) -> None:
    manifest = pair[1] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"22.0000000012"', '"22.0000000013"'))
    assert differences(pair) == [
        f"manifest.json: totals.{basis}.bill is 22.0000000012 in A and 22.0000000013 in B"
        for basis in ("amortized", "net_amortized", "public_on_demand", "unblended")
    ]


def test_a_folder_that_is_no_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PodledgerError, match="not a published revision"):
        list(compare(tmp_path, tmp_path, lambda line: None))


def test_a_file_that_is_damaged_is_named(pair: tuple[Path, Path]) -> None:
    (pair[1] / "remainder.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(
        PodledgerError, match=r"remainder\.parquet of .* cannot be compared"
    ):
        differences(pair)
