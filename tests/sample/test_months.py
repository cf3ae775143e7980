"""Any month that is asked for has a sample."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from orchestration.bill.catalogue import load_catalogue
from orchestration.bill.exports import find_deliveries
from orchestration.inventory.sources import parse_source
from orchestration.lake.months import Month
from orchestration.sample import write_sample
from orchestration.sample.bill import make_bills
from orchestration.sample.placement import place
from orchestration.sample.story import make_world

MONTHS = [Month(2028, 2), Month(2027, 2), Month(2026, 11), Month(2026, 12)]


@pytest.mark.parametrize("month", MONTHS, ids=str)
def test_every_workload_runs_and_every_line_is_of_the_month(month: Month) -> None:
    world = make_world(month)
    assert world.hours == 24 * len(month.days)
    pods = place(world, load_catalogue())
    idle = set(range(len(world.workloads))) - {
        number
        for number, workload in enumerate(world.workloads)
        if any(pod.workload is workload for pod in pods)
    }
    assert not idle
    assert all(0 <= pod.span[0] < pod.span[1] <= world.seconds for pod in pods)
    for lines in make_bills(world, load_catalogue()).values():
        starts = lines["line_item_usage_start_date"].cast("string")
        assert pc.all(pc.starts_with(starts, month.label)).as_py()


def test_february_of_a_leap_year_is_delivered(tmp_path: Path) -> None:
    february = Month(2028, 2)
    sample = write_sample(tmp_path / "sample", february)
    roots = [str(root) for root in sample.bill_roots]
    deliveries = find_deliveries(roots, february, landing=tmp_path / "landing")
    assert len(deliveries) == 2
    files = [
        file.name
        for root in sample.pod_roots[:2]
        for file in parse_source(str(root)).fetch(
            february, tmp_path / "landing", lambda _: None
        )
        if file.kind == "pod_hours"
    ]
    assert len(files) == 2 * 29
    assert "pod_hours/2028-02-29.parquet" in files


def test_months_differ_in_more_than_their_dates() -> None:
    ids = {
        node.instance_id
        for month in (*MONTHS, Month(2026, 10))
        for node in make_world(month).nodes
    }
    assert len(ids) == sum(
        len(make_world(month).nodes) for month in (*MONTHS, Month(2026, 10))
    )
