"""The month in the lake: every row, exact, the same bytes each time, or as it was."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.bill.engines import engine_of
from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASIS_COLUMNS, BILL_FILES, BILL_LINES
from orchestration.lake.settings import Settings
from tests.bill import writers
from tests.bill.writers import line, scad, tax


def test_the_lake_has_the_columns_that_the_rooms_agreed_on(
    root: Path, read: Callable, lake: Lake, october: Month
) -> None:
    writers.legacy(root, [line()])
    read(root)
    (path,) = lake.files("raw/bill_lines", october)
    assert pq.ParquetFile(path).schema_arrow.equals(BILL_LINES)
    (path,) = lake.files("raw/bill_files", october)
    assert pq.ParquetFile(path).schema_arrow.equals(BILL_FILES)


def test_sql_finds_attributes_and_tags_in_the_maps(
    root: Path, read: Callable, lake: Lake, october: Month
) -> None:
    writers.cur2(root, [line(), tax()])
    read(root)
    found = duckdb.sql(
        "select product['vcpu'], resource_tags['user_team'], line_item_unblended_cost"
        f" from '{lake.files('raw/bill_lines', october)[0]}'"
    ).fetchall()
    assert found == [("4", "search", Decimal("1.006")), (None, None, Decimal("0.1"))]


def test_every_file_is_recorded_with_its_digest_and_sums(
    root: Path, read: Callable, rows: Callable
) -> None:
    paths = writers.legacy(
        root,
        [line(line_item_unblended_cost="1.00000000015"), tax()],
        [scad(), tax(line_item_unblended_cost="-0.00000000005")],
        assembly="7c",
    )
    result = read(root)
    first, second = rows("raw/bill_files")
    assert first == {
        "root": str(root),
        "bill_export": "cur",
        "layout": "legacy-create-new",
        "delivery_id": "7c",
        "source_file": f"pre/cur/{writers.PERIOD}/7c/cur-1.csv.gz",
        "size_bytes": paths[0].stat().st_size,
        "sha256": hashlib.sha256(paths[0].read_bytes()).hexdigest(),
        "row_count": 2,
        "unblended_usd": Decimal("1.1000000002"),
        "money_usd": Decimal("3.1120000002"),
        "rounded_values": 1,
        "rounding_moved_usd": Decimal("-0.00000000005"),
        "payer_account_ids": "012345678901",
        "absent_columns": ",".join(
            sorted(set(BASIS_COLUMNS) - {"pricing_public_on_demand_cost"})
        ),
    }
    assert second["money_usd"] == Decimal("2.2634999999")
    assert second["rounded_values"] == 1
    assert second["rounding_moved_usd"] == Decimal("0.00000000005")
    assert result.unblended_usd == first["unblended_usd"] + second["unblended_usd"]
    assert {row["source_file"] for row in rows()} == {
        first["source_file"],
        second["source_file"],
    }


def test_text_and_doubles_give_the_same_money(
    root: Path, read: Callable, rows: Callable
) -> None:
    costs = ["0.1", "1.5E-9", "0.30000000000000004", "1e-11", "123456.7890123456", "-7e-05"]
    world = [
        line(line_item_unblended_cost=cost, line_item_usage_amount="2.78e-4")
        for cost in costs
    ]
    sums = []
    for write in (writers.legacy, writers.athena):
        write(root / write.__name__, world)
        read(root / write.__name__)
        (file,) = rows("raw/bill_files")
        kept = [
            (row["line_item_unblended_cost"], row["line_item_usage_amount"])
            for row in rows()
        ]
        sums.append((kept, file["rounded_values"], file["rounding_moved_usd"]))
    assert sums[0] == sums[1]
    assert sums[0][0][1] == (Decimal("0.0000000015"), Decimal("0.000278"))
    assert sums[0][1:] == (2, Decimal("0.00000000001000000000") + Decimal("4e-17"))


def test_the_same_bill_gives_the_same_bytes(
    root: Path, read: Callable, lake: Lake, october: Month
) -> None:
    writers.legacy(root / "a", [line(), tax()], [scad()])
    writers.cur2(root / "b", [line(bill_payer_account_id="999999999999")])

    def digests() -> list[str]:
        read(root)
        return [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for table in ("raw/bill_lines", "raw/bill_files")
            for path in lake.files(table, october)
        ]

    assert digests() == digests()


def test_files_read_side_by_side_give_the_same_bytes(
    root: Path, read: Callable, lake: Lake, october: Month, tmp_path: Path
) -> None:
    writers.legacy(root / "a", [line(), tax()], [scad()])
    writers.cur2(root / "b", *([line(bill_payer_account_id="999999999999")],) * 4)

    def files() -> dict[str, bytes]:
        return {
            f"{table}/{path.name}": path.read_bytes()
            for table in ("raw/bill_lines", "raw/bill_files")
            for path in lake.files(table, october)
        }

    in_turn = read(root)
    expected = files()
    deliveries = find_deliveries([str(root)], october, landing=tmp_path / "landing")
    read_files = engine_of(Settings(processes=2))
    assert read_bill(deliveries, october, lake, read_files=read_files) == in_turn
    assert files() == expected
    assert len(expected) == 7


def test_reading_a_month_again_replaces_it(
    root: Path, read: Callable, rows: Callable
) -> None:
    writers.cur2(root, [line()], [line()], [line()])
    read(root)
    writers.cur2(root, [line(line_item_unblended_cost="2")])
    read(root)
    assert [row["line_item_unblended_cost"] for row in rows()] == [2]
    assert len(rows("raw/bill_files")) == 1


def test_a_full_disk_leaves_both_tables_as_they_were(
    root: Path,
    read: Callable,
    rows: Callable,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines of one delivery beside the record of another would pass for a whole bill."""
    writers.cur2(root, [line()])
    read(root)
    before = rows(), rows("raw/bill_files")
    writers.cur2(root, [line(), tax()])

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", no_space)
    with pytest.raises(OSError, match="No space left"):
        read(root)
    assert (rows(), rows("raw/bill_files")) == before
    assert list((lake.root / ".incoming").iterdir()) == []


