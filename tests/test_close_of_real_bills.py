"""Two months of a real Cost and Usage Report close, to the last digit, without any pods."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings


@pytest.mark.parametrize(
    ("month", "name", "unblended"),
    [
        (Month(2018, 10), "Oct2018", "4064.483132"),
        pytest.param(Month(2018, 12), "Dec2018", "408.375992", marks=pytest.mark.slow),
    ],
)
def test_a_real_month_closes_with_every_control_at_zero(
    real_data: Path, tmp_path: Path, month: Month, name: str, unblended: str
) -> None:
    """Nobody wrote these for us: repeated line ids, hours above one, untyped Spot lines."""
    folder = tmp_path / f"bill/cur/cur/year={month.year}/month={month.month}"
    folder.mkdir(parents=True)
    original = real_data / "cur_2018" / f"{name}-WorkshopCUR-00001.snappy.parquet"
    (folder / original.name).symlink_to(original)
    (tmp_path / "pods").mkdir()
    settings = Settings(
        bill=(str(tmp_path / "bill"),),
        pods=(str(tmp_path / "pods"),),
        home=tmp_path / "home",
    )
    publication = close_month(month, settings, lambda _: None)

    totals = publication.manifest.totals
    assert abs(totals["unblended"].bill - Decimal(unblended)) < Decimal("1e-6")
    controls = pq.ParquetFile(publication.path / "controls.parquet").read().to_pylist()
    failed = [row["control"] for row in controls if not row["is_passed"]]
    # Without pods and owners, nobody can be charged for any of it; the warning says so.
    assert failed == ["every_cost_is_charged_to_somebody"]
    for row in controls:
        if row["control"] in failed:
            assert row["severity"] == "warning"
            assert row["residual_usd"] == totals[row["cost_basis"]].bill > 0
            continue
        allowed = Decimal("1e-6" if row["control"] == "rounding_is_accounted_for" else 0)
        assert abs(row["residual_usd"]) <= allowed, row
    for law in totals.values():
        assert law.pods == 0
        assert law.bill == law.unallocated + law.remainder
    reasons = {
        reason
        for file in (publication.path / "unallocated").iterdir()
        for reason in pq.ParquetFile(file).read(["reason"])["reason"].to_pylist()
    }
    assert reasons == {"no_pods"}
    scad = [pq.ParquetFile(file) for file in (publication.path / "scad").iterdir()]
    assert [file.metadata.num_rows for file in scad] == [0]
