"""Laws of one batch: columns in, rows of ``pod_costs`` out, nothing lost on the way."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES, POD_COSTS, RESOURCES
from orchestration.split import kernel
from orchestration.split.batch import Coverage, check_parts
from orchestration.split.node_hours import POOL_COLUMNS, NodeHours

REQUESTED = {
    "accelerator": None,
    "vcpu": "vcpu_requested",
    "memory": "memory_requested_gib",
}
USED = {
    "accelerator": "accelerators_used",
    "vcpu": "vcpu_used",
    "memory": "memory_used_gib",
}


def random_batch(seed: int, make: SimpleNamespace) -> tuple[list[dict], list[dict]]:
    """Node-hours of every kind: crowded, idle, credited, partial, without accelerators."""
    draw = random.Random(seed)
    node_hours, pods = [], []
    for number in range(draw.randint(1, 60)):
        node = f"i-{draw.randrange(16**6):06x}{number}"
        share_of_hour = draw.choice([1.0, 1.0, draw.random()])
        money = {
            name: draw.choice([0, 1, -3, draw.randrange(10**12), -draw.randrange(10**9)])
            for name in POOL_COLUMNS
        }
        node_hours.append(
            make.node_hour(
                instance_id=node,
                **{name: Decimal(units).scaleb(-10) for name, units in money.items()},
                vcpu_capacity_hours=48 * share_of_hour,
                accelerator_capacity_hours=4 * share_of_hour,
            )
        )
        for uid in range(draw.choice([0, 1, 2, 5, 30])):
            devices = draw.choice([0, 0, 1, 2])
            pods.append(
                make.pod_hour(
                    f"{draw.randrange(16**8):08x}-{uid}",
                    node,
                    bound_seconds=draw.choice([0, 1, 1800, 3599, 3600]),
                    vcpu_requested=draw.choice([0.0, 0.25, draw.random() * 40]),
                    vcpu_used=draw.choice([None, 0.0, draw.random() * 8]),
                    memory_requested_gib=draw.choice([0.0, draw.random() * 200]),
                    memory_used_gib=draw.choice([None, draw.random() * 200]),
                    accelerators_requested=make.gpus(devices) if devices else "{}",
                    accelerators_used=draw.choice([None, None, draw.random() * 2]),
                )
            )
    return node_hours, pods


def claim_of(pod: dict, resource: str) -> float:
    """The larger of reserved and used, in resource-hours, as method.md has it."""
    hours = pod["bound_seconds"] / 3600.0
    if resource == "accelerator":
        request = pod["accelerators_requested"]
        requested = 0.0 if request == "{}" else float(request.split(":")[1].rstrip("}"))
    else:
        requested = pod[REQUESTED[resource]]
    used = pod[USED[resource]]
    return max(requested * hours, 0.0 if used is None else used * hours)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_pool_of_a_batch_is_split_exactly_or_left_whole(
    make: SimpleNamespace, seed: int
) -> None:
    node_hours, pods = random_batch(seed, make)
    rows = make.split_rows(node_hours, pods).pod_costs.to_pylist()
    assert len(rows) == len(pods)
    of_node = {row["instance_id"]: row for row in node_hours}
    by_uid = {pod["pod_uid"]: pod for pod in pods}
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["instance_id"], []).append(row)
    for node, group in groups.items():
        for resource in RESOURCES:
            claims = [claim_of(by_uid[row["pod_uid"]], resource) for row in group]
            assert claims == [row[f"{resource}_allocated_hours"] for row in group]
            capacity = of_node[node][f"{resource}_capacity_hours"]
            for basis in BASES:
                pool = make.units_of(of_node[node][f"{resource}_{basis}_usd"])
                split = [make.units_of(r[f"{resource}_{basis}_split_usd"]) for r in group]
                unused = [make.units_of(r[f"{resource}_{basis}_unused_usd"]) for r in group]
                if not any(claims):
                    assert not any(split + unused)
                    continue
                assert sum(split) + sum(unused) == pool
                exact = make.exact_parts(pool, claims, capacity)
                for parts, reals in zip((split, unused), exact, strict=True):
                    for part, real in zip(parts, reals, strict=True):
                        assert abs(part - real) <= 1 + Fraction(abs(pool), 2**57)


def test_the_order_in_which_pods_were_read_changes_no_byte(make: SimpleNamespace) -> None:
    node_hours, pods = random_batch(11, make)
    first = make.split_rows(node_hours, pods).pod_costs
    shuffler = random.Random(3)
    for _ in range(3):
        shuffler.shuffle(pods)
        shuffler.shuffle(node_hours)
        again = make.split_rows(node_hours, pods).pod_costs
        assert again.cast(POD_COSTS).equals(first.cast(POD_COSTS))


def test_strings_may_come_plain_or_encoded(make: SimpleNamespace) -> None:
    node_hours, pods = random_batch(12, make)
    table = make.sorted_pods(pods)
    encoded = table
    for position, field in enumerate(table.schema):
        if field.type == pa.string():
            column = table[field.name].dictionary_encode()
            encoded = encoded.set_column(position, field.name, column)
    plain, dictionaries = (make.split_rows(node_hours, rows) for rows in (table, encoded))
    assert plain.pod_costs.cast(POD_COSTS).equals(dictionaries.pod_costs.cast(POD_COSTS))


@pytest.mark.parametrize(
    "swap",
    [
        pytest.param([1, 0, 2], id="pods of a node-hour"),
        pytest.param([2, 0, 1], id="instances"),
        pytest.param([0, 0, 2], id="a pod twice"),
    ],
)
def test_pods_out_of_order_are_refused(make: SimpleNamespace, swap: list[int]) -> None:
    pods = make.sorted_pods(
        [
            make.pod_hour("a", "i-1"),
            make.pod_hour("b", "i-1"),
            make.pod_hour("a", "i-2"),
        ]
    )
    nodes = [make.node_hour(instance_id=node) for node in ("i-1", "i-2")]
    with pytest.raises(PodledgerError, match="out of order or repeats a key at pod"):
        make.split_rows(nodes, pods.take(swap))


def test_pods_are_ordered_by_the_bytes_of_their_uids(make: SimpleNamespace) -> None:
    uids = ["", "Z", "a", "a0", "é", "\U0001f600"]
    pods = make.sorted_pods([make.pod_hour(uid) for uid in reversed(uids)])
    assert pods["pod_uid"].to_pylist() == uids
    assert len(make.split_rows([make.node_hour()], pods).pod_costs) == len(uids)


def test_pods_on_instances_that_the_bill_does_not_know_are_counted_and_left_out(
    make: SimpleNamespace,
) -> None:
    split = make.split_rows(
        [make.node_hour(instance_id="i-2")],
        [
            make.pod_hour("a", "i-1", bound_seconds=1800),
            make.pod_hour("b", "i-2"),
            make.pod_hour("c", "i-2", usage_hour=make.hour.replace(hour=6)),
            make.pod_hour("d", "i-3"),
        ],
    )
    assert split.pod_costs["pod_uid"].to_pylist() == ["b"]
    assert split.unknown_pod_hours == 3


def test_a_batch_that_the_bill_knows_nothing_of_has_no_rows(make: SimpleNamespace) -> None:
    for nodes in ([], [make.node_hour(instance_id="i-other")]):
        split = make.split_rows(nodes, [make.pod_hour("a"), make.pod_hour("b")])
        assert len(split.pod_costs) == 0
        assert not split.units.any()
        assert split.unknown_pod_hours == 2


def test_a_use_that_was_not_measured_stays_null_and_a_measured_zero_stays_zero(
    make: SimpleNamespace,
) -> None:
    split = make.split_rows(
        [make.node_hour()], [make.pod_hour("a"), make.pod_hour("b", vcpu_used=0.0)]
    )
    assert split.pod_costs["vcpu_used_hours"].to_pylist() == [None, 0.0]
    assert split.pod_costs["vcpu_allocated_hours"].to_pylist() == [2.0, 2.0]


def test_a_pod_that_neither_requests_nor_uses_keeps_its_row_at_zero(
    make: SimpleNamespace,
) -> None:
    idle = make.pod_hour("idle", vcpu_requested=0.0, memory_requested_gib=0.0)
    rows = make.split_rows([make.node_hour()], [make.pod_hour("busy"), idle]).pod_costs
    by_uid = {row["pod_uid"]: row for row in rows.to_pylist()}
    money = [value for name, value in by_uid["idle"].items() if name.endswith("_usd")]
    assert money
    assert not any(money)
    assert by_uid["busy"]["vcpu_amortized_split_usd"] > 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("vcpu_requested", -1.0),
        ("vcpu_used", float("inf")),
        ("memory_requested_gib", float("nan")),
        ("bound_seconds", -1),
    ],
)
def test_a_claim_that_is_no_amount_stops_the_split_and_names_the_pod(
    make: SimpleNamespace, column: str, value: float
) -> None:
    bad = make.pod_hour("bad", **{column: value})
    with pytest.raises(PodledgerError, match=r"'bad' on i-0a at 2026-10-01 05:00 UTC"):
        make.split_rows([make.node_hour()], [make.pod_hour("a"), bad])


def test_a_request_counts_as_many_devices_as_the_table_says_for_its_kind_of_node(
    make: SimpleNamespace,
) -> None:
    request = '{"nvidia.com/gpu":2.0}'
    shared = '{"nvidia.com/gpu.replicas":"8"}'
    split = make.split_rows(
        [
            make.node_hour(instance_id="i-1"),
            make.node_hour(instance_id="i-2", sharing_labels=shared),
        ],
        [
            make.pod_hour("a", "i-1", accelerators_requested=request),
            make.pod_hour("a", "i-2", accelerators_requested=request),
        ],
        [
            make.equivalent(request, 2.0),
            make.equivalent(request, 0.25, sharing_labels=shared),
        ],
    )
    assert split.pod_costs["accelerator_reserved_hours"].to_pylist() == [2.0, 0.25]


def test_a_request_that_the_table_of_equivalents_lacks_stops_the_split(
    make: SimpleNamespace,
) -> None:
    pod = make.pod_hour("odd", accelerators_requested='{"amd.com/gpu":1.0}')
    with pytest.raises(PodledgerError, match=r"how many devices .*amd\.com/gpu.*'odd'"):
        make.split_rows([make.node_hour()], [pod])


def test_cluster_and_node_are_the_pods_and_else_the_node_hours(
    make: SimpleNamespace,
) -> None:
    split = make.split_rows(
        [make.node_hour(cluster_name="billed", node_name="billed-node")],
        [make.pod_hour("a"), make.pod_hour("b", cluster_name=None, node_name=None)],
    )
    assert split.pod_costs["cluster_name"].to_pylist() == ["blue", "billed"]
    assert split.pod_costs["node_name"].to_pylist() == ["ip-10-0-0-1", "billed-node"]


def test_is_accelerated_says_whether_the_method_weighs_the_accelerators(
    make: SimpleNamespace,
) -> None:
    for weight, expected in ((9.0, True), (0.0, False)):
        node = make.node_hour(accelerator_weight=weight)
        split = make.split_rows([node], [make.pod_hour()])
        assert split.pod_costs["is_accelerated"].to_pylist() == [expected]


def test_a_part_that_is_off_by_one_unit_is_caught(make: SimpleNamespace) -> None:
    weighed = NodeHours.from_table(
        pa.Table.from_pylist(
            [make.node_hour(), make.node_hour(instance_id="i-0b")], schema=make.weighed
        )
    )
    starts, of_segment = np.array([0, 2, 3]), np.array([0, 1])
    coverage = Coverage.none_of(weighed)
    shape = (len(RESOURCES), len(BASES), 3)
    split, unused = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    kernel.apportion(
        starts,
        of_segment,
        weighed.capacity_hours,
        weighed.pools,
        np.ones((len(RESOURCES), 3)),
        np.empty((len(RESOURCES), 3)),
        split,
        unused,
        coverage.is_claimed,
    )
    check_parts(starts, of_segment, weighed, split, unused, coverage)
    for parts in (split, unused):
        for position in np.ndindex(shape):
            for change in (1, -1):
                parts[position] += change
                with pytest.raises(PodledgerError, match=f"miss it by {change} units"):
                    check_parts(starts, of_segment, weighed, split, unused, coverage)
                parts[position] -= change


def test_a_kernel_that_loses_a_unit_lets_no_row_out(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = kernel.apportion

    def careless(*arrays: np.ndarray) -> None:
        honest(*arrays)
        arrays[6][1, 2, 0] -= 1

    monkeypatch.setattr(kernel, "apportion", careless)
    with pytest.raises(PodledgerError, match=r"vcpu of i-0a .* basis net_amortized"):
        make.split_rows([make.node_hour()], [make.pod_hour()])