def test_tables_of_a_file_are_joined_without_loss(
    root: Path, read: Callable, rows: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month is read in pieces, and no piece may drop or double a row."""
    monkeypatch.setattr("orchestration.bill.sources.ROWS_A_TABLE", 3)
    world = [line(identity_line_item_id=str(number)) for number in range(10)]
    for write in (writers.legacy, writers.cur2):
        write(root / write.__name__, world)
        read(root / write.__name__)
        assert [row["identity_line_item_id"] for row in rows()] == list(map(str, range(10)))


def test_row_groups_of_any_size_are_joined_without_loss(
    root: Path, read: Callable, rows: Callable
) -> None:
    """Each row group of a Parquet file has dictionaries of its own."""
    world = [line(line_item_resource_id=f"i-{number}") for number in range(50)]
    (path,) = writers.cur2(root, world)
    pq.write_table(pq.ParquetFile(path).read(), path, row_group_size=7)
    read(root)
    assert [row["line_item_resource_id"] for row in rows()] == [f"i-{n}" for n in range(50)]
    assert all(
        row["product"] == {"gpu": "1", "memory": "16 GiB", "vcpu": "4"} for row in rows()
    )


@pytest.mark.parametrize(
    ("month", "name", "row_count", "unblended"),
    [
        (10, "Oct2018-WorkshopCUR-00001.snappy.parquet", 119_307, "4064.483132"),
        (12, "Dec2018-WorkshopCUR-00001.snappy.parquet", 91_264, "408.375992"),
    ],
)
def test_a_real_bill_is_read_to_the_last_row(
    month: int,
    name: str,
    row_count: int,
    unblended: str,
    real_data: Path,
    tmp_path: Path,
    lake: Lake,
) -> None:
    folder = tmp_path / "cur/cur/year=2018" / f"month={month}"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(real_data / "cur_2018" / name)
    of_month = Month(2018, month)
    deliveries = find_deliveries([str(tmp_path / "cur")], of_month, landing=tmp_path / "l")
    result = read_bill(deliveries, of_month, lake)
    assert result.row_count == row_count
    assert abs(result.unblended_usd - Decimal(unblended)) < Decimal("1e-6")
    found = duckdb.sql(
        "select count(*), count(distinct line_item_resource_id), min(product['vcpu']),"
        " count(resource_tags['user_workload']), sum(line_item_unblended_cost)"
        f" from '{lake.files('raw/bill_lines', of_month)[0]}'"
        " where line_item_operation like 'RunInstances%' and product_product_family ="
        " 'Compute Instance'"
    ).fetchone()
    source = duckdb.sql(
        "select count(*), count(distinct line_item_resource_id), min(product_vcpu),"
        " count(nullif(resource_tags_user_workload, '')),"
        " sum(line_item_unblended_cost::varchar::decimal(38, 10))"
        f" from '{folder / name}' where line_item_operation like 'RunInstances%'"
        " and product_product_family = 'Compute Instance'"
    ).fetchone()
    assert found == source
