"""What Kubernetes knew of the sample month: pod-hours and node-hours, in three formats.

Holds the expansion of pods to clock hours and the writing of one inventory a cluster, each
in the contract of ``docs/sources.md``: Parquet, NDJSON and CSV, so that every door is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.bill.catalogue import InstanceType
from orchestration.sample.files import write_csv_gzip, write_gzip
from orchestration.sample.placement import Pod
from orchestration.sample.world import (
    ATLAS,
    CLUSTERS,
    DAY,
    HARBOR,
    HOUR,
    LAB,
    TRAFFIC,
    Cluster,
    Node,
    Span,
    Use,
    Workload,
    World,
    at,
    dice,
    hex_id,
)

_UNMEASURED: Mapping[str, Span] = {LAB.name: (at(12, 3), at(12, 9))}
"""When a cluster's metrics were down: requests are known, uses are not."""

_CAPACITY_TYPES = {
    "on-demand": "on-demand",
    "spot": "spot",
    "capacity-block": "reserved",
}
"""Karpenter's words for how an instance was bought."""

_TEXT = pa.string()


def write_inventories(
    folder: Path, world: World, pods: Sequence[Pod], catalogue: Mapping[str, InstanceType]
) -> tuple[Path, ...]:
    """Write each cluster's inventory to a folder of its own.

    Returns:
        The folders, in order of ``world.CLUSTERS``.
    """
    known = [*pods, _stranger(world)]
    for cluster in CLUSTERS:
        (folder / cluster.name).mkdir(parents=True)
    for cluster, write in (
        (ATLAS, _write_parquet),
        (HARBOR, _write_ndjson),
        (LAB, _write_csv),
    ):
        write(folder / cluster.name, world, *_tables(cluster, world, known, catalogue))
    return tuple(folder / cluster.name for cluster in CLUSTERS)


def _tables(
    cluster: Cluster,
    world: World,
    pods: Sequence[Pod],
    catalogue: Mapping[str, InstanceType],
) -> tuple[pa.Table, pa.Table]:
    mine = [pod for pod in pods if pod.workload.cluster is cluster]
    nodes = [
        node
        for node in world.nodes
        if node.group.cluster is cluster and node.group.is_in_cluster
    ]
    return _pod_hours(cluster, world, mine), _node_hours(cluster, world, nodes, catalogue)


def _stranger(world: World) -> Pod:
    """A pod on a node that joined from an account whose bill nobody gave us."""
    group = next(node.group for node in world.nodes if node.group.name == "general")
    node = Node(
        group=group,
        instance_id=f"i-0{hex_id(world.month, 'instance of another account', 16)}",
        name=f"ip-10-99-4-17.{HARBOR.domain}",
        zone=HARBOR.zones[0],
        spans=((at(20, 8), at(22, 20)),),
    )
    workload = Workload(
        HARBOR,
        "partners",
        "connector-proof",
        "Deployment",
        ("general",),
        node.spans,
        Use(0.4, 0.9),
        1,
        2,
        labels={"team": "edge", "app.kubernetes.io/name": "connector"},
    )
    uid = "5d0f3b7a-91c4-4e0e-8a55-6f1f0c7f2b10"
    return Pod(workload, node, "connector-proof-6d5f7c9b44-x2k8p", uid, node.spans[0])


