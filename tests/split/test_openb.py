"""Nine days of a production GPU cluster, placed on priced instances, split exactly.

The trace (Alibaba's openb, see the data's README) tells what pods asked for and when they
ran, but neither node nor bill. The rule is ours:

- a node of the trace becomes the cheapest NVIDIA type of the catalogue that has at least
  its devices, vCPUs and memory, at that type's On-Demand price for every hour;
- pods are taken by time of scheduling; each goes to the first node, by number, that has
  its vCPUs, memory and devices left, until its deletion; one that fits nowhere is left out;
- days 140 to 148 of the trace, its busiest, are 1 to 9 October 2026.

A fraction of a device (3,078 pods hold one) counts as that fraction.
"""

from __future__ import annotations

import csv
import datetime as dt
import heapq
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np

from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split.requests import write_equivalents

DAY = 86_400
FIRST_DAY, DAYS = 140, 9
WEIGHTS = {"accelerator": Decimal(9), "vcpu": Decimal("0.9"), "memory": Decimal("0.1")}
UNIT = Decimal("0.0000000001")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def size_of_node(node: dict[str, str]) -> tuple[float, float, float]:
    return int(node["gpu"]), int(node["cpu_milli"]) / 1000, int(node["memory_mib"]) / 1024


def size_of_pod(pod: dict[str, str]) -> tuple[float, float, float]:
    devices = int(pod["num_gpu"]) * int(pod["gpu_milli"]) / 1000
    return devices, int(pod["cpu_milli"]) / 1000, int(pod["memory_mib"]) / 1024


def priced_types(real_data: Path) -> list[dict[str, str]]:
    """NVIDIA types with a price, the cheapest first."""
    types = [
        row
        for row in read_csv(real_data / "instance_types.csv")
        if row["accelerator_manufacturer"] == "NVIDIA"
        and row["on_demand_usd_per_hour_us_east_1"]
    ]
    return sorted(types, key=lambda row: Decimal(row["on_demand_usd_per_hour_us_east_1"]))


def type_for(node: dict[str, str], types: list[dict[str, str]]) -> dict[str, str]:
    size = size_of_node(node)
    return next(
        row
        for row in types
        if float(row["accelerator_count"]) >= size[0]
        and float(row["vcpu"]) >= size[1]
        and float(row["memory_gib"]) >= size[2]
    )


def place(pods: list[dict[str, str]], nodes: list[dict[str, str]]) -> dict[int, int]:
    """Node of each pod that fits, by their positions."""
    free = np.array([size_of_node(node) for node in nodes])
    scheduled = [number for number, pod in enumerate(pods) if pod["scheduled_time"]]
    scheduled.sort(key=lambda number: (int(pods[number]["scheduled_time"]), number))
    ends: list[tuple[int, int]] = []
    placed: dict[int, int] = {}
    for number in scheduled:
        pod = pods[number]
        while ends and ends[0][0] <= int(pod["scheduled_time"]):
            ended = heapq.heappop(ends)[1]
            free[placed[ended]] += size_of_pod(pods[ended])
        fits = np.flatnonzero((free >= np.array(size_of_pod(pod)) - 1e-9).all(axis=1))
        if fits.size:
            placed[number] = int(fits[0])
            free[fits[0]] -= size_of_pod(pod)
            heapq.heappush(ends, (int(pod["deletion_time"]), number))
    return placed


def node_id(number: int) -> str:
    return f"i-{number:017x}"


def hour_of(seconds: int) -> dt.datetime:
    epoch = dt.datetime.fromisoformat("2026-10-01")
    return epoch + dt.timedelta(seconds=seconds - FIRST_DAY * DAY)


