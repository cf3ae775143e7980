"""A small inventory that the room's tests write and read."""

import csv
import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory.ingest import InventoryRead, ingest_inventory
from orchestration.inventory.sources import parse_source
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

Row = dict[str, Any]

MAP_TYPES = {
    "labels": pa.map_(pa.string(), pa.string()),
    "accelerators_requested": pa.map_(pa.string(), pa.float64()),
    "accelerators_hard": pa.map_(pa.string(), pa.float64()),
    "allocatable": pa.map_(pa.string(), pa.string()),
}


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write rows in the format that the name says; maps as the format has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    suffixes = "".join(path.suffixes)
    if suffixes.endswith(".parquet"):
        columns = {
            name: pa.array([row.get(name) for row in rows], MAP_TYPES.get(name))
            for name in names
        }
        pq.write_table(pa.table(columns), path)
        return
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        if ".csv" in suffixes:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in rows:
                writer.writerow(
                    {
                        name: json.dumps(value) if isinstance(value, dict) else value
                        for name, value in row.items()
                    }
                )
        else:
            for row in rows:
                print(json.dumps(row, default=str), file=file)


class Inventory:
    """A folder of inventory files, and the lake that they are read into."""

    def __init__(self, root: Path, lake: Lake, month: Month) -> None:
        self.root = root
        self.lake = lake
        self.month = month
        self.told: list[str] = []

    def pod(self, **changes: Any) -> Row:
        """A pod-hour of October with what a test changes of it."""
        return {
            "instance_id": "i-0a1",
            "usage_hour": dt.datetime(2026, 10, 3, 5, tzinfo=dt.UTC),
            "namespace": "training",
            "pod_name": "worker-0",
            "pod_uid": "uid-0",
            "bound_seconds": 3600,
            "vcpu_requested": 4.0,
            "memory_requested_gib": 16.0,
        } | changes

    def node(self, **changes: Any) -> Row:
        """A node-hour of October with what a test changes of it."""
        return {
            "instance_id": "i-0a1",
            "usage_hour": dt.datetime(2026, 10, 3, 5, tzinfo=dt.UTC),
            "instance_type": "g5.xlarge",
        } | changes

    def quota(self, **changes: Any) -> Row:
        """A quota-hour of October with what a test changes of it."""
        return {
            "cluster_name": "prod",
            "usage_hour": dt.datetime(2026, 10, 3, 5, tzinfo=dt.UTC),
            "namespace": "training",
            "vcpu_hard": 96.0,
            "accelerators_hard": {"nvidia.com/gpu": 8.0},
        } | changes

    def write(self, name: str, *rows: Row) -> Path:
        """Write a file of the inventory."""
        write_rows(self.root / name, list(rows))
        return self.root / name

    def read(self, *uris: str) -> InventoryRead:
        """Read the month, from the folder or from the sources given."""
        sources = [parse_source(uri) for uri in uris or [str(self.root)]]
        scratch = self.lake.home / "scratch"
        return ingest_inventory(sources, self.month, self.lake, scratch, self.told.append)

    def rows(self, table: str = "pod_hours") -> list[Row]:
        """What the lake holds of the month, hours in UTC."""
        files = self.lake.files(f"raw/{table}", self.month)
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        for row in rows:
            if "usage_hour" in row:
                row["usage_hour"] = row["usage_hour"].replace(tzinfo=dt.UTC)
        return rows

    def content(self) -> dict[str, bytes]:
        """The bytes of the month's pods and nodes."""
        return {
            f"{table}/{file.name}": file.read_bytes()
            for table in ("pod_hours", "node_hours", "quota_hours")
            for file in self.lake.files(f"raw/{table}", self.month)
        }


@pytest.fixture
def inventory(tmp_path: Path, lake: Lake, october: Month) -> Inventory:
    root = tmp_path / "inventory"
    root.mkdir()
    return Inventory(root, lake, october)