def _hours_of(spans: Sequence[Span]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Every clock hour of every span, by hour: span number, hour, seconds."""
    starts = np.array([start for start, _ in spans], np.int64)
    ends = np.array([end for _, end in spans], np.int64)
    counts = -(-ends // HOUR) - starts // HOUR
    numbers = np.repeat(np.arange(len(spans)), counts)
    steps = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    hours = starts[numbers] // HOUR + steps
    order = np.lexsort((numbers, hours))
    numbers, hours = numbers[order], hours[order]
    seconds = np.minimum(ends[numbers], (hours + 1) * HOUR) - np.maximum(
        starts[numbers], hours * HOUR
    )
    return numbers, hours, seconds


def _timestamps(world: World, hours: NDArray[np.int64]) -> pa.Array:
    first = np.datetime64(world.month.start.replace(tzinfo=None), "us")
    moments = first + hours.astype("timedelta64[h]").astype("timedelta64[us]")
    return pa.array(moments).cast(pa.timestamp("us", "UTC"))


def _pod_hours(cluster: Cluster, world: World, pods: Sequence[Pod]) -> pa.Table:
    numbers, hours, seconds = _hours_of([pod.span for pod in pods])
    streams = [
        f"{cluster.name} {pod.node.group.name}"
        if pod.node.group.has_own_chance
        else cluster.name
        for pod in pods
    ]
    chances = {
        name: np.random.Generator(np.random.PCG64(dice(world.month, name).getrandbits(64)))
        for name in sorted(set(streams))
    }
    is_of = {name: np.array(streams)[numbers] == name for name in chances}
    traffic = np.where(
        np.array([pod.workload.use.follows_traffic for pod in pods])[numbers],
        np.array(TRAFFIC)[hours % 24],
        1.0,
    )
    start, end = (moment // HOUR for moment in _UNMEASURED.get(cluster.name, (0, 0)))
    is_measured = ~((hours >= start) & (hours < end))

    def text(of: list[str | None]) -> pa.Array:
        return pa.array(of, _TEXT).dictionary_encode().take(pa.array(numbers))

    def constant(of: list[float]) -> pa.Array:
        return pa.array(np.array(of)[numbers])

    def used(of: list[float | None], swing: float, factor: NDArray[np.float64]) -> pa.Array:
        means = np.array([math.nan if mean is None else mean for mean in of])[numbers]
        drawn = np.empty(len(numbers))
        for name, chance in chances.items():
            drawn[is_of[name]] = chance.random(int(is_of[name].sum()))
        values = np.round(means * factor * (1 + swing * (2 * drawn - 1)), 4)
        return pa.array(values, mask=np.isnan(values) | ~is_measured)

    workloads = [pod.workload for pod in pods]
    return pa.table(
        {
            "cluster_name": text([cluster.name] * len(pods)),
            "account_id": text([cluster.account_id] * len(pods)),
            "region": text([cluster.region] * len(pods)),
            "node_name": text([pod.node.name for pod in pods]),
            "instance_id": text([pod.node.instance_id for pod in pods]),
            "usage_hour": _timestamps(world, hours),
            "namespace": text([workload.namespace for workload in workloads]),
            "pod_name": text([pod.name for pod in pods]),
            "pod_uid": text([pod.uid for pod in pods]),
            "workload_type": text(
                [_controlled(workload, workload.kind) for workload in workloads]
            ),
            "workload_name": text(
                [_controlled(workload, workload.name) for workload in workloads]
            ),
            "deployment": text(
                [
                    workload.name if workload.kind == "Deployment" else None
                    for workload in workloads
                ]
            ),
            "bound_seconds": pa.array(seconds.astype(np.int32)),
            "vcpu_requested": constant([workload.vcpu for workload in workloads]),
            "memory_requested_gib": constant(
                [workload.memory_gib for workload in workloads]
            ),
            "vcpu_used": used([workload.use.vcpu for workload in workloads], 0.12, traffic),
            "memory_used_gib": used(
                [workload.use.memory_gib for workload in workloads],
                0.03,
                np.ones(len(numbers)),
            ),
            "accelerators_requested": text(
                [_json(workload.requests) for workload in workloads]
            ),
            "accelerators_used": used(
                [workload.use.devices for workload in workloads], 0.05, traffic
            ),
            "labels": text([_json(workload.labels) for workload in workloads]),
        }
    )


def _node_hours(
    cluster: Cluster,
    world: World,
    nodes: Sequence[Node],
    catalogue: Mapping[str, InstanceType],
) -> pa.Table:
    spans = [(number, span) for number, node in enumerate(nodes) for span in node.spans]
    owners = np.array([number for number, _ in spans])
    numbers, hours, _ = _hours_of([span for _, span in spans])
    # An instance that stops and starts again within an hour is one node-hour.
    keys = np.unique(hours * len(nodes) + owners[numbers])
    hours, numbers = np.divmod(keys, len(nodes))

    def text(of: list[str]) -> pa.Array:
        return pa.array(of, _TEXT).dictionary_encode().take(pa.array(numbers))

    return pa.table(
        {
            "cluster_name": text([cluster.name] * len(nodes)),
            "node_name": text([node.name for node in nodes]),
            "instance_id": text([node.instance_id for node in nodes]),
            "usage_hour": _timestamps(world, hours),
            "instance_type": text([node.group.instance_type for node in nodes]),
            "labels": text([_json(_node_labels(node)) for node in nodes]),
            "allocatable": text([_json(_allocatable(node, catalogue)) for node in nodes]),
        }
    )


def _node_labels(node: Node) -> dict[str, str]:
    group = node.group
    pool = {"eks.amazonaws.com/nodegroup": group.name}
    if group.is_auto_mode:
        pool = {
            "eks.amazonaws.com/compute-type": "auto",
            "karpenter.sh/nodepool": group.name,
        }
    return {
        **pool,
        "karpenter.sh/capacity-type": _CAPACITY_TYPES[group.market],
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "node.kubernetes.io/instance-type": group.instance_type,
        "team": group.team,
        "topology.kubernetes.io/region": group.cluster.region,
        "topology.kubernetes.io/zone": node.zone,
        **group.labels,
    }


def _allocatable(node: Node, catalogue: Mapping[str, InstanceType]) -> dict[str, str]:
    """As the kubelet reports it, in Kubernetes' own notation."""
    kind = catalogue[node.group.instance_type]
    return {
        "cpu": f"{int(kind.vcpu * 1000) - 90}m",
        "memory": f"{int(kind.memory_gib * 1024 * 1024 * 96 // 100)}Ki",
        "pods": "110",
        **{resource: str(count) for resource, count in node.group.devices.items()},
    }


def _controlled(workload: Workload, text: str) -> str | None:
    return None if workload.kind == "Pod" else text


def _json(mapping: Mapping[str, object]) -> str:
    return json.dumps(dict(sorted(mapping.items())), separators=(",", ":"))


def _days(table: pa.Table, world: World) -> list[tuple[str, pa.Table]]:
    """The table a day at a time; its rows are in order of the hour."""
    first = int(world.month.start.timestamp()) * 1_000_000
    moments = np.asarray(table["usage_hour"].cast(pa.int64())) - first
    edges = np.arange(len(world.month.days) + 1) * DAY * 1_000_000
    bounds = np.searchsorted(moments, edges)
    return [
        (f"{day:%Y-%m-%d}", table.slice(begin, end - begin))
        for day, begin, end in zip(world.month.days, bounds, bounds[1:], strict=False)
    ]


def _write_parquet(folder: Path, world: World, pods: pa.Table, nodes: pa.Table) -> None:
    """A file a day, maps as maps."""
    (folder / "pod_hours").mkdir()
    pods = _with_maps(pods, {"accelerators_requested": pa.float64(), "labels": _TEXT})
    for day, rows in _days(pods, world):
        pq.write_table(rows, folder / "pod_hours" / f"{day}.parquet", compression="zstd")
    nodes = _with_maps(nodes, {"labels": _TEXT, "allocatable": _TEXT})
    pq.write_table(nodes, folder / "node_hours.parquet", compression="zstd")


def _with_maps(table: pa.Table, columns: Mapping[str, pa.DataType]) -> pa.Table:
    for name, item_type in columns.items():
        codes = table[name].combine_chunks()
        maps = pa.array(
            [list(json.loads(text).items()) for text in codes.dictionary.to_pylist()],
            pa.map_(_TEXT, item_type),
        )
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, maps.take(codes.indices))
    return table


