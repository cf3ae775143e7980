"""The bench's legacy bill is one that both of its readers read whole."""

from pathlib import Path

from bench.reading import make_bill, read


def test_both_readers_read_every_line_of_the_bill(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "legacy.csv.gz"
    make_bill(path, line_count=1)
    by_duckdb, by_us = (read(reader, path) for reader in ("duckdb", "podledger"))
    assert by_us.lines == by_duckdb.lines > 10_000
    assert by_us.cpu_s > 0
    assert [file.name for file in path.parent.iterdir()] == [path.name]
