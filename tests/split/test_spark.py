"""Spark books what the local engine books: every row, whatever happens on the way."""

from __future__ import annotations

import datetime as dt
import sys
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.engines.spark import session as spark_session
from orchestration.lake.errors import PodledgerError
from orchestration.split.engines import spark


def hour(day: int, of_day: int) -> dt.datetime:
    return dt.datetime(2026, 10, day, of_day)  # noqa: DTZ001 - the lake has no zones


def skewed(make: SimpleNamespace) -> tuple[list[Any], list[Any]]:
    """One node with a thousand short-lived pods, and a cluster with nine tenths of all."""
    nodes = [
        make.node_hour(
            {"accelerator": "5.0000000001", "vcpu": "1.7", "memory": "-0.3000000007"},
            f"i-{number}",
            usage_hour=hour(day, of_day),
            cluster_name="blue" if number % 2 else None,
        )
        for number in range(6)
        for day in (1, 2, 31)
        for of_day in range(4)
    ]
    pods = [
        make.pod_hour(
            f"uid-{pod:04}",
            f"i-{number}",
            usage_hour=hour(day, of_day),
            bound_seconds=7 + pod % 3000,
            cluster_name=None if pod == 0 else "green" if number == 5 else "blue",
            vcpu_used=None if pod % 3 else 0.1 * pod,
            accelerators_requested=make.gpus(1 + pod % 4) if number in (1, 4) else "{}",
            accelerators_used=0.5 if number == 4 else None,
        )
        for number, count in enumerate((250, 3, 40, 11, 7, 5, 2))
        for day in (1, 2)
        for of_day in range(4)
        for pod in range(count)
    ]
    return nodes, pods


def rows_of(world: Any) -> list[pa.Table]:
    """Both tables, by their keys."""
    return [
        world.pod_costs().sort_by([(name, "ascending") for name in POD_KEY]),
        world.unallocated_costs().sort_by([(name, "ascending") for name in LEFT_KEY]),
    ]


POD_KEY = ("instance_id", "usage_hour", "pod_uid")
LEFT_KEY = ("instance_id", "usage_hour", "resource")


def split_by_spark(world: Any, **options: Any) -> Any:
    return spark.split_month(world.warehouse, world.lake, world.month, 2, **options)


@pytest.mark.parametrize(
    ("piece_rows", "partitions"), [(1_000_000, None), (500, 7), (100, 1)]
)
def test_every_row_is_the_local_engines_whatever_the_pieces_and_partitions(
    connected, world, make, piece_rows, partitions
):
    local = world.write(*skewed(make)).split()
    expected = rows_of(world)
    result = split_by_spark(world, piece_rows=piece_rows, partitions=partitions)
    assert result == local
    assert result.unknown_pod_hours == 16
    assert rows_of(world) == expected
    assert not list((world.lake.root / ".incoming").iterdir())


def test_no_task_gets_more_than_its_share_of_a_node_with_very_many_pods(
    connected, world, make
):
    """A node's hours are dealt out one by one, so its pods are not one task's alone."""
    nodes = [make.node_hour(usage_hour=hour(1, of_day)) for of_day in range(24)]
    pods = [
        make.pod_hour(f"uid-{pod:04}", usage_hour=hour(1, of_day), bound_seconds=60)
        for of_day in range(24)
        for pod in range(42)
    ]
    world.write(nodes, pods)
    split_by_spark(world, piece_rows=100)
    sizes = [
        pq.read_metadata(path).num_rows
        for path in world.lake.files("pod_costs", world.month)
    ]
    assert sum(sizes) == 24 * 42
    assert len(sizes) > 5
    assert max(sizes) <= 24 * 42 / 4


def test_a_month_without_pods_has_one_empty_file(connected, world, make):
    world.write([make.node_hour(usage_hour=hour(3, 3))])
    result = split_by_spark(world)
    assert (result.pod_hours, result.unallocated_rows) == (0, 3)
    assert world.pod_costs().num_rows == 0
    assert len(world.lake.files("pod_costs", world.month)) == 1


@pytest.mark.parametrize("victim", ["executor", "python worker"])
def test_a_process_that_is_killed_in_the_middle_changes_nothing(
    connected, world, make, victim
):
    local = world.write(*skewed(make)).split()
    expected = rows_of(world)
    with connected.one_killed(
        victim, world.lake.root, ".incoming/spark-*/pod_costs-*.parquet"
    ):
        result = split_by_spark(world, piece_rows=40, partitions=2)
    assert result == local
    assert rows_of(world) == expected
    assert not list((world.lake.root / ".incoming").iterdir())


def test_what_is_wrong_with_the_input_is_told_as_the_local_engine_tells_it(
    connected, world, make
):
    nodes, pods = skewed(make)
    world.write(nodes, pods).split()
    before = world.contents()
    pods[1000] |= {"vcpu_requested": -1.0, "vcpu_used": None}
    world.write(nodes, pods)
    with pytest.raises(PodledgerError) as local:
        world.split()
    with pytest.raises(PodledgerError) as by_spark:
        split_by_spark(world, piece_rows=100)
    assert str(by_spark.value) == str(local.value)
    assert "which is not an amount" in str(local.value)
    assert world.contents() == before


def test_another_version_on_the_other_side_is_refused(connected, world, make, monkeypatch):
    world.write([make.node_hour()])
    for package, found in (("pyspark", "4.0.0"), ("pyarrow", "25.0.0")):
        monkeypatch.setattr(
            spark_session,
            "version",
            lambda name, package=package, found=found: (
                found if name == package else version_of(name)
            ),
        )
        with pytest.raises(PodledgerError, match=f"{package} is .* there and {found} here"):
            split_by_spark(world)
    assert world.contents() == {}


version_of = spark_session.version


@pytest.mark.parametrize(
    ("remote", "message"),
    [
        ("sc://127.0.0.1:1", r"cannot be reached at sc://127.0.0.1:1: .*SPARK_REMOTE"),
        ("sc://127.0.0.1:1/;token=s3cret", r"cannot be reached at sc://127.0.0.1:1/: "),
        ("http://127.0.0.1:1", "it is not sc://host:port"),
    ],
)
def test_a_server_that_does_not_answer_is_told_at_once(
    spark_server, world, make, monkeypatch, remote, message
):
    monkeypatch.setenv("SPARK_REMOTE", remote)
    world.write([make.node_hour()])
    with pytest.raises(PodledgerError, match=message) as refused:
        split_by_spark(world)
    assert "s3cret" not in str(refused.value)


def test_without_pyspark_the_user_is_told_what_to_install(world, make, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    world.write([make.node_hour()])
    with pytest.raises(PodledgerError, match=r"Install podledger\[spark\]"):
        split_by_spark(world)