def node_hours_of(
    used: set[int], types: dict[int, dict[str, str]], make: SimpleNamespace
) -> list[dict]:
    """Every hour of those days of these nodes, weighed as version 2 does."""
    rows = []
    for number in sorted(used):
        catalogue = types[number]
        capacity = {
            "accelerator": Decimal(catalogue["accelerator_count"]),
            "vcpu": Decimal(catalogue["vcpu"]),
            "memory": Decimal(catalogue["memory_gib"]),
        }
        price = Decimal(catalogue["on_demand_usd_per_hour_us_east_1"])
        weight = sum(WEIGHTS[resource] * capacity[resource] for resource in RESOURCES)
        pools = {
            resource: (price * WEIGHTS[resource] * capacity[resource] / weight).quantize(
                UNIT
            )
            for resource in ("accelerator", "vcpu")
        }
        pools["memory"] = price - pools["accelerator"] - pools["vcpu"]
        for hour in range(24 * DAYS):
            rows.append(
                make.node_hour(
                    {resource: str(usd) for resource, usd in pools.items()},
                    node_id(number),
                    instance_type=catalogue["instance_type"],
                    accelerators=float(capacity["accelerator"]),
                    accelerator_memory_gib=float(catalogue["accelerator_memory_gib"]),
                    usage_hour=hour_of(FIRST_DAY * DAY + 3600 * hour),
                    **{f"{r}_capacity_hours": float(capacity[r]) for r in RESOURCES},
                )
            )
    return rows


def pod_hours_of(
    pods: list[dict[str, str]], placed: dict[int, int], make: SimpleNamespace
) -> list[dict]:
    """Pods of those days by the hour, bound from scheduling to deletion."""
    rows = []
    first, last = FIRST_DAY * DAY, (FIRST_DAY + DAYS) * DAY
    for number, node in placed.items():
        pod = pods[number]
        starts, ends = int(pod["scheduled_time"]), int(pod["deletion_time"])
        devices, vcpus, memory = size_of_pod(pod)
        for hour in range(max(starts, first) // 3600 * 3600, min(ends, last), 3600):
            rows.append(
                make.pod_hour(
                    pod["name"],
                    node_id(node),
                    pod_name=pod["name"],
                    usage_hour=hour_of(hour),
                    bound_seconds=min(ends, hour + 3600) - max(starts, hour),
                    vcpu_requested=vcpus,
                    memory_requested_gib=memory,
                    accelerators_requested=make.gpus(devices) if devices else "{}",
                )
            )
    return rows


def test_the_trace_placed_on_priced_instances_splits_exactly(
    world, make: SimpleNamespace, real_data: Path
) -> None:
    nodes = read_csv(real_data / "openb" / "openb_node_list_gpu_node.csv")
    pods = read_csv(real_data / "openb" / "openb_pod_list_default.csv")
    types = priced_types(real_data)
    placed = place(pods, nodes)
    assert len(placed) > 7000
    pod_hours = pod_hours_of(pods, placed, make)
    used = {int(row["instance_id"][2:], 16) for row in pod_hours}
    of_node = {number: type_for(nodes[number], types) for number in used}
    node_hours = node_hours_of(used, of_node, make)
    world.write(node_hours, pod_hours, equivalents=[])
    assert write_equivalents(world.warehouse, world.lake, world.month) > 10

    result = world.split()

    assert result.pod_hours == len(pod_hours) > 10_000
    assert result.unknown_pod_hours == 0
    price = {
        node_id(number): Decimal(row["on_demand_usd_per_hour_us_east_1"])
        for number, row in of_node.items()
    }
    parts = " + ".join(
        f"{resource}_{{basis}}_{part}_usd"
        for resource in RESOURCES
        for part in ("split", "unused")
    )
    files = {
        table: [str(path) for path in world.lake.files(table, world.month)]
        for table in ("pod_costs", "unallocated_costs")
    }
    for basis in BASES:
        found = defaultdict(Decimal)
        for node, hour, usd in duckdb.execute(
            f"""
            select instance_id, usage_hour, sum({parts.format(basis=basis)})
            from read_parquet($pod_costs) group by all
            union all
            select instance_id, usage_hour, sum({basis}_usd)
            from read_parquet($unallocated_costs) group by all
            """,
            files,
        ).fetchall():
            found[node, hour] += usd
        assert len(found) == len(node_hours)
        assert all(usd == price[node] for (node, _), usd in found.items())
    held = sum(
        size_of_pod(pods[number])[0]
        * (
            max(
                0,
                min(int(pods[number]["deletion_time"]), (FIRST_DAY + DAYS) * DAY)
                - max(int(pods[number]["scheduled_time"]), FIRST_DAY * DAY),
            )
        )
        for number in placed
    )
    booked = sum(world.pod_costs()["accelerator_allocated_hours"].to_pylist())
    assert abs(booked - held / 3600) < 1e-6
