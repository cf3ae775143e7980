"""Which accelerator requests a month has to resolve."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pyarrow.parquet as pq

from orchestration.lake.schemas import ACCELERATOR_EQUIVALENTS
from orchestration.split.requests import distinct_requests, write_equivalents


def test_each_request_occurs_once_for_each_kind_of_node(
    world, make: SimpleNamespace
) -> None:
    shared = '{"nvidia.com/gpu.replicas":"4"}'
    nodes = [
        make.node_hour(instance_id="i-1"),
        make.node_hour(instance_id="i-2"),
        make.node_hour(instance_id="i-3", sharing_labels=shared),
        make.node_hour(instance_id="i-4", billing_month=dt.date(2026, 11, 1)),
    ]
    pods = [
        make.pod_hour(f"uid-{uid}", node, accelerators_requested=make.gpus(1))
        for node in ("i-1", "i-2", "i-3", "i-4", "i-unknown")
        for uid in range(2)
    ]
    world.write(nodes, [*pods, make.pod_hour("none", "i-1")], equivalents=[])
    found = distinct_requests(world.warehouse, world.lake, world.month)
    assert [(c.sharing_labels, c.accelerators_requested) for c in found] == [
        (shared, make.gpus(1)),
        ("{}", make.gpus(1)),
    ]


def test_a_month_without_requests_gets_an_empty_table(world, make: SimpleNamespace) -> None:
    world.write([make.node_hour()], [make.pod_hour()], equivalents=[])
    assert write_equivalents(world.warehouse, world.lake, world.month) == 0
    (path,) = world.lake.files("accelerator_equivalents", world.month)
    table = pq.ParquetFile(path).read()
    assert len(table) == 0
    assert table.schema.equals(ACCELERATOR_EQUIVALENTS)


def test_what_was_resolved_is_what_the_split_uses(world, make: SimpleNamespace) -> None:
    shared = '{"nvidia.com/gpu.replicas":"4"}'
    nodes = [make.node_hour(instance_id="i-1", sharing_labels=shared)]
    pods = [make.pod_hour("a", "i-1", accelerators_requested=make.gpus(2))]
    world.write(nodes, pods, equivalents=[])
    write_equivalents(world.warehouse, world.lake, world.month)
    world.split()
    assert world.pod_costs()["accelerator_reserved_hours"].to_pylist() == [0.5]
