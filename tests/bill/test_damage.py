"""A file is read whole or refused by name: nothing of a bill is lost in silence."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from tests.bill import writers
from tests.bill.writers import line, tax

MANY = [line(identity_line_item_id=f"{number * 7919:x}") for number in range(3000)]


def legacy_csv(root: Path, text: bytes) -> None:
    writers.legacy_files(root, [("cur-1.csv.gz", gzip.compress(text))])


def text_of(*lines: writers.Line) -> bytes:
    return writers.csv_text(*writers.legacy_rows(lines))


def refusal(read: Callable, root: Path) -> str:
    with pytest.raises(PodledgerError) as refused:
        read(root)
    return str(refused.value)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


WHOLE = {
    "cur-1.csv.gz": gzip.compress(text_of(*MANY)),
    "cur-1.csv.zip": writers.zipped("cur-1.csv", text_of(*MANY)),
    "cur-1.snappy.parquet": writers.parquet(writers.athena_rows(MANY)),
}
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half of it": lambda content: content[: len(content) // 2],
    "all but a byte": lambda content: content[:-1],
    "no byte": lambda _: b"",
    "a wrong byte at the end": lambda content: flipped(content, -6),
    "something else": lambda _: b"<html>Request has expired</html>",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_file_is_refused_and_the_month_keeps_what_it_had(
    name: str, damage: str, root: Path, read: Callable, rows: Callable
) -> None:
    writers.legacy_files(root, [(name, WHOLE[name])])
    assert read(root).row_count == len(MANY)
    before = rows()
    writers.legacy_files(root, [(name, DAMAGE[damage](WHOLE[name]))])
    message = refusal(read, root)
    assert name in message
    assert str(root) in message
    assert rows() == before


@pytest.mark.parametrize("name", ["cur-1.csv.gz", "cur-1.csv.zip"])
def test_a_wrong_byte_amid_a_packed_file_is_found_by_its_checksum(
    name: str, root: Path, read: Callable
) -> None:
    content = flipped(WHOLE[name], len(WHOLE[name]) // 2)
    writers.legacy_files(root, [(name, content)])
    assert name in refusal(read, root)


def test_an_archive_of_two_files_is_refused(root: Path, read: Callable) -> None:
    content = writers.zipped("cur-1.csv", text_of(line()))
    path = writers.legacy_files(root, [("cur-1.csv.zip", content)])[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "x")
    assert "holds 2 files" in refusal(read, root)


def test_empty_chunks_beside_full_ones_are_fine(
    root: Path, read: Callable, rows: Callable
) -> None:
    """AWS overwrites left-over chunks with empty ones when an export shrinks."""
    header = text_of(line()).splitlines(keepends=True)[0]
    writers.legacy_files(
        root / "csv",
        [
            ("cur-1.csv.gz", gzip.compress(b"")),
            ("cur-2.csv.gz", gzip.compress(header)),
            ("cur-3.csv.gz", gzip.compress(text_of(line()))),
        ],
    )
    assert read(root / "csv").row_count == 1
    assert [file["row_count"] for file in rows("raw/bill_files")] == [0, 0, 1]
    writers.cur2(root / "parquet", [], [line()])
    result = read(root / "parquet")
    assert (result.row_count, result.file_count) == (1, 2)


@pytest.mark.parametrize("write", [writers.legacy, writers.cur2])
def test_a_bill_with_no_line_at_all_is_refused(
    write: Callable, root: Path, read: Callable, rows: Callable
) -> None:
    write(root, [line()])
    read(root)
    write(root, [], [])
    assert "no line at all" in refusal(read, root)
    assert len(rows()) == 1


def test_csv_may_have_a_mark_newlines_quotes_and_any_script(
    root: Path, read: Callable, rows: Callable
) -> None:
    name = 'a "b", c\nd\r\ne; größe 日本 ' + "x" * 253
    world = [line(line_item_line_item_description=name), tax()]
    header, cells = writers.legacy_rows(world)
    header, cells = (
        [*header, "lineItem/LineItemDescription"],
        [
            [*cells[0], name],
            [*cells[1], ""],
        ],
    )
    text = writers.csv_text(header, cells)
    for mark in (b"", b"\xef\xbb\xbf"):
        legacy_csv(root, mark + text)
        read(root)
        assert [row["line_item_line_item_description"] for row in rows()] == [name, None]
        assert rows()[0]["identity_line_item_id"] == "abc"
    legacy_csv(root, text.replace(b"\n", b"\r\n"))
    assert read(root).row_count == 2


@pytest.mark.parametrize("cut", ["lineItem/UsageType", "lineItem/UnblendedCost"])
def test_a_row_that_lacks_cells_is_refused_with_its_number(
    cut: str, root: Path, read: Callable
) -> None:
    header, cells = writers.legacy_rows([line(), line(), line()])
    cells[1] = cells[1][: header.index(cut)]
    legacy_csv(root, writers.csv_text(header, cells))
    assert "row 2:" in refusal(read, root)


def test_a_quote_that_never_ends_is_refused(root: Path, read: Callable) -> None:
    """It would swallow every row behind it, and what is left would still parse."""
    text = text_of(line(), line(), line()).rstrip(b"\n")
    place = text.rindex(b",") + 1
    legacy_csv(root, text[:place] + b'"' + text[place:])
    assert "a quoted cell never ends" in refusal(read, root)


def test_bytes_that_are_no_text_are_refused(root: Path, read: Callable) -> None:
    text = text_of(line(), line(identity_line_item_id="###"))
    legacy_csv(root, text.replace(b"###", b"\xff\xfe\xff"))
    message = refusal(read, root)
    assert "UTF8" in message
    assert "row 2" in message
    legacy_csv(root, b"\xff\xfe" + text)
    assert "has no header" in refusal(read, root)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.decimal128(20, 10), pa.float32(), pa.int64()]
)
def test_numbers_may_come_as_any_type_that_holds_them(
    kind: pa.DataType, root: Path, read: Callable
) -> None:
    cost = "3" if pa.types.is_integer(kind) else "3.5"
    world = [line(line_item_unblended_cost=cost)]
    types = {"line_item_unblended_cost": kind, "line_item_usage_amount": kind}
    if pa.types.is_decimal(kind):
        path = writers.cur2(root, world)[0]
        table = pa.table(
            {
                name: column.cast(types.get(name, column.type))
                for name, column in _columns_of(path).items()
            }
        )
        pa.parquet.write_table(table, path)
    else:
        writers.cur2(root, world, types=types)
    assert str(float(read(root).unblended_usd)) == str(float(cost))


def _columns_of(path: Path) -> dict[str, pa.ChunkedArray]:
    table = pa.parquet.ParquetFile(path).read()
    return dict(zip(table.column_names, table.columns, strict=True))


@pytest.mark.parametrize(
    ("column", "kind", "cell"),
    [
        ("line_item_unblended_cost", pa.bool_(), True),
        ("line_item_usage_amount", pa.bool_(), True),
        ("line_item_usage_start_date", pa.int64(), 1),
        ("line_item_operation", pa.float64(), 1.5),
        ("product", pa.int64(), 1),
        ("resource_tags", pa.string(), "{"),
    ],
)
def test_a_column_of_a_type_that_cannot_be_meant_is_refused(
    column: str, kind: pa.DataType, cell: object, root: Path, read: Callable
) -> None:
    writers.cur2(root, [line(**{column: cell})], types={column: kind})
    message = refusal(read, root)
    assert f"column {column}" in message
    assert "exp-00001.snappy.parquet" in message


def test_account_ids_that_a_tool_made_numbers_get_their_zeros_back(
    root: Path, read: Callable, rows: Callable
) -> None:
    writers.cur2(root, [line()], types={"bill_payer_account_id": pa.int64()})
    read(root)
    assert rows()[0]["bill_payer_account_id"] == "012345678901"


@pytest.mark.parametrize("change", ["gone", "grown"])
def test_a_file_that_changed_since_it_was_found_is_refused(
    change: str, root: Path, october: Month, lake: Lake, tmp_path: Path
) -> None:
    (path,) = writers.cur2(root, [line()])
    deliveries = find_deliveries([str(root)], october, landing=tmp_path / "landing")
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(writers.parquet([line(), tax()]))
    with pytest.raises(PodledgerError, match=r"there any more|when it was found"):
        read_bill(deliveries, october, lake)
