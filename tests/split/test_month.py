"""Laws of a whole month: every dollar of a node-hour has one place, or nothing moves."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split import kernel, pod_hours


def hour(day: int, of_day: int) -> dt.datetime:
    return dt.datetime(2026, 10, day, of_day, tzinfo=dt.UTC).replace(tzinfo=None)


def test_pods_and_unallocated_add_up_to_every_node_hour(
    world, make: SimpleNamespace
) -> None:
    nodes = [
        make.node_hour(
            {"accelerator": "5.0000000001", "vcpu": "1.7", "memory": "-0.3000000007"},
            node,
            usage_hour=hour(day, of_day),
        )
        for node in ("i-1", "i-2", "i-3")
        for day in (1, 2, 31)
        for of_day in (0, 23)
    ]
    pods = [
        make.pod_hour(
            f"uid-{number}",
            node,
            usage_hour=hour(day, of_day),
            accelerators_requested=make.gpus(1) if node == "i-1" else "{}",
        )
        for node, count in (("i-1", 3), ("i-2", 7))
        for day in (1, 2)
        for of_day in (0, 23)
        for number in range(count)
    ]
    result = world.write(nodes, pods).split()
    assert (result.days, result.node_hours, result.pod_hours) == (3, 18, 40)
    parts = " + ".join(
        f"{r}_amortized_split_usd + {r}_amortized_unused_usd" for r in RESOURCES
    )
    files = {
        table: [str(path) for path in world.lake.files(table, world.month)]
        for table in ("pod_costs", "unallocated_costs")
    }
    sums = duckdb.execute(
        f"""
        with parts as (
            select instance_id, usage_hour, {parts} as usd from read_parquet($pod_costs)
            union all
            select instance_id, usage_hour, amortized_usd
            from read_parquet($unallocated_costs)
        )
        select instance_id, usage_hour, sum(usd) from parts group by all
        """,
        files,
    ).fetchall()
    assert len(sums) == 18
    assert {usd for *_, usd in sums} == {Decimal("6.3999999994")}
    for basis in BASES:
        total = result.pods_usd[basis] + result.unallocated_usd[basis]
        assert total == 18 * Decimal("6.3999999994")


def test_what_no_pod_claims_is_unallocated_with_its_reason(
    world, make: SimpleNamespace
) -> None:
    nodes = [
        make.node_hour({"accelerator": "5", "vcpu": "1", "memory": "2"}, "i-1"),
        make.node_hour({"accelerator": "5", "vcpu": "1", "memory": "2"}, "i-2"),
        make.node_hour({"vcpu": "1", "memory": "2"}, "i-3", accelerators=0.0),
    ]
    pods = [make.pod_hour("a", "i-2"), make.pod_hour("a", "i-3")]
    world.write(nodes, pods).split()
    rows = [
        (row["instance_id"], row["resource"], row["reason"], row["amortized_usd"])
        for row in world.unallocated_costs().to_pylist()
    ]
    assert rows == [
        ("i-1", "accelerator", "no_pods", Decimal(5)),
        ("i-1", "memory", "no_pods", Decimal(2)),
        ("i-1", "vcpu", "no_pods", Decimal(1)),
        ("i-2", "accelerator", "unclaimed", Decimal(5)),
    ]


def test_an_unclaimed_resource_names_the_cluster_of_its_pods_unless_the_bill_does(
    world, make: SimpleNamespace
) -> None:
    nodes = [
        make.node_hour(instance_id="i-1"),
        make.node_hour(instance_id="i-2", cluster_name="billed"),
        make.node_hour(instance_id="i-3"),
        make.node_hour(instance_id="i-4"),
    ]
    pods = [
        make.pod_hour("a", "i-1", cluster_name=None),
        make.pod_hour("b", "i-1", cluster_name="green"),
        make.pod_hour("a", "i-2"),
        make.pod_hour("a", "i-3", cluster_name=None),
    ]
    world.write(nodes, pods).split()
    clusters = {
        (row["instance_id"], row["cluster_name"])
        for row in world.unallocated_costs().to_pylist()
    }
    assert clusters == {("i-1", "green"), ("i-2", "billed"), ("i-3", None), ("i-4", None)}


def test_a_month_without_pods_is_unallocated_whole_and_has_one_empty_file(
    world, make: SimpleNamespace
) -> None:
    result = world.write([make.node_hour(), make.node_hour(instance_id="i-2")]).split()
    assert [path.name for path in world.lake.files("pod_costs", world.month)] == [
        "2026-10-01.parquet"
    ]
    assert len(world.pod_costs()) == 0
    assert result.unallocated_usd["unblended"] == Decimal(6)
    assert set(world.unallocated_costs()["reason"].to_pylist()) == {"no_pods"}


def test_a_month_without_node_hours_has_empty_files_and_counts_its_pods(
    world, make: SimpleNamespace
) -> None:
    result = world.write([], [make.pod_hour(usage_hour=hour(3, 0))]).split()
    assert (result.pod_hours, result.unallocated_rows) == (0, 0)
    assert result.unknown_pod_hours == 1
    assert len(world.pod_costs()) == 0
    assert len(world.unallocated_costs()) == 0


def test_node_hours_of_another_billing_month_stay_out_of_this_one(
    world, make: SimpleNamespace
) -> None:
    november = make.node_hour("100", billing_month=dt.date(2026, 11, 1))
    result = world.write([make.node_hour("1", instance_id="i-1"), november]).split()
    assert result.unallocated_usd["unblended"] == Decimal(3)


def test_usage_of_the_month_before_on_this_bill_is_unallocated_on_its_own_day(
    world, make: SimpleNamespace
) -> None:
    late = make.node_hour(
        usage_hour=dt.datetime.fromisoformat("2026-09-30T23:00"), instance_id="i-1"
    )
    result = world.write([late, make.node_hour()], [make.pod_hour()]).split()
    assert result.node_hours == 2
    assert [path.stem for path in world.lake.files("unallocated_costs", world.month)] == [
        "2026-09-30",
        "2026-10-01",
    ]


def test_the_version_of_the_method_chooses_the_pools(world, make: SimpleNamespace) -> None:
    world.write([make.node_hour("1")], [make.pod_hour()])
    world.write_node_hours([make.node_hour("2", method_version=3)], version=3)
    assert world.split(2).pods_usd["amortized"] == Decimal(2)
    assert world.split(3).pods_usd["amortized"] == Decimal(4)
    assert set(world.pod_costs()["method_version"].to_pylist()) == {3}
    with pytest.raises(PodledgerError, match="lacks a model that the split reads"):
        world.split(1)


def test_the_same_input_gives_the_same_bytes(world, make: SimpleNamespace) -> None:
    nodes = [make.node_hour(instance_id=f"i-{number}") for number in range(20)]
    pods = [
        make.pod_hour(f"uid-{uid}", f"i-{number}")
        for number in range(20)
        for uid in range(9)
    ]
    world.write(nodes, pods).split()
    first = world.contents()
    world.write(nodes[::-1], pods[::-1]).split()
    assert world.contents() == first
    assert len(first) == 2


def test_days_side_by_side_give_the_same_bytes(world, make: SimpleNamespace) -> None:
    nodes = [
        make.node_hour(instance_id=node, usage_hour=hour(day, 5))
        for day in range(1, 8)
        for node in ("i-1", "i-2")
    ]
    pods = [
        make.pod_hour(f"uid-{uid}", "i-1", usage_hour=hour(day, 5))
        for day in (1, 2, 4, 7)
        for uid in range(day)
    ]
    told: list[str] = []
    in_turn = world.write(nodes, pods).split()
    expected = world.contents()
    side_by_side = world.split(processes=2, progress=told.append)
    assert side_by_side == in_turn
    assert world.contents() == expected
    assert [line[:10] for line in told] == [f"2026-10-0{day}" for day in range(1, 8)]


def test_row_groups_and_batches_may_cut_a_node_hour_anywhere(
    world, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [make.node_hour(instance_id=f"i-{number}") for number in range(4)]
    pods = [
        make.pod_hour(f"uid-{uid}", f"i-{number}")
        for number in range(4)
        for uid in range(5)
    ]
    world.write(nodes, pods).split()
    whole = world.pod_costs()
    sizes = ((1, 1, 1), (3, 1, 2), (3, 7, 4), (7, 1, 5), (20, 1, 6), (20, 1, 19))
    for row_group_size, read_rows, batch_rows in sizes:
        monkeypatch.setattr(pod_hours, "READ_ROWS", read_rows)
        monkeypatch.setattr(pod_hours, "BATCH_ROWS", batch_rows)
        monkeypatch.setattr(pod_hours, "_LOOK_BACK", read_rows)
        monkeypatch.setattr(pod_hours, "SHORT_DICTIONARY", batch_rows)
        result = world.write(nodes, pods, row_group_size=row_group_size).split()
        assert world.pod_costs().equals(whole)
        assert result.pods_usd["unblended"] == Decimal(8)


def test_a_file_holds_one_day_up_to_its_last_hour(world, make: SimpleNamespace) -> None:
    hours = [hour(1, 0), hour(1, 23), hour(2, 0)]
    nodes = [make.node_hour(usage_hour=at) for at in hours]
    world.write(nodes, [make.pod_hour(usage_hour=at) for at in hours]).split()
    files = world.lake.files("pod_costs", world.month)
    assert {path.stem: pq.ParquetFile(path).metadata.num_rows for path in files} == {
        "2026-10-01": 2,
        "2026-10-02": 1,
    }
    assert world.pod_costs()["usage_hour"].to_pylist() == hours


def test_a_file_with_hours_of_another_day_is_refused(world, make: SimpleNamespace) -> None:
    world.write([make.node_hour()], [make.pod_hour()])
    path = world.lake.files("raw/pod_hours", world.month)[0]
    path.rename(path.with_name("2026-10-02.parquet"))
    with pytest.raises(PodledgerError, match="a file of raw/pod_hours holds one day"):
        world.split()


@pytest.mark.parametrize("name", ["2026-11-01", "part-0"])
def test_a_file_that_is_no_day_of_the_month_is_refused(
    world, make: SimpleNamespace, name: str
) -> None:
    world.write([make.node_hour()], [make.pod_hour()])
    path = world.lake.files("raw/pod_hours", world.month)[0]
    path.rename(path.with_name(f"{name}.parquet"))
    with pytest.raises(PodledgerError, match="is not named after a day of 2026-10"):
        world.split()


def test_a_month_that_was_never_ingested_is_no_month_without_pods(
    world, make: SimpleNamespace
) -> None:
    world.write_node_hours([make.node_hour()])
    with pytest.raises(
        PodledgerError, match=r"raw/pod_hours of 2026-10 is not in the lake"
    ):
        world.split()


def test_a_warehouse_that_is_not_there_is_told_in_a_paragraph(
    world, make: SimpleNamespace
) -> None:
    world.write([make.node_hour()], [make.pod_hour()])
    world.warehouse.unlink()
    with pytest.raises(PodledgerError, match="There is no warehouse at"):
        world.split()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_split_that_fails_on_its_last_day_leaves_the_month_that_was_there(
    world, make: SimpleNamespace, processes: int
) -> None:
    nodes = [make.node_hour(usage_hour=hour(day, 0)) for day in (1, 2)]
    pods = [make.pod_hour(usage_hour=hour(day, 0)) for day in (1, 2)]
    world.write(nodes, pods).split()
    before = world.contents()
    pods[1]["vcpu_requested"] = -1.0
    with pytest.raises(PodledgerError, match="which is not an amount"):
        world.write(nodes, pods).split(processes=processes)
    assert world.contents() == before
    assert len(before) == 4
    assert not list((world.lake.root / ".incoming").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vcpu_amortized_usd": None}, "vcpu_amortized_usd .* is null for 1 node-hours"),
        ({"instance_type": None}, "instance_type .* is null"),
        ({"memory_capacity_hours": float("nan")}, "capacity of i-9 .* no number"),
        ({"vcpu_capacity_hours": -1.0}, "capacity of i-9 .* negative"),
        ({"vcpu_unblended_usd": Decimal("900000.0000000001")}, "beyond the 9000000"),
        ({"vcpu_unblended_usd": Decimal("-900000.0000000001")}, "beyond the 9000000"),
        ({"instance_id": "i-1"}, "holds i-1 at 2026-10-01 05:00 UTC twice"),
    ],
)
def test_a_node_hour_that_breaks_its_contract_stops_the_split(
    world, make: SimpleNamespace, change: dict, message: str
) -> None:
    nodes = [
        make.node_hour(instance_id="i-1"),
        {**make.node_hour(instance_id="i-9"), **change},
    ]
    world.write(nodes, [make.pod_hour("a", "i-1")])
    with pytest.raises(PodledgerError, match=message):
        world.split()
    assert world.contents() == {}


def test_a_pool_at_the_limit_is_split_exactly(world, make: SimpleNamespace) -> None:
    largest = Decimal(kernel.POOL_LIMIT).scaleb(-10)
    pods = [make.pod_hour(f"uid-{number}") for number in range(7)]
    result = world.write([make.node_hour(str(largest))], pods).split()
    assert result.pods_usd["amortized"] == 2 * largest


def test_names_with_quotes_unicode_and_253_characters_come_through(
    world, make: SimpleNamespace
) -> None:
    names = ['it\'s "so"', "größe-模型-🚀", "x" * 253, ""]
    pods = [
        make.pod_hour(f"uid-{number}", pod_name=name, namespace=name)
        for number, name in enumerate(names)
    ]
    world.write([make.node_hour()], pods).split()
    assert world.pod_costs()["pod_name"].to_pylist() == names
    assert world.pod_costs()["namespace"].to_pylist() == names


def test_progress_is_told_after_each_day(world, make: SimpleNamespace) -> None:
    lines: list[str] = []
    nodes = [make.node_hour(usage_hour=hour(day, 0)) for day in (1, 2)]
    world.write(nodes, [make.pod_hour()]).split(progress=lines.append)
    assert [line.partition(":")[0] for line in lines] == ["2026-10-01", "2026-10-02"]
