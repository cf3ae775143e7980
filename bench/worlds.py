"""Months to measure on: deterministic, made once, kept beneath the home.

Holds how a world looks: nodes that come and go under every way of paying, crowded and
idle ones, pods that live for hours and pods that live for the month, measured and not.
It is written as the ingest and dbt would leave it: ``raw/pod_hours`` through the ingest's
own writer, ``int_node_hours__weighed_v2`` in a warehouse. Mix and skew are assumptions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.inventory.tables import sorted_codes, write_table
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import (
    ACCELERATOR_EQUIVALENTS,
    BASES,
    POD_HOURS,
    RESOURCES,
    STRING,
)
from orchestration.split.fargate import MODEL, MODEL_COLUMNS
from orchestration.split.money import money
from orchestration.split.node_hours import HOUR_US, STRING_COLUMNS

MONTH = Month(2026, 10)
NODES = {"XS": 20, "S": 200, "M": 2_000, "L": 10_000}
"""Nodes of each size; XS is for the tests of the bench itself."""

_VERSION = 2
"""Raise when what follows changes, so that no kept world is taken for another."""

HOURS = 744
SEED = 20261001
_MOST_PODS = 107

TYPES = (
    # instance type, devices, GiB a device, vCPUs, GiB, USD an hour, share of the nodes
    ("m5.2xlarge", 0, 0.0, 8, 32, 0.384, 0.30),
    ("m5.8xlarge", 0, 0.0, 32, 128, 1.536, 0.15),
    ("r5.4xlarge", 0, 0.0, 16, 128, 1.008, 0.10),
    ("g4dn.xlarge", 1, 16.0, 4, 16, 0.526, 0.10),
    ("g5.12xlarge", 4, 22.35, 48, 192, 5.672, 0.20),
    ("p4d.24xlarge", 8, 40.0, 96, 1152, 21.96, 0.05),
    ("p5.48xlarge", 8, 80.0, 192, 2048, 55.04, 0.10),
)
"""Capacities and prices of the order of AWS's; the figures weigh nothing here."""

_BASIS_RATES = {
    # of the public price: unblended, amortized, net amortized
    "on demand": (1.0, 1.0, 0.93),
    "spot": (0.35, 0.35, 0.3255),
    "savings plan": (1.0, 0.72, 0.6696),
    "reservation": (0.0, 0.62, 0.5766),
}
_PAYING_SHARES = (0.4, 0.15, 0.3, 0.15)


