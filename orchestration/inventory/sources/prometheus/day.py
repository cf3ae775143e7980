"""One day of one cluster: from answers to rows of the contract.

Holds the order in which a day is asked for, and how its grids become Arrow batches, an hour
each. What the grids mean is in ``pods``, ``usage`` and ``devices``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from orchestration.inventory.gaps import Gap, stretches
from orchestration.inventory.sources.days import (
    DAY_NODE_HOURS,
    DAY_POD_HOURS,
    DAY_QUOTA_HOURS,
    day_start,
)
from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.address import Address
from orchestration.inventory.sources.prometheus.client import Prober
from orchestration.inventory.sources.prometheus.devices import (
    add_claims,
    add_fractions,
    find_busy_devices,
)
from orchestration.inventory.sources.prometheus.gathering import (
    Asker,
    Floats,
    held_on,
    own,
)
from orchestration.inventory.sources.prometheus.names import resource_name
from orchestration.inventory.sources.prometheus.pods import (
    Nodes,
    Pods,
    find_nodes,
    find_pods,
    find_requests,
    find_workloads,
)
from orchestration.inventory.sources.prometheus.quotas import Quotas, find_quotas
from orchestration.inventory.sources.prometheus.usage import find_usage
from orchestration.inventory.sources.prometheus.window import (
    DAY_SECONDS,
    HOUR_SECONDS,
    Blank,
    day_window,
)
from orchestration.kubernetes.quotas import BASIC
from orchestration.kubernetes.workloads import Workload
from orchestration.lake.schemas import HOUR, STRING

_INSTANCE_TYPE = "node.kubernetes.io/instance-type"


@dataclass(frozen=True)
class Day:
    """What was found of a day.

    Attributes:
        pod_hours: Batches of rows, an hour each, as they are made.
        node_hours: The same of nodes.
        gaps: What is not known.
        hints: By metric that no pod had: what that means, and how to have it; by label
            ``provider_id``: whose pods are left out.
        pod_hour_count: Rows of pods.
        pod_count: Pods.
        node_count: Nodes.
        quota_hours: Batches of rows of quotas; None if they were not asked for.
    """

    pod_hours: Iterator[pa.RecordBatch]
    node_hours: Iterator[pa.RecordBatch]
    gaps: list[Gap]
    hints: dict[str, str]
    pod_hour_count: int
    pod_count: int
    node_count: int
    quota_hours: Iterator[pa.RecordBatch] | None = None


def gather_day(
    client: Prober, address: Address, day: dt.date, blanks: Sequence[Blank]
) -> Day:
    """Ask for a day.

    Args:
        client: The server.
        address: Which cluster, and how finely.
        day: The day, UTC.
        blanks: Gaps of kube-state-metrics around it.

    Raises:
        PodledgerError: The server fails, or a metric is missing without which there are
            no pod-hours.
    """
    midnight = int(day_start(day).timestamp())
    window = day_window(midnight, blanks)
    asker = Asker(client, address.selector, address.step, window)
    first = (midnight - window.first) // HOUR_SECONDS
    hours = range(first, first + 24)
    gaps = _blank_gaps(blanks, midnight)
    end = window.first + window.count * HOUR_SECONDS
    if any(blank.start <= window.first and blank.end >= end for blank in blanks):
        no_quotas = iter(()) if address.quotas else None
        return Day(iter(()), iter(()), gaps, {}, 0, 0, 0, no_quotas)

    when = f"on {day}"
    nodes = find_nodes(asker, address.uri, when)
    pods = find_pods(asker, nodes, address.uri)
    seconds = pods.bound(window.starts)
    workloads = find_workloads(asker, pods)
    requests = find_requests(asker, pods, address.uri, when)
    usage = find_usage(asker, pods)
    add_claims(asker, pods, requests.devices)
    add_fractions(asker, pods, requests.devices)
    busy = find_busy_devices(asker, pods, nodes, requests.devices, usage.share)
    labels = asker.label_sets(
        queries.POD_LABELS, len(pods), lambda found: next(iter(pods.rows(found)), None)
    )

    quotas = find_quotas(asker) if address.quotas else None
    effects = dict.fromkeys(pods.lacks, "times are exact to the scrape only")
    if len(labels[0]) == 1:
        effects["kube_pod_labels"] = "no pod has labels"
    if not np.isfinite(usage.vcpu).any():
        effects[queries.CPU] = "vCPU use is not measured"
    if not np.isfinite(usage.memory_gib).any():
        effects[queries.MEMORY] = "memory use is not measured"
    if quotas == {}:
        effects[queries.QUOTAS.metric] = "no quotas are known"
    hints = {
        metric: f"no label or sample of {metric} {when}: {effect}."
        f" {queries.HOW_TO_SWITCH_ON[metric]} to have it."
        for metric, effect in effects.items()
        if len(pods)
    }
    needs_no_measure = ~(seconds > 0).any(axis=0)
    gaps += _use_gaps((usage.is_measured | needs_no_measure)[first : first + 24], midnight)
    unknown, foreign = _unplaced(pods, nodes, seconds[:, first : first + 24], midnight)
    gaps += unknown
    if foreign:
        hints["provider_id"] = (
            f"pods on {len(foreign)} nodes that are not EC2 instances"
            f" ({', '.join(sorted(foreign)[:3])}) are left out {when}."
        )

    is_placed = pods.node >= 0
    texts = _PodTexts(pods, nodes, workloads, address)

    def pod_batches() -> Iterator[pa.RecordBatch]:
        for hour in hours:
            rows = np.flatnonzero((seconds[:, hour] > 0) & is_placed)
            if not rows.size:
                continue
            columns = texts.columns(rows)
            columns |= {
                "usage_hour": _hour(window.starts[hour], rows.size),
                "bound_seconds": pa.array(seconds[rows, hour], pa.int32()),
                "vcpu_requested": pa.array(requests.vcpu[rows, hour]),
                "memory_requested_gib": pa.array(requests.memory_gib[rows, hour]),
                "vcpu_used": _nullable(usage.vcpu[rows, hour]),
                "memory_used_gib": _nullable(usage.memory_gib[rows, hour]),
                "accelerators_requested": _requested(rows, hour, requests.devices),
                "accelerators_used": _nullable(
                    np.array([_at(busy.get(int(row)), hour) for row in rows])
                ),
                "labels": pa.array(labels[0], STRING).take(pa.array(labels[1][rows, hour])),
            }
            yield _batch(columns, DAY_POD_HOURS)

    return Day(
        pod_hours=pod_batches(),
        node_hours=_node_batches(asker, nodes, address, hours),
        gaps=gaps,
        hints=hints,
        pod_hour_count=int((seconds[is_placed][:, first : first + 24] > 0).sum()),
        pod_count=int((seconds[is_placed][:, first : first + 24] > 0).any(axis=1).sum()),
        node_count=len(nodes.name),
        quota_hours=None
        if quotas is None
        else _quota_batches(asker, quotas, address, hours),
    )


class _PodTexts:
    """Columns of pods that do not change by hour."""

    def __init__(
        self,
        pods: Pods,
        nodes: Nodes,
        workloads: list[Workload],
        address: Address,
    ) -> None:
        placed = [node if node >= 0 else None for node in pods.node.tolist()]
        size = len(pods)
        self._columns = {
            "cluster_name": [address.cluster] * size,
            "account_id": [address.account] * size,
            "region": [None if n is None else nodes.region[n] for n in placed],
            "node_name": pods.node_name,
            "instance_id": [None if n is None else nodes.instance_id[n] for n in placed],
            "namespace": pods.namespace,
            "pod_name": pods.name,
            "pod_uid": pods.uid,
            "workload_type": [workload.kind for workload in workloads],
            "workload_name": [workload.name for workload in workloads],
            "deployment": [workload.deployment for workload in workloads],
        }
        self._arrays = {
            name: pa.array(values, STRING) for name, values in self._columns.items()
        }

    def columns(self, rows: np.ndarray) -> dict[str, pa.Array]:
        """Those of some pods."""
        chosen = pa.array(rows)
        return {name: values.take(chosen) for name, values in self._arrays.items()}


def _requested(
    rows: np.ndarray, hour: int, devices: dict[str, dict[int, Floats]]
) -> pa.Array:
    texts = []
    for row in rows.tolist():
        quantities = {
            resource: _number(by_pod[row][hour])
            for resource, by_pod in devices.items()
            if row in by_pod and by_pod[row][hour] > 0
        }
        texts.append(_json(quantities))
    return pa.array(texts, STRING)


def _node_batches(
    asker: Asker, nodes: Nodes, address: Address, hours: range
) -> Iterator[pa.RecordBatch]:
    size = len(nodes.name)

    names = sorted(set(nodes.name))
    row_of = {name: row for row, name in enumerate(names)}
    texts, codes = asker.label_sets(
        queries.NODE_LABELS, len(names), lambda labels: row_of.get(own(labels, "node"))
    )
    allocatable: dict[str, dict[str, Floats]] = {name: {} for name in names}
    for series in asker.ask(queries.ALLOCATABLE):
        resources = allocatable.get(own(series.labels, "node"))
        if resources is None:
            continue
        resource = resource_name(series.labels.get("resource", ""))
        values = resources.setdefault(resource, np.full(asker.window.count, np.nan))
        values[series.positions] = series.values
    for resources in allocatable.values():
        for resource, values in resources.items():
            resources[resource] = held_on(values[None])[0]
    for hour in hours:
        begin = asker.window.starts[hour]
        rows = [
            row
            for row in range(size)
            if nodes.first_seen[row] < begin + HOUR_SECONDS
            and nodes.last_seen[row] >= begin
        ]
        if not rows:
            continue
        labels = [texts[codes[row_of[nodes.name[row]], hour]] for row in rows]
        columns = {
            "cluster_name": [address.cluster] * len(rows),
            "node_name": [nodes.name[row] for row in rows],
            "instance_id": [nodes.instance_id[row] for row in rows],
            "usage_hour": _hour(begin, len(rows)),
            "instance_type": [json.loads(text).get(_INSTANCE_TYPE) for text in labels],
            "labels": labels,
            "allocatable": [
                _json(
                    {
                        resource: _number(values[hour])
                        for resource, values in allocatable[nodes.name[row]].items()
                        if np.isfinite(values[hour])
                    }
                )
                for row in rows
            ],
        }
        yield _batch(columns, DAY_NODE_HOURS)


def _quota_batches(
    asker: Asker, quotas: Quotas, address: Address, hours: range
) -> Iterator[pa.RecordBatch]:
    for hour in hours:
        names = [
            name
            for name in sorted(quotas)
            if any(np.isfinite(values[hour]) for values in quotas[name].values())
        ]
        if not names:
            continue
        vcpu, memory = (
            np.array([_at(quotas[name].get(resource), hour) for name in names])
            for resource in BASIC
        )
        columns = {
            "cluster_name": [address.cluster] * len(names),
            "usage_hour": _hour(asker.window.starts[hour], len(names)),
            "namespace": names,
            "vcpu_hard": _nullable(vcpu),
            "memory_hard_gib": _nullable(memory),
            "accelerators_hard": [
                _json(
                    {
                        resource: _number(values[hour])
                        for resource, values in quotas[name].items()
                        if resource not in BASIC and np.isfinite(values[hour])
                    }
                )
                for name in names
            ],
        }
        yield _batch(columns, DAY_QUOTA_HOURS)


def _blank_gaps(blanks: Sequence[Blank], midnight: int) -> list[Gap]:
    gaps = []
    for blank in blanks:
        start, end = max(blank.start, midnight), min(blank.end, midnight + DAY_SECONDS)
        if start < end:
            consequence = (
                "no pod of this time is known, unless there was no cluster yet or any more"
                if blank.is_open
                else "it is too long to know which pods lived through it"
                if not blank.is_bridged
                else "pods seen before and after count as bound, pods that only lived"
                " within are not known"
            )
            gaps.append(Gap(_utc(start), _utc(end), "kube-state-metrics", consequence))
    return gaps


def _use_gaps(is_measured: np.ndarray, midnight: int) -> list[Gap]:
    """Runs of hours with pods and without any sample of any container."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], is_measured, [True]))))
    return [
        Gap(
            _utc(midnight + int(start) * HOUR_SECONDS),
            _utc(midnight + int(end) * HOUR_SECONDS),
            "cAdvisor",
            "use of vCPU and memory is not measured",
        )
        for start, end in edges.reshape(-1, 2)
    ]


