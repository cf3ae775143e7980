"""``python -m bench.reading``: how fast a legacy bill (csv.gz) is read, against DuckDB.

Holds one file, the sample's legacy report repeated to some half a million lines, and two
ways to read it, each in a process of its own, alternating: ours, from the file to checked
lines in normal form in Parquet, and DuckDB's CSV reader, from the file to a table of text
in memory. Of each the round with the least CPU counts; start-up does not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from bench.worlds import MONTH
from orchestration.bill.exports import Delivery, DeliveryFile, find_deliveries
from orchestration.bill.files import FileTask, read_file
from orchestration.lake.settings import Settings
from orchestration.sample import write_sample

LINES = 500_000
ROUNDS = 3
READERS = ("duckdb", "podledger")


@dataclass(frozen=True)
class Reading:
    """What reading the file once took."""

    cpu_s: float
    wall_s: float
    lines: int


def main() -> int:
    """Run the bench, or one reader of it; gives the exit code, 1 if lines went missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.reading", description=__doc__)
    parser.add_argument("--only", choices=READERS, help="read in this process")
    only = parser.parse_args().only
    path = Settings().home / "bench" / "reading" / "legacy.csv.gz"
    if only:
        print(json.dumps(vars(read(only, path))))
        return 0
    console = Console(width=100)
    if not path.exists():
        with console.status("making the bill"):
            make_bill(path, LINES)
    best: dict[str, Reading] = {}
    for number in range(1, ROUNDS + 1):
        for reader in READERS:
            with console.status(f"round {number}: {reader}"):
                taken = _measure(reader)
            if reader not in best or taken.cpu_s < best[reader].cpu_s:
                best[reader] = taken
    console.print(as_table(best))
    return len({reading.lines for reading in best.values()}) - 1


def make_bill(path: Path, line_count: int) -> None:
    """Write a legacy report's file: the sample's lines, again and again."""
    with tempfile.TemporaryDirectory() as name:
        sample = write_sample(Path(name) / "sample", MONTH)
        roots = [str(root) for root in sample.bill_roots]
        deliveries = find_deliveries(roots, MONTH, landing=Path(name) / "landing")
        (legacy,) = (one for one in deliveries if one.format == "csv")
        text = b"".join(gzip.decompress(file.path.read_bytes()) for file in legacy.files)
    header, _, lines = text.partition(b"\n")
    repeated = lines * max(1, line_count // lines.count(b"\n"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + b"\n" + repeated, mtime=0))


def as_table(best: dict[str, Reading]) -> Table:
    """One row a reader; speed is lines a CPU second, as a ratio to DuckDB's."""
    table = Table(title=f"a legacy bill of {best['podledger'].lines:,} lines, csv.gz")
    table.add_column("reader", no_wrap=True)
    for name in ("CPU s", "wall s", "lines a CPU s", "x DuckDB's speed"):
        table.add_column(name, justify="right", no_wrap=True)
    for reader, reading in best.items():
        table.add_row(
            reader,
            f"{reading.cpu_s:,.2f}",
            f"{reading.wall_s:,.2f}",
            f"{reading.lines / reading.cpu_s:,.0f}",
            f"{best['duckdb'].cpu_s / reading.cpu_s:,.2f}",
        )
    return table


def _measure(reader: str) -> Reading:
    command = [sys.executable, "-m", "bench.reading", "--only", reader]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return Reading(**json.loads(answer.splitlines()[-1]))


def read(reader: str, path: Path) -> Reading:
    """Read the file once, in this process."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        task = _task(path, Path(name) / "lines.parquet")
        cpu, wall = _cpu_s(), time.monotonic()
        if reader == "podledger":
            lines = read_file(task).row_count
        else:
            lines = _read_by_duckdb(path)
        return Reading(_cpu_s() - cpu, time.monotonic() - wall, lines)


def _task(path: Path, target: Path) -> FileTask:
    file = DeliveryFile(path.name, path, path.stat().st_size)
    delivery = Delivery(
        root=str(path.parent),
        export="bench",
        layout="legacy-create-new",
        delivery_id="bench",
        month=MONTH,
        format="csv",
        files=(file,),
        manifest=None,
    )
    return FileTask(delivery, file, target)


def _read_by_duckdb(path: Path) -> int:
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        row = connection.execute(
            "create table lines as select * from read_csv($path, all_varchar = true)",
            {"path": str(path)},
        ).fetchone()
    assert row is not None, "making a table of rows counts them"
    return int(row[0])


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
