"""One batch through the kernel: pod-hours and node-hours in, rows of ``pod_costs`` out.

Holds the step between columns and plain arrays, and the gate: no row leaves before every
pool of its node-hour adds up. An engine calls ``split_batch`` with any batch of whole
node-hours, in any process; nothing here knows of files, days or engines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES, POD_COSTS, RESOURCES, UNIT_DIGITS
from orchestration.split import kernel
from orchestration.split.money import money
from orchestration.split.node_hours import NodeHours
from orchestration.split.pod_hours import Segments, find_segments
from orchestration.split.requests import Equivalents

_FROM_NODE_HOUR = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "usage_type_prefix",
    "instance_type",
)

_FROM_POD = (
    "instance_id",
    "namespace",
    "pod_name",
    "pod_uid",
    "workload_type",
    "workload_name",
    "deployment",
    "labels",
    "usage_hour",
    "bound_seconds",
)

_FROM_POD_ELSE_NODE_HOUR = ("cluster_name", "node_name")

_POD_STORAGE = [name for name in POD_COSTS.names if name.startswith("storage_")]
"""Columns that only pods on Fargate have a value in."""


class Scratch:
    """Memory for the figures of one batch, taken again by the next.

    Fresh pages for every day cost more than the arithmetic. A table that ``split_batch``
    built on a scratch is valid until the next batch on it.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.int64]] = {}

    def integers(self, name: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """A C-contiguous array with whatever the last batch left in it."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, np.int64)
        return buffer[:size].reshape(shape)

    def doubles(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Likewise, of doubles."""
        return self.integers(name, shape).view(np.float64)


@dataclass
class Coverage:
    """What the pods seen so far reach of a set of node-hours.

    Attributes:
        has_pods: Whether a pod ran there; shape (n,).
        is_claimed: Whether a pod claims any of it; shape (n, resources).
        cluster_names: Cluster of a pod there, where something is unclaimed and the
            node-hour knows no cluster of its own; shape (n,).
    """

    has_pods: NDArray[np.bool_]
    is_claimed: NDArray[np.bool_]
    cluster_names: NDArray[np.object_]

    @classmethod
    def none_of(cls, node_hours: NodeHours) -> Coverage:
        """Before any pod."""
        return cls(
            has_pods=np.zeros(len(node_hours), np.bool_),
            is_claimed=np.zeros((len(node_hours), len(RESOURCES)), np.bool_),
            cluster_names=np.full(len(node_hours), None, np.object_),
        )


@dataclass(frozen=True)
class BatchSplit:
    """The split of one batch.

    Attributes:
        pod_costs: Rows of ``pod_costs`` in the order of the pods, strings as dictionaries.
        units: Split and unused of all rows in units of 1e-10 USD; shape (bases,).
        unknown_pod_hours: Pod-hours left out: the bill does not know their node-hour.
    """

    pod_costs: pa.Table
    units: NDArray[np.int64]
    unknown_pod_hours: int = 0


_NOTHING = BatchSplit(POD_COSTS.empty_table(), np.zeros(len(BASES), np.int64))


def split_batch(
    pods: pa.Table,
    node_hours: NodeHours,
    equivalents: Equivalents,
    coverage: Coverage,
    scratch: Scratch | None = None,
) -> BatchSplit:
    """Split node-hours among the pods of a batch.

    Args:
        pods: Columns ``pod_hours.COLUMNS``, ordered by (``instance_id``, ``usage_hour``,
            ``pod_uid``), with all pods of each of its node-hours.
        node_hours: At least those of the batch, as far as the bill knows them.
        equivalents: What accelerator requests count as.
        coverage: Of ``node_hours``; marked with what this batch reaches.
        scratch: Memory to work in; fresh memory if none.

    Raises:
        PodledgerError: Pods are out of order or claim what is not a number, a request has
            no device equivalent, a node-hour comes in two batches, or parts miss their
            pool.
    """
    if len(pods) == 0:
        return _NOTHING
    pods = _encode_strings(pods)
    segments = find_segments(pods)
    of_segment = _find_node_hours(pods, segments, node_hours)
    starts = segments.starts
    unknown_pod_hours = 0
    if np.any(of_segment < 0):
        lengths = np.diff(starts)
        is_known = np.repeat(of_segment >= 0, lengths)
        unknown_pod_hours = int(np.count_nonzero(~is_known))
        if not is_known.any():
            return replace(_NOTHING, unknown_pod_hours=unknown_pod_hours)
        pods = pods.filter(pa.array(is_known)).combine_chunks()
        lengths, of_segment = lengths[of_segment >= 0], of_segment[of_segment >= 0]
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    _mark_pods(of_segment, node_hours, coverage)
    of_row = np.repeat(of_segment, np.diff(starts))
    figures = _Figures.in_scratch(len(pods), scratch or Scratch())
    _fill_claims(pods, of_row, node_hours, equivalents, figures)
    kernel.apportion(
        starts,
        of_segment,
        node_hours.capacity_hours,
        node_hours.pools,
        figures.allocated,
        figures.ratios,
        figures.split,
        figures.unused,
        coverage.is_claimed,
    )
    check_parts(starts, of_segment, node_hours, figures.split, figures.unused, coverage)
    _note_clusters(pods, starts, of_segment, node_hours, coverage)
    return BatchSplit(
        pod_costs=_pod_costs(pods, of_row, node_hours, figures),
        units=figures.split.sum(axis=(0, 2)) + figures.unused.sum(axis=(0, 2)),
        unknown_pod_hours=unknown_pod_hours,
    )


def check_parts(
    starts: NDArray[np.int64],
    of_segment: NDArray[np.int64],
    node_hours: NodeHours,
    split: NDArray[np.int64],
    unused: NDArray[np.int64],
    coverage: Coverage,
) -> None:
    """Hold the parts of every pool against the pool, in whole units.

    Raises:
        PodledgerError: The parts of a pool do not add up to it.
    """
    segment, resource, basis, residual = kernel.first_residual(
        starts, of_segment, node_hours.pools, split, unused, coverage.is_claimed
    )
    if segment >= 0:
        raise PodledgerError(
            f"The {RESOURCES[resource]} of {node_hours.name(int(of_segment[segment]))} does"
            f" not add up for the basis {BASES[basis]}: the parts of its pods miss it by"
            f" {residual} units of 1e-{UNIT_DIGITS} USD. Nothing was written. This is a"
            " fault of podledger, not of the input: report it with this message."
        )


@dataclass(frozen=True)
class _Figures:
    """Figures of a batch: hours as (resources, rows), money as (resources, bases, rows)."""

    reserved: NDArray[np.float64]
    used: NDArray[np.float64]
    allocated: NDArray[np.float64]
    ratios: NDArray[np.float64]
    split: NDArray[np.int64]
    unused: NDArray[np.int64]

    @classmethod
    def in_scratch(cls, rows: int, scratch: Scratch) -> _Figures:
        hours = (len(RESOURCES), rows)
        money = (len(RESOURCES), len(BASES), rows)
        return cls(
            reserved=scratch.doubles("reserved", hours),
            used=scratch.doubles("used", hours),
            allocated=scratch.doubles("allocated", hours),
            ratios=scratch.doubles("ratios", hours),
            split=scratch.integers("split", money),
            unused=scratch.integers("unused", money),
        )


def _encode_strings(pods: pa.Table) -> pa.Table:
    """Each column as one chunk, strings as dictionaries, whatever reader they come from."""
    pods = pods.unify_dictionaries().combine_chunks()
    for position, column in enumerate(pods.columns):
        if pa.types.is_string(column.type):
            pods = pods.set_column(
                position, pods.field(position).name, column.dictionary_encode()
            )
    return pods


def _find_node_hours(
    pods: pa.Table, segments: Segments, node_hours: NodeHours
) -> NDArray[np.int64]:
    """Index of each segment's node-hour; -1 where the bill does not know it."""
    known = pc.index_in(pods["instance_id"].chunk(0).dictionary, node_hours.instances)
    instances = known.fill_null(-1).to_numpy()[segments.instances]
    hours = segments.hours - node_hours.first_hour
    spread = node_hours.lookup.shape[1]
    is_inside = (instances >= 0) & (hours >= 0) & (hours < spread)
    found = np.full(len(instances), -1, np.int64)
    found[is_inside] = node_hours.lookup[instances[is_inside], hours[is_inside]]
    return found


def _mark_pods(
    of_segment: NDArray[np.int64], node_hours: NodeHours, coverage: Coverage
) -> None:
    again = of_segment[coverage.has_pods[of_segment]]
    if again.size:
        raise PodledgerError(
            f"raw/pod_hours comes back to {node_hours.name(int(again[0]))} after other"
            " node-hours. Nothing was written. Read the inventory of the month again"
            " (podledger close); if it stays, something else wrote into the lake."
        )
    coverage.has_pods[of_segment] = True


def _note_clusters(
    pods: pa.Table,
    starts: NDArray[np.int64],
    of_segment: NDArray[np.int64],
    node_hours: NodeHours,
    coverage: Coverage,
) -> None:
    """Keep a pod's cluster for node-hours that have something unclaimed and know none."""
    clusters = pods["cluster_name"].chunk(0)
    rows = np.where(clusters.is_valid(), np.arange(len(pods)), len(pods))
    first_rows = np.minimum.reduceat(rows, starts[:-1])
    is_unclaimed = node_hours.is_weighed & ~coverage.is_claimed
    is_clusterless = np.asarray(node_hours.strings["cluster_name"].is_null())
    wanted = (is_unclaimed.any(axis=1) & is_clusterless)[of_segment] & (
        first_rows < len(pods)
    )
    names = clusters.take(pa.array(first_rows[wanted])).to_pylist()
    coverage.cluster_names[of_segment[wanted]] = names


def _fill_claims(
    pods: pa.Table,
    of_row: NDArray[np.int64],
    node_hours: NodeHours,
    equivalents: Equivalents,
    figures: _Figures,
) -> None:
    """Fill reserved, used and allocated hours of every resource.

    Raises:
        PodledgerError: See ``split_batch``.
    """
    bound_seconds = pods["bound_seconds"].chunk(0).to_numpy()
    rates = {
        "accelerator": (
            _devices(pods, of_row, node_hours, equivalents),
            _doubles(pods["accelerators_used"]),
        ),
        "vcpu": (_doubles(pods["vcpu_requested"]), _doubles(pods["vcpu_used"])),
        "memory": (
            _doubles(pods["memory_requested_gib"]),
            _doubles(pods["memory_used_gib"]),
        ),
    }
    for index, resource in enumerate(RESOURCES):
        allocated = figures.allocated[index]
        kernel.fill_claims(
            bound_seconds,
            *rates[resource],
            figures.reserved[index],
            figures.used[index],
            allocated,
        )
        row = kernel.first_bad_claim(allocated)
        if row >= 0:
            raise PodledgerError(
                f"Pod {pods['pod_uid'][row].as_py()!r} on {node_hours.name(of_row[row])}"
                f" claims {allocated[row]} {resource} hours, which is not an amount."
                " Nothing was written. Correct its request and use in the pod inventory."
            )


def _devices(
    pods: pa.Table,
    of_row: NDArray[np.int64],
    node_hours: NodeHours,
    equivalents: Equivalents,
) -> NDArray[np.float64]:
    """Physical devices that each pod's request counts as on its node.

    Raises:
        PodledgerError: The table of equivalents does not know a request.
    """
    requests = pods["accelerators_requested"].chunk(0)
    kinds, kind_keys = node_hours.kinds
    matrix = equivalents.matrix(kind_keys, requests.dictionary.to_pylist())
    devices: NDArray[np.float64] = matrix[kinds[of_row], requests.indices.to_numpy()]
    silent = np.flatnonzero(np.isnan(devices))
    if silent.size:
        row = int(silent[0])
        instance_type, labels = kind_keys[kinds[of_row[row]]]
        raise PodledgerError(
            f"accelerator_equivalents does not say how many devices {requests[row].as_py()}"
            f" is on {instance_type} with the labels {labels}, which pod"
            f" {pods['pod_uid'][row].as_py()!r} requests on {node_hours.name(of_row[row])}."
            " Nothing was written. Build accelerator_equivalents of the month again"
            " (podledger close)."
        )
    return devices


def _doubles(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values of a column, NaN for null."""
    doubles: NDArray[np.float64] = column.chunk(0).to_numpy(zero_copy_only=False)
    return doubles


def _pod_costs(
    pods: pa.Table, of_row: NDArray[np.int64], node_hours: NodeHours, figures: _Figures
) -> pa.Table:
    """Columns of ``pod_costs`` over the figures' own memory, without copying it."""
    rows = pa.array(of_row)
    columns: dict[str, pa.Array] = {name: pods[name].chunk(0) for name in _FROM_POD}
    for name in _FROM_NODE_HOUR:
        columns[name] = node_hours.strings[name].take(rows)
    for name in _FROM_POD_ELSE_NODE_HOUR:
        columns[name] = _first_known(pods[name].chunk(0), node_hours.strings[name], rows)
    columns["is_accelerated"] = pa.array(node_hours.is_accelerated[of_row])
    columns["method_version"] = pa.array(node_hours.method_version[of_row])
    is_known = {
        basis: None if known.all() else known[of_row]
        for basis, known in zip(BASES, node_hours.is_known.T, strict=True)
    }
    for index, resource in enumerate(RESOURCES):
        columns[f"{resource}_reserved_hours"] = pa.array(figures.reserved[index])
        columns[f"{resource}_used_hours"] = pa.array(figures.used[index], from_pandas=True)
        columns[f"{resource}_allocated_hours"] = pa.array(figures.allocated[index])
        columns[f"{resource}_split_usage_ratio"] = pa.array(figures.ratios[index])
        for number, basis in enumerate(BASES):
            split, unused = figures.split[index, number], figures.unused[index, number]
            columns[f"{resource}_{basis}_split_usd"] = money(split, is_known[basis])
            columns[f"{resource}_{basis}_unused_usd"] = money(unused, is_known[basis])
    for name in _POD_STORAGE:
        columns[name] = pa.nulls(len(pods), POD_COSTS.field(name).type)
    return pa.Table.from_arrays(
        [columns[name] for name in POD_COSTS.names], names=POD_COSTS.names
    )


def _first_known(
    of_pods: pa.DictionaryArray, of_node_hours: pa.DictionaryArray, rows: pa.Array
) -> pa.DictionaryArray:
    """What the pod says; where it says nothing, what its node-hour says."""
    if of_pods.null_count == 0:
        return of_pods
    return pc.coalesce(
        of_pods.dictionary_decode(), of_node_hours.take(rows).dictionary_decode()
    ).dictionary_encode()