def _unplaced(
    pods: Pods, nodes: Nodes, seconds: np.ndarray, midnight: int
) -> tuple[list[Gap], set[str]]:
    """Hours of pods whose node is unknown, and the nodes of pods that are no instances."""
    is_unplaced = (pods.node < 0) & (seconds > 0).any(axis=1)
    of_row = {int(row): pods.node_name[row] for row in np.flatnonzero(is_unplaced)}
    foreign = nodes.foreign & set(of_row.values())
    rows = [row for row, name in of_row.items() if name not in foreign]
    names = sorted({of_row[row] for row in rows})
    gaps = stretches(
        [
            _utc(midnight + int(hour) * HOUR_SECONDS)
            for hour in np.flatnonzero((seconds[rows] > 0).any(axis=0))
        ],
        f"kube_node_info of {len(names)} nodes ({', '.join(names[:3])})",
        f"{seconds[rows].sum() / HOUR_SECONDS:.1f} pod-hours on them are left out",
    )
    return gaps, foreign


def _batch(columns: dict[str, object], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            values
            if isinstance(values, pa.Array)
            else pa.array(values, schema.field(name).type)
            for name, values in ((name, columns[name]) for name in schema.names)
        ],
        schema=schema,
    )


def _hour(start: int, size: int) -> pa.Array:
    return pa.array(np.full(size, start * 1_000_000, np.int64)).cast(HOUR)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _at(values: Floats | None, hour: int) -> float:
    return float("nan") if values is None else float(values[hour])


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)


def _json(quantities: dict[str, float | int]) -> str:
    return json.dumps(quantities, sort_keys=True)


def _utc(moment: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(moment, dt.UTC)
