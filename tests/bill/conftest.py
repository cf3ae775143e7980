"""Fixtures of the bill's tests: October read into a lake of the test's own."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import BillRead, read_bill
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

Rows = list[dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bill"
    folder.mkdir()
    return folder


@pytest.fixture
def read(tmp_path: Path, lake: Lake, october: Month) -> Callable[..., BillRead]:
    """Read October's bill from some roots."""

    def read_roots(*roots: Path | str) -> BillRead:
        deliveries = find_deliveries(
            [str(root) for root in roots], october, landing=tmp_path / "landing"
        )
        return read_bill(deliveries, october, lake)

    return read_roots


@pytest.fixture
def rows(lake: Lake, october: Month) -> Callable[..., Rows]:
    """Rows of a table of the lake in October; maps as dicts."""

    def rows_of(table: str = "raw/bill_lines") -> Rows:
        found: Rows = []
        for path in lake.files(table, october):
            for row in pq.ParquetFile(path).read().to_pylist():
                for name in ("product", "resource_tags"):
                    if name in row:
                        row[name] = dict(row[name])
                found.append(row)
        return found

    return rows_of


@pytest.fixture
def total() -> Callable[[Rows], Decimal]:
    """Unblended cost of rows."""
    return lambda rows: sum((row["line_item_unblended_cost"] for row in rows), Decimal(0))
