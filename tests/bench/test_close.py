"""The bench's delivery can be closed, and its steps add up to the close."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.bills import Delivery, ensure_delivery
from bench.close import measure_close
from bench.worlds import MONTH


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return ensure_delivery(tmp_path_factory.mktemp("home"), "XS", lambda _: None)


def test_a_delivery_is_made_once_and_the_same_every_time(
    delivery: Delivery, tmp_path: Path
) -> None:
    again = ensure_delivery(tmp_path, "XS", lambda _: None)
    files = [path for path in sorted(again.folder.rglob("*")) if path.is_file()]

    assert len(files) == 2 * len(MONTH.days) + 2
    for path in files:
        twin = delivery.folder / path.relative_to(again.folder)
        assert path.read_bytes() == twin.read_bytes()
    before = [path.stat().st_mtime_ns for path in files]
    ensure_delivery(tmp_path, "XS", lambda _: None)
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.slow
def test_a_delivery_closes_and_every_step_of_it_is_measured(delivery: Delivery) -> None:
    *steps, whole = measure_close(delivery, lambda _: None)

    assert {"bill", "inventory", "split", "published month"} <= {s.step for s in steps}
    assert sum(step.wall_s for step in steps) == pytest.approx(whole.wall_s, rel=0.1)
    assert 0 < max(step.peak_rss_bytes for step in steps) <= whole.peak_rss_bytes
    scad = (delivery.folder / "home" / "published").rglob("scad*/**/*.parquet")
    assert sum(pq.read_metadata(path).num_rows for path in scad) > delivery.pod_hour_count