def _write_ndjson(folder: Path, world: World, pods: pa.Table, nodes: pa.Table) -> None:
    """A gzipped file a day, maps as objects."""
    (folder / "pod_hours").mkdir()
    for day, rows in _days(pods, world):
        _write_lines(folder / "pod_hours" / f"{day}.ndjson.gz", rows)
    _write_lines(folder / "node_hours.ndjson.gz", nodes)


def _write_lines(path: Path, table: pa.Table) -> None:
    members = []
    for name, column in zip(table.column_names, _printed(table).columns, strict=True):
        is_text = pa.types.is_dictionary(table[name].type) or name == "usage_hour"
        if is_text and name not in _MAPS:
            column = pc.binary_join_element_wise('"', column, '"', "")
        value = pc.fill_null(column, "null")
        members.append(pc.binary_join_element_wise(f'"{name}":', value, ""))
    lines = pc.binary_join_element_wise("{", *_separated(members), "}\n", "")
    write_gzip(path, "".join(lines.to_pylist()).encode())


def _separated(members: Sequence[pa.Array]) -> list[pa.Array | str]:
    parts: list[pa.Array | str] = []
    for member in members:
        parts += [",", member]
    return parts[1:]


_MAPS = ("accelerators_requested", "labels", "allocatable")


def _printed(table: pa.Table) -> pa.Table:
    """All columns as text."""
    columns = []
    for name in table.column_names:
        column = table[name]
        if name == "usage_hour":
            column = pc.strftime(
                column.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ"
            )
        columns.append(column.cast(_TEXT))
    return pa.table(columns, names=table.column_names)


def _write_csv(folder: Path, world: World, pods: pa.Table, nodes: pa.Table) -> None:
    """Two gzipped files of the whole month; the last row of the first came twice.

    A writer that was started again after a crash repeats what it had written last.
    """
    repeated = pa.concat_tables([pods, pods.slice(len(pods) - 1)])
    for path, table in (
        (folder / f"pod_hours_{world.month}.csv.gz", repeated),
        (folder / f"node_hours_{world.month}.csv.gz", nodes),
    ):
        write_csv_gzip(path, _printed(table))
