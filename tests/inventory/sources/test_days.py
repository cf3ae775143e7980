"""Laws of the day files that sources which ask a server leave in landing."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory.gaps import Gap
from orchestration.inventory.sources.days import (
    DAY_NODE_HOURS,
    DAY_POD_HOURS,
    DayFolder,
)
from orchestration.lake.months import Month

AFTER = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
FIRST = dt.date(2026, 10, 1)


@pytest.fixture
def folder(tmp_path: Path, october: Month) -> DayFolder:
    return DayFolder.of("prometheus+http://server:9090?cluster=a", october, tmp_path)


def pods(uid: str = "u-1") -> pa.Table:
    row = {
        "instance_id": "i-1",
        "usage_hour": dt.datetime(2026, 10, 1, 5, tzinfo=dt.UTC).replace(tzinfo=None),
        "pod_uid": uid,
        "bound_seconds": 60,
        "vcpu_requested": 1.0,
        "memory_requested_gib": 1.0,
        "accelerators_requested": "{}",
        "labels": "{}",
    }
    return pa.Table.from_pylist([row], schema=DAY_POD_HOURS)


NO_NODES = DAY_NODE_HOURS.empty_table()


def test_a_day_is_missing_until_it_was_written_complete(folder: DayFolder) -> None:
    assert folder.missing_days(AFTER) == folder.month.days
    folder.write(FIRST, [pods()], [NO_NODES], is_complete=True)
    folder.write(folder.month.days[1], [pods()], [NO_NODES], is_complete=False)
    assert folder.missing_days(AFTER) == folder.month.days[1:]


def test_days_that_have_not_begun_are_not_missing(folder: DayFolder) -> None:
    noon_of_the_second = dt.datetime(2026, 10, 2, 12, tzinfo=dt.UTC)
    assert folder.missing_days(noon_of_the_second) == folder.month.days[:2]


def test_a_day_that_fails_while_it_is_written_leaves_the_old_one(folder: DayFolder) -> None:
    folder.write(FIRST, [pods("old")], [NO_NODES], is_complete=False)

    def broken() -> Iterator[pa.Table]:
        yield pods("new")
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError):
        folder.write(FIRST, broken(), [NO_NODES], is_complete=True)
    paths = [file.path for file in folder.files() if file.kind == "pod_hours"]
    assert [pq.read_table(path)["pod_uid"].to_pylist() for path in paths] == [["old"]]
    assert not [path for path in folder.folder.rglob("*") if path.suffix == ".partial"]


def test_gaps_come_back_as_they_were_told(folder: DayFolder) -> None:
    start = dt.datetime(2026, 10, 1, 3, tzinfo=dt.UTC)
    gap = Gap(start, start + dt.timedelta(minutes=90), "kube_pod_info", "pods are unseen")
    folder.write(FIRST, [pods()], [NO_NODES], [gap], is_complete=True)
    assert folder.gaps() == [gap]
    assert str(gap).startswith("no kube_pod_info from 2026-10-01 03:00 to 2026-10-01 04:30")


def test_a_gap_that_goes_on_at_midnight_is_one(folder: DayFolder) -> None:
    noon = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)
    midnight = noon + dt.timedelta(hours=12)
    evening = Gap(noon, midnight, "cAdvisor", "no use")
    morning = Gap(midnight, midnight + dt.timedelta(hours=2), "cAdvisor", "no use")
    other = Gap(midnight, midnight + dt.timedelta(hours=2), "labels", "no labels")
    folder.write(FIRST, [pods()], [NO_NODES], [evening], is_complete=True)
    second = folder.month.days[1]
    folder.write(second, [pods()], [NO_NODES], [morning, other], is_complete=True)
    assert folder.gaps() == [Gap(noon, morning.end, "cAdvisor", "no use"), other]


def test_two_sources_and_two_months_never_share_a_folder(
    tmp_path: Path, october: Month
) -> None:
    uris = ["prometheus+http://a?cluster=x", "prometheus+http://a?cluster=X"]
    folders = {
        DayFolder.of(uri, month, tmp_path).folder
        for uri in uris
        for month in (october, october.next)
    }
    assert len(folders) == 4


def test_files_are_named_and_ordered(folder: DayFolder) -> None:
    for day in folder.month.days[:2]:
        folder.write(day, [pods()], [NO_NODES], is_complete=True)
    names = [file.name for file in folder.files()]
    assert names == sorted(names)
    assert names[-1] == "2026-10/pod_hours/2026-10-02.parquet"
