"""Tables of the lake: equal rows are equal bytes, and row groups carry their own text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory import tables
from orchestration.inventory.tables import sorted_codes, write_table


def test_a_row_group_has_the_text_that_occurs_in_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = pa.array([f"uid-{number // 2:03}" for number in range(50)] + [None])
    table = pa.table({"pod_uid": sorted_codes(uids.dictionary_encode()), "n": range(51)})
    monkeypatch.setattr(tables, "_ROW_GROUP_ROWS", 20)
    write_table(table, tmp_path / "a.parquet")
    with pq.ParquetFile(tmp_path / "a.parquet", read_dictionary=["pod_uid"]) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    dictionaries = [
        group["pod_uid"].combine_chunks().dictionary.to_pylist() for group in groups
    ]
    assert [len(group) for group in groups] == [20, 20, 11]
    assert dictionaries == [
        [f"uid-{number:03}" for number in numbers]
        for numbers in (range(10), range(10, 20), range(20, 25))
    ]
    assert pa.concat_tables(groups)["pod_uid"].to_pylist() == uids.to_pylist()


def test_the_dictionary_that_a_table_came_with_does_not_show_in_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_ROW_GROUP_ROWS", 2)
    texts = pa.array(["b", "a", "c", "b", "a"])
    reversed_codes = pa.DictionaryArray.from_arrays(
        pa.array([1, 2, 0, 1, 2], pa.int32()), pa.array(["c", "b", "a"])
    )
    for name, codes in (("x", texts.dictionary_encode()), ("y", reversed_codes)):
        write_table(pa.table({"pod_uid": sorted_codes(codes)}), tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