@dataclass(frozen=True)
class World:
    """A month that contenders read.

    Attributes:
        size: One of ``NODES``.
        home: Holds ``lake/`` and ``warehouse/``.
    """

    size: str
    home: Path

    @property
    def lake(self) -> Lake:
        """The lake with ``raw/pod_hours`` and ``accelerator_equivalents``."""
        return Lake(self.home)

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with ``int_node_hours__weighed_v2``."""
        return self.home / "warehouse" / "podledger.duckdb"

    @property
    def pod_files(self) -> list[Path]:
        """A file a day."""
        return self.lake.files("raw/pod_hours", MONTH)

    @property
    def rows(self) -> int:
        """Pod-hours of the month."""
        return sum(pq.read_metadata(path).num_rows for path in self.pod_files)


def folder_of(home: Path, size: str) -> Path:
    """Where a world lies."""
    return home / "bench" / size


def ensure_world(home: Path, size: str, progress: Callable[[str], None]) -> World:
    """Make the world beneath ``home/bench/<size>`` unless it is there, whole."""
    world = World(size, folder_of(home, size))
    done = world.home / f"version-{_VERSION}"
    if not done.exists():
        shutil.rmtree(world.home, ignore_errors=True)
        _make(world, progress)
        done.touch()
    return world


def _make(world: World, progress: Callable[[str], None]) -> None:
    draw = np.random.default_rng([SEED, NODES[world.size]])
    nodes = Nodes.drawn(draw, NODES[world.size])
    pods = Pods.drawn(draw, nodes)
    world.warehouse.parent.mkdir(parents=True)
    with (
        duckdb.connect(str(world.warehouse)) as connection,
        world.lake.replace("raw/pod_hours", MONTH) as folder,
    ):
        columns = ", ".join(f"{name} {kind}" for name, kind in MODEL_COLUMNS.items())
        connection.execute(f"create table {MODEL} ({columns})")
        for number, day in enumerate(MONTH.days):
            of_day = np.random.default_rng([SEED, NODES[world.size], number])
            weighed = _node_hours(nodes, number, of_day)
            connection.register("weighed", weighed)
            connection.execute(
                "create table int_node_hours__weighed_v2 as from weighed"
                if number == 0
                else "insert into int_node_hours__weighed_v2 from weighed"
            )
            table = pod_hours(nodes, pods, number, of_day)
            write_table(table, folder / f"{day.isoformat()}.parquet")
            progress(f"making {world.size}: {day}, {len(table):,} pod-hours")
    with world.lake.replace("accelerator_equivalents", MONTH) as folder:
        pq.write_table(_equivalents(), folder / "equivalents.parquet")


@dataclass(frozen=True)
class Nodes:
    """n-long arrays; ids ascend."""

    ids: list[str]
    kind: NDArray[np.int64]
    paying: NDArray[np.int64]
    first_hour: NDArray[np.int64]
    last_hour: NDArray[np.int64]

    @classmethod
    def drawn(cls, draw: np.random.Generator, count: int) -> Nodes:
        """Nodes that stay the month, and nodes that come and go."""
        ids = sorted(f"i-{number:017x}" for number in draw.integers(0, 2**62, count))
        stays = draw.random(count) < 0.7
        first = np.where(stays, 0, draw.integers(0, HOURS - 24, count))
        lasts = np.where(stays, HOURS, draw.exponential(300, count).astype(int) + 1)
        return cls(
            ids=ids,
            kind=draw.choice(len(TYPES), count, p=[row[-1] for row in TYPES]),
            paying=draw.choice(len(_PAYING_SHARES), count, p=_PAYING_SHARES),
            first_hour=first,
            last_hour=np.minimum(first + lasts, HOURS),
        )


@dataclass(frozen=True)
class Pods:
    """p-long arrays, ordered by node and then by uid."""

    node: NDArray[np.int32]
    uid: NDArray[np.int64]
    first_hour: NDArray[np.int16]
    last_hour: NDArray[np.int16]
    workload: NDArray[np.int16]
    devices: NDArray[np.int8]
    vcpu: NDArray[np.float64]
    memory: NDArray[np.float64]
    is_measured: NDArray[np.bool_]

    @classmethod
    def drawn(cls, draw: np.random.Generator, nodes: Nodes) -> Pods:
        """Places on nodes, each taken by one pod after another."""
        count = len(nodes.ids)
        places = np.minimum(draw.lognormal(3.0, 0.5, count).astype(int) + 1, _MOST_PODS)
        places[draw.random(count) < 0.016] = 0
        node = np.repeat(np.arange(count), places)
        rank = np.arange(len(node)) - np.repeat(np.cumsum(places) - places, places)
        lives = draw.geometric(1 / 14, (len(node), 90)).astype(np.int32)
        lives[rank < 3] = HOURS
        ends = np.cumsum(lives, axis=1, dtype=np.int32) + nodes.first_hour[node][:, None]
        starts = ends - lives
        last = nodes.last_hour[node][:, None]
        place, turn = np.nonzero((starts < last) & (draw.random(lives.shape) < 0.78))
        devices_of_kind = np.array([row[1] for row in TYPES])
        holds = (rank < devices_of_kind[nodes.kind[node]]) & (draw.random(len(node)) < 0.7)
        uid = draw.integers(0, 2**62, len(place))
        order = np.lexsort((uid, node[place]))
        place, turn, uid = place[order], turn[order], uid[order]
        return cls(
            node=node[place].astype(np.int32),
            uid=uid,
            first_hour=starts[place, turn].astype(np.int16),
            last_hour=np.minimum(ends[place, turn], last[place, 0]).astype(np.int16),
            workload=draw.integers(0, 1000, len(node)).astype(np.int16)[place],
            devices=holds[place].astype(np.int8),
            vcpu=draw.choice([0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0], len(place)),
            memory=draw.choice([0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0], len(place)),
            is_measured=draw.random(len(place)) < 0.9,
        )


def _node_hours(nodes: Nodes, day: int, draw: np.random.Generator) -> pa.Table:
    """Node-hours of one day, hour by hour, weighed by version 2."""
    hours = np.arange(24 * day, 24 * day + 24)[:, None]
    hour, node = np.nonzero((nodes.first_hour <= hours) & (hours < nodes.last_hour))
    hour += 24 * day
    rows = len(node)
    kind = nodes.kind[node]
    is_cut = hour == nodes.last_hour[node] - 1
    share_of_hour = np.where(is_cut & (hour < HOURS - 1), draw.random(rows), 1.0)
    capacity = np.array([(row[1], row[3], row[4]) for row in TYPES])[kind]
    is_accelerated = capacity[:, 0] > 0
    weights = np.where(is_accelerated[:, None], [[9.0, 0.9, 0.1]], [[0.0, 9.0, 1.0]])
    parts = weights * capacity
    parts /= parts.sum(axis=1, keepdims=True)
    public = np.array([row[5] for row in TYPES])[kind] * share_of_hour
    rates = np.array([(*rates, 1.0) for rates in _BASIS_RATES.values()])[nodes.paying[node]]
    usd = public[:, None] * rates
    usd[draw.random(rows) < 0.001, 0] *= -1
    columns: dict[str, pa.Array] = {
        "billing_month": pa.array([MONTH.start.date()] * rows, pa.date32()),
        "payer_account_id": coded(node % 2, ["111122223333", "444455556666"]),
        "usage_account_id": coded(node % 4, [f"{n}" * 12 for n in range(5, 9)]),
        "region_code": coded(node % 3, ["eu-central-1", "us-east-1", "us-west-2"]),
        "usage_type_prefix": coded(node % 3, ["EUC1", "USE1", "USW2"]),
        "instance_id": coded(node, nodes.ids),
        "instance_type": coded(kind, [row[0] for row in TYPES]),
        "cluster_name": coded(node % 3, [None, "blue", "green"]),
        "node_name": coded(node, [f"ip-{n}.ec2.internal" for n in range(len(nodes.ids))]),
        "sharing_labels": coded(np.zeros(rows, np.int64), ["{}"]),
        "usage_hour": _hours(hour),
        "method_version": pa.array(np.full(rows, 2, np.int32)),
        "accelerators": pa.array(capacity[:, 0]),
        "accelerator_memory_gib": pa.array(np.array([row[2] for row in TYPES])[kind]),
    }
    for index, resource in enumerate(RESOURCES):
        columns[f"{resource}_weight"] = pa.array(weights[:, index])
        columns[f"{resource}_capacity_hours"] = pa.array(capacity[:, index] * share_of_hour)
        for number, basis in enumerate(BASES):
            units = np.rint(usd[:, number] * parts[:, index] * 1e10).astype(np.int64)
            columns[f"{resource}_{basis}_usd"] = money(units)
    table = pa.table(columns)
    for name in STRING_COLUMNS:
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, table[name].cast(STRING))
    return table


def pod_hours(nodes: Nodes, pods: Pods, day: int, draw: np.random.Generator) -> pa.Table:
    """Pod-hours of one day in the order of the key, strings as dictionaries."""
    first, last = 24 * day, 24 * day + 24
    present = np.flatnonzero((pods.first_hour < last) & (pods.last_hour > first))
    begins = np.maximum(pods.first_hour[present], first).astype(np.int64)
    hours = np.minimum(pods.last_hour[present], last) - begins
    pod = np.repeat(np.arange(len(present)), hours)
    hour = np.repeat(begins - (np.cumsum(hours) - hours), hours) + np.arange(len(pod))
    order = np.argsort(
        pods.node[present][pod].astype(np.int64) * HOURS + hour, kind="stable"
    )
    pod, hour = pod[order], hour[order]
    chosen = present[pod]
    rows = len(pod)
    is_edge = (hour == pods.first_hour[chosen]) | (hour == pods.last_hour[chosen] - 1)
    seconds = np.where(is_edge, draw.integers(1, 3601, rows), 3600).astype(np.int32)
    busy = draw.lognormal(-1.0, 0.6, rows)
    unmeasured = ~pods.is_measured[chosen]
    devices = pods.devices[chosen].astype(np.float64)
    node = pods.node[chosen].astype(np.int64)
    workload = pods.workload[chosen].astype(np.int64)
    uids = [_uid(number) for number in pods.uid[present].tolist()]
    names = [
        f"{_workload(workload)}-{uid[:8]}-{uid[9:13]}"
        for workload, uid in zip(pods.workload[present].tolist(), uids, strict=True)
    ]
    workloads = range(1000)
    columns: dict[str, pa.Array] = {
        "cluster_name": coded(node % 2, ["blue", "green"]),
        "account_id": pa.nulls(rows, STRING),
        "region": pa.nulls(rows, STRING),
        "node_name": coded(node, [f"ip-{n}.ec2.internal" for n in range(len(nodes.ids))]),
        "instance_id": coded(node, nodes.ids),
        "usage_hour": _hours(hour),
        "namespace": coded(workload % 60, [f"team-{n}" for n in range(60)]),
        "pod_name": coded(pod, names),
        "pod_uid": coded(pod, uids),
        "workload_type": coded(
            workload % 4, ["DaemonSet", "Deployment", "Job", "PyTorchJob"]
        ),
        "workload_name": coded(workload, [_workload(n) for n in workloads]),
        "deployment": coded(
            workload, [_workload(n) if n % 4 == 1 else None for n in workloads]
        ),
        "bound_seconds": pa.array(seconds),
        "vcpu_requested": pa.array(pods.vcpu[chosen]),
        "memory_requested_gib": pa.array(pods.memory[chosen]),
        "vcpu_used": pa.array((pods.vcpu[chosen] + 0.01) * busy, mask=unmeasured),
        "memory_used_gib": pa.array(
            (pods.memory[chosen] + 0.05) * draw.random(rows) * 1.2, mask=unmeasured
        ),
        "accelerators_requested": coded(
            (devices > 0).astype(np.int64), ["{}", '{"nvidia.com/gpu":1.0}']
        ),
        "accelerators_used": pa.array(
            devices * draw.random(rows), mask=unmeasured | (devices == 0)
        ),
        "labels": coded(
            workload,
            [
                f'{{"app":"{_workload(n)}","model":"m-{n % 40}","team":"team-{n % 60}"}}'
                for n in workloads
            ],
        ),
    }
    return pa.table({name: columns[name] for name in POD_HOURS.names})


def _equivalents() -> pa.Table:
    """A device for a device, on every type that has some."""
    return pa.Table.from_pylist(
        [
            {
                "instance_type": row[0],
                "sharing_labels": "{}",
                "accelerators_requested": '{"nvidia.com/gpu":1.0}',
                "devices": 1.0,
                "rule": "whole",
                "is_recognized": True,
            }
            for row in TYPES
            if row[1]
        ],
        schema=ACCELERATOR_EQUIVALENTS,
    )


def _uid(number: int) -> str:
    """A uid in Kubernetes' form; order of the texts is order of the numbers."""
    text = f"{number:016x}{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _workload(number: int) -> str:
    return f"workload-{number:03d}"


def _hours(hour: NDArray[np.int64]) -> pa.Array:
    first = int(MONTH.start.timestamp()) * 1_000_000
    return pa.array(first + hour.astype(np.int64) * HOUR_US).cast(pa.timestamp("us"))


def coded(codes: NDArray[np.int64], values: Sequence[str | None]) -> pa.DictionaryArray:
    """Codes of values as text; a value of None is a null of the column."""
    places = {
        value: place
        for place, value in enumerate(dict.fromkeys(v for v in values if v is not None))
    }
    lookup = np.array([places.get(value, -1) for value in values], np.int32)
    indices = lookup[codes]
    dictionary = pa.array(list(places), STRING)
    return sorted_codes(
        pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int32(), mask=indices < 0), dictionary
        )
    )
