"""The inventory's way into the lake: what is kept, folded, left out, and refused."""

import datetime as dt
import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory import ingest
from orchestration.inventory.gaps import GAPS
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import INVENTORY_GAPS, NODE_HOURS, POD_HOURS, QUOTA_HOURS
from orchestration.lake.settings import PROJECT_DIR
from tests.inventory.sources.container_insights.agent import at, export, moments
from tests.inventory.sources.container_insights.agent import pod as pod_event

FORMATS = ("a.parquet", "a.csv", "a.csv.gz", "a.ndjson", "a.ndjson.gz", "a.jsonl")

TABLES = (
    ("pod_hours", POD_HOURS),
    ("node_hours", NODE_HOURS),
    ("quota_hours", QUOTA_HOURS),
)

FULL = {
    "cluster_name": "prod",
    "account_id": "111122223333",
    "region": "eu-west-1",
    "node_name": "ip-10-0-0-1",
    "workload_type": "PyTorchJob",
    "workload_name": "llm",
    "deployment": None,
    "vcpu_used": 2.5,
    "memory_used_gib": None,
    "accelerators_requested": {"nvidia.com/gpu": 2.0},
    "accelerators_used": 1.25,
    "labels": {"team": "vision", "model": "ViT-é"},
}


def world(inventory):
    """Pods of two days on two nodes, with everything that a row may say."""
    for day in (2, 30):
        for instance in ("i-0b2", "i-0a1"):
            for pod in range(3):
                yield inventory.pod(
                    instance_id=instance,
                    usage_hour=dt.datetime(2026, 10, day, 23, tzinfo=dt.UTC),
                    pod_uid=f"uid-{pod}",
                    bound_seconds=100 * pod,
                    **FULL,
                )


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(inventory, name):
    inventory.write(name, *world(inventory))
    read = inventory.read()
    assert (read.pod_hours, read.days_with_pods, read.file_count) == (12, 2, 1)
    assert inventory.rows()[4] == inventory.pod(
        instance_id="i-0b2",
        usage_hour=dt.datetime(2026, 10, 2, 23, tzinfo=dt.UTC),
        pod_uid="uid-1",
        bound_seconds=100,
        **FULL
        | {
            "accelerators_requested": '{"nvidia.com/gpu":2}',
            "labels": '{"model":"ViT-é","team":"vision"}',
        },
    )


def test_same_rows_give_same_bytes_in_any_format_order_and_number_of_files(inventory):
    """A month that is read again must not look like new input."""
    rows = list(world(inventory))
    nodes = [inventory.node(instance_id=name) for name in ("i-0a1", "i-0b2")]
    inventory.write("a.parquet", *rows)
    inventory.write("node_hours.csv", *nodes)
    quotas = [inventory.quota(namespace=name) for name in ("training", "chat")]
    inventory.write("quota_hours.parquet", *quotas)
    inventory.read()
    expected = inventory.content()
    for seed, name in enumerate(FORMATS):
        shutil.rmtree(inventory.root)
        random.Random(seed).shuffle(rows)
        inventory.write(name, *rows[:5])
        inventory.write(f"z/{name}", *rows[3:])
        inventory.write("node_hours.ndjson", *reversed(nodes))
        inventory.write("quota_hours/a.csv", *reversed(quotas))
        assert inventory.read().repeated_rows == 2
        assert inventory.content() == expected
    assert len(expected) == 4


def test_tables_of_the_lake_have_the_columns_of_the_schemas(inventory):
    inventory.write("a.csv", inventory.pod())
    inventory.write("node_hours.csv", inventory.node())
    inventory.write("quota_hours.csv", inventory.quota())
    inventory.read()
    for table, schema in TABLES:
        (file,) = inventory.lake.files(f"raw/{table}", inventory.month)
        assert file.name == "2026-10-03.parquet"
        assert pq.read_schema(file).equals(schema)


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(
            [[("b", "x"), ("a", None), ("a b", "ü")]], pa.map_(pa.string(), pa.string())
        ),
        pa.array([{"b": "x", "a": None, "a b": "ü"}]),
        pa.array(['{ "b": "x", "a": null, "a b": "\\u00fc" }']),
        pa.array([b'{"a b":"\xc3\xbc","b":"x"}'], pa.binary()),
        pa.array(['{"a b":"ü","b":"x"}'], pa.large_string()).dictionary_encode(),
    ],
    ids=["map", "struct", "json", "bytes", "coded"],
)
def test_maps_come_as_maps_structs_or_json(inventory, labels):
    table = pa.Table.from_pylist([inventory.pod()]).append_column("labels", labels)
    pq.write_table(table, inventory.root / "a.parquet")
    inventory.read()
    assert inventory.rows()[0]["labels"] == '{"a b":"ü","b":"x"}'


def test_hours_are_utc_whatever_zone_they_are_written_in(inventory):
    inventory.write(
        "a.csv",
        inventory.pod(usage_hour="2026-10-03T05:00:00Z", pod_uid="a"),
        inventory.pod(usage_hour="2026-10-03 07:00:00+02:00", pod_uid="b"),
        inventory.pod(usage_hour="2026-10-03 05:00:00 UTC", pod_uid="c"),
    )
    five = inventory.pod()["usage_hour"]
    zoned = pa.array([five], pa.timestamp("ns", "Europe/Berlin"))
    table = pa.Table.from_pylist([inventory.pod(pod_uid="d")])
    pq.write_table(table.set_column(1, "usage_hour", zoned), inventory.root / "b.parquet")
    inventory.read()
    assert {row["usage_hour"] for row in inventory.rows()} == {five}
    assert len(inventory.rows()) == 4


def test_rows_of_other_months_are_left_out_and_counted(inventory):
    inventory.write(
        "a.csv",
        inventory.pod(usage_hour="2026-09-30T23:00:00Z"),
        inventory.pod(usage_hour="2026-10-01T00:00:00Z"),
        inventory.pod(usage_hour="2026-10-31T23:00:00Z"),
        inventory.pod(usage_hour="2026-11-01T00:00:00Z"),
    )
    read = inventory.read()
    assert (read.pod_hours, read.rows_of_other_months) == (2, 2)
    (file,) = inventory.rows("inventory_files")
    assert (file["row_count"], file["rows_in_month"]) == (4, 2)
    assert not any(line.startswith("Warning") for line in inventory.told)


def test_pods_of_another_month_only_make_an_empty_month_that_is_told(inventory):
    inventory.write("a.csv", inventory.pod(usage_hour="2026-09-30T23:00:00Z"))
    read = inventory.read()
    assert (read.pod_hours, read.days_with_pods, read.rows_of_other_months) == (0, 0, 1)
    assert inventory.told[-1] == (
        "Warning: the inventory holds no pod of 2026-10, so all its node cost will be"
        " unallocated. Files read: 1; rows of other months: 1. If pods did run, check"
        " PODLEDGER_PODS and the month."
    )


@pytest.mark.parametrize("rows", ["nothing", "header"])
def test_month_without_pods_is_legal_and_leaves_one_empty_file(inventory, rows):
    if rows == "header":
        names = ",".join(inventory.pod())
        (inventory.root / "a.csv").write_text(f"{names}\n")
    assert inventory.read().pod_hours == 0
    for table, schema in TABLES:
        (file,) = inventory.lake.files(f"raw/{table}", inventory.month)
        assert pq.read_table(file).equals(schema.empty_table())
    assert inventory.told[-1].startswith("Warning: the inventory holds no pod of 2026-10")


def test_rows_that_repeat_word_for_word_count_once(inventory):
    """Two collectors of one cluster tell of the same pods."""
    row = inventory.pod(labels={"a": "1", "b": "2"}, vcpu_used=None)
    inventory.write("one.parquet", row)
    inventory.write("two.csv", row | {"labels": '{"b": "2", "a": "1"}'}, row)
    read = inventory.read()
    assert (read.pod_hours, read.repeated_rows) == (1, 2)


def test_sources_that_overlap_are_settled_by_the_key(inventory, tmp_path):
    inventory.write("east/a.csv", inventory.pod(), inventory.pod(pod_uid="uid-1"))
    inventory.write("west/a.csv", inventory.pod(), inventory.pod(instance_id="i-0c3"))
    read = inventory.read(str(inventory.root / "east"), str(inventory.root / "west"))
    assert (read.pod_hours, read.repeated_rows, read.file_count) == (3, 1, 2)


@pytest.mark.parametrize(
    ("column", "value"),
    [("bound_seconds", 1800), ("vcpu_used", 1.0), ("labels", {"team": "b"})],
)
def test_rows_that_contradict_each_other_stop_the_month(inventory, column, value):
    inventory.write("one.csv", inventory.pod(pod_uid="other"), inventory.pod())
    inventory.write("two.ndjson", inventory.pod(**{column: value}))
    with pytest.raises(PodledgerError) as error:
        inventory.read()
    assert str(error.value) == (
        "Two rows of pod_hours contradict each other: instance_id i-0a1, usage_hour"
        f" 2026-10-03 05:00:00, pod_uid uid-0 is in one.csv of {inventory.root}, row 2"
        f" and in two.ndjson of {inventory.root}, row 1 with different values of {column}."
        " Keep the right one of the two; rows that repeat word for word would count once."
    )


def test_quotas_are_what_they_hold_and_nothing_where_they_hold_nothing(inventory):
    inventory.write("a.csv", inventory.pod())
    inventory.write(
        "prod/quota_hours.ndjson",
        inventory.quota(memory_hard_gib=0.5),
        inventory.quota(
            namespace="slices",
            vcpu_hard=None,
            accelerators_hard={"nvidia.com/mig-1g.5gb": 14, "vpc.amazonaws.com/efa": 4},
        ),
        inventory.quota(namespace="web", vcpu_hard=0, accelerators_hard={}),
        inventory.quota(
            namespace="cores", accelerators_hard={"aws.amazon.com/neuroncore": 4}
        ),
    )
    assert inventory.read().quota_hours == 4
    told = [
        (row["namespace"], row["vcpu_hard"], row["memory_hard_gib"], row["devices_hard"])
        for row in inventory.rows("quota_hours")
    ]
    assert told == [
        ("cores", 96.0, None, None),
        ("slices", None, None, 2.0),
        ("training", 96.0, 0.5, 8.0),
        ("web", 0.0, None, None),
    ]
    assert inventory.told[-1] == (
        "Warning: how many devices these quotas are only a node could tell, so they are"
        ' left out: {"aws.amazon.com/neuroncore":4}'
    )


def test_two_sizes_of_one_quota_stop_the_month(inventory):
    inventory.write("quota_hours_a.csv", inventory.quota(), inventory.quota())
    inventory.write("quota_hours_b.csv", inventory.quota(vcpu_hard=64))
    with pytest.raises(PodledgerError) as error:
        inventory.read()
    assert str(error.value).startswith(
        "Two rows of quota_hours contradict each other: cluster_name prod, usage_hour"
        " 2026-10-03 05:00:00, namespace training is in quota_hours_a.csv of"
    )
    assert "with different values of vcpu_hard." in str(error.value)


def test_names_may_hold_quotes_unicode_and_253_characters(inventory):
    names = ['o\'brien "x"', "naïve-Ω-名前", "p" * 253, "a,b\nc", "null", "[x]*?", "\\"]
    rows = [
        inventory.pod(pod_name=name, pod_uid=name, labels={name: name}) for name in names
    ]
    for file_name in FORMATS:
        path = inventory.write(file_name, *rows)
        inventory.read()
        path.unlink()
        assert sorted(row["pod_name"] for row in inventory.rows()) == sorted(names)
        assert {row["pod_uid"] for row in inventory.rows()} == set(names)


def test_file_names_may_hold_what_globs_and_sql_read_as_signs(inventory):
    inventory.write("it's [1] *?/a.ndjson", inventory.pod())
    assert inventory.read().pod_hours == 1


def test_node_labels_that_share_devices_are_set_apart(inventory):
    inventory.write(
        "node_hours.ndjson",
        inventory.node(labels={"zone": "a", "nvidia.com/gpu.replicas": "4"}),
        inventory.node(instance_id="i-0b2", allocatable={"cpu": "3920m", "pods": 58}),
    )
    assert inventory.read().node_hours == 2
    first, second = inventory.rows("node_hours")
    assert first["sharing_labels"] == '{"nvidia.com/gpu.replicas":"4"}'
    assert first["labels"] == '{"nvidia.com/gpu.replicas":"4","zone":"a"}'
    assert second["sharing_labels"] == "{}"
    assert second["allocatable"] == '{"cpu":"3920m","pods":58}'


def test_a_read_that_fails_leaves_the_month_as_it_was(inventory):
    inventory.write("a.csv", inventory.pod())
    inventory.write("node_hours.csv", inventory.node())
    inventory.read()
    before = inventory.content()
    inventory.write("b.csv", inventory.pod(pod_uid="b", bound_seconds=3601))
    with pytest.raises(PodledgerError, match="bound_seconds"):
        inventory.read()
    assert inventory.content() == before
    assert not list((inventory.lake.home / "scratch").iterdir())


@pytest.mark.parametrize("failing_write", [1, 2, 3, 4])
def test_a_process_that_dies_while_writing_leaves_the_month_as_it_was(
    inventory, monkeypatch, failing_write
):
    """Interrupted at each of its files: two days of pods, one of nodes, the list."""
    inventory.write("a.csv", inventory.pod())
    inventory.read()
    before = inventory.content()
    inventory.write("b.csv", *world(inventory))
    writes = []

    def dies(table, path: Path) -> None:
        writes.append(path)
        if len(writes) == failing_write:
            path.write_bytes(b"PAR1 half")
            raise KeyboardInterrupt
        write_table(table, path)

    write_table = ingest.write_table
    monkeypatch.setattr(ingest, "write_table", dies)
    with pytest.raises(KeyboardInterrupt):
        inventory.read()
    assert inventory.content() == before


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from orchestration.inventory import ingest
from orchestration.inventory.sources import parse_source
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

ingest.write_table = lambda table, path: os.kill(os.getpid(), signal.SIGKILL)
root, home = sys.argv[1:]
ingest.ingest_inventory(
    [parse_source(root)], Month(2026, 10), Lake(Path(home)), Path(home) / "scratch"
)
"""


def test_a_killed_process_leaves_the_month_as_it_was_and_in_nobodys_way(inventory):
    inventory.write("a.csv", inventory.pod())
    inventory.read()
    before = inventory.content()
    inventory.write("b.csv", *world(inventory))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, inventory.root, inventory.lake.home],
        cwd=PROJECT_DIR,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert inventory.content() == before
    assert inventory.read().pod_hours == 13


def test_each_file_read_is_recorded_with_its_digest(inventory):
    inventory.write("b.csv", inventory.pod())
    inventory.write("node_hours/x.csv", inventory.node())
    inventory.read()
    files = inventory.rows("inventory_files")
    assert [(f["source_file"], f["kind"], f["row_count"]) for f in files] == [
        ("b.csv", "pod_hours", 1),
        ("node_hours/x.csv", "node_hours", 1),
    ]
    assert all(len(file["sha256"]) == 64 and file["size_bytes"] > 0 for file in files)
    assert inventory.told[:2] == [
        f"1 of 2 files: b.csv of {inventory.root}, 1 rows, 1 of 2026-10",
        f"2 of 2 files: node_hours/x.csv of {inventory.root}, 1 rows, 1 of 2026-10",
    ]


def test_hourly_files_are_told_by_the_hundred(inventory):
    for number in range(201):
        inventory.write(f"{number:03}.csv", inventory.pod(pod_uid=f"uid-{number}"))
    assert inventory.read().pod_hours == 201
    told = [line for line in inventory.told if " files: " in line]
    assert [line.partition(":")[0] for line in told] == [
        "100 of 201 files",
        "200 of 201 files",
    ]


def test_only_a_day_is_folded_at_a_time(inventory, monkeypatch):
    """Memory must not grow with the month."""
    inventory.write("a.parquet", *world(inventory))
    sizes = []

    def sized(table, contract, files):
        sizes.append((contract.kind, len(table)))
        return fold(table, contract, files)

    fold = ingest.fold
    monkeypatch.setattr(ingest, "fold", sized)
    inventory.read()
    assert sizes == [("pod_hours", 6), ("pod_hours", 6)]


# ---------------------------------------------------------------- gaps


def with_gaps(path, text):
    """Write a Parquet file again that tells gaps in its metadata."""
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({GAPS: text}), path)


def told_gap(start, end, **more):
    return {"start": start, "end": end, "subject": "pods", "consequence": "lost"} | more


def test_gaps_that_files_tell_are_rows_by_cluster_within_the_month(inventory):
    first = inventory.write(
        "a.parquet",
        inventory.pod(cluster_name="prod"),
        inventory.pod(cluster_name="dev", pod_uid="2"),
    )
    second = inventory.write("b.parquet", inventory.pod(cluster_name="dev", pod_uid="3"))
    gap = told_gap("2026-09-30T23:00:00+00:00", "2026-10-01T02:00:00+00:00")
    node = told_gap(
        "2026-10-05T02:00:00+02:00",
        "2026-10-05T03:00:00+02:00",
        cluster_name="dev",
        instance_id="i-0a1",
    )
    other = told_gap("2026-11-01T00:00:00+00:00", "2026-11-01T02:00:00+00:00")
    with_gaps(first, json.dumps([gap, other]))
    with_gaps(second, json.dumps([node, gap | {"start": "2026-10-01T01:00:00+00:00"}]))
    assert inventory.read().gaps == 3
    found = [
        (
            row["cluster_name"],
            row["instance_id"],
            f"{row['gap_start']:%dT%H}",
            f"{row['gap_end']:%dT%H}",
        )
        for row in inventory.rows("inventory_gaps")
    ]
    assert found == [
        ("dev", None, "01T00", "01T02"),
        ("prod", None, "01T00", "01T02"),
        ("dev", "i-0a1", "05T00", "05T01"),
    ]


def test_an_inventory_without_gaps_has_an_empty_table_of_them(inventory):
    inventory.write("a.csv", inventory.pod())
    inventory.read()
    (file,) = inventory.lake.files("raw/inventory_gaps", inventory.month)
    assert pq.read_schema(file).names == INVENTORY_GAPS.names
    assert pq.read_metadata(file).num_rows == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        (json.dumps([told_gap("2026-10-01", "2026-10-02")]), "a moment has no zone"),
        (
            json.dumps([told_gap("2026-10-02T00:00:00Z", "2026-10-01T00:00:00Z")]),
            "is not before",
        ),
        (
            json.dumps([told_gap("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z", who="x")]),
            "who",
        ),
    ],
)
def test_gaps_that_cannot_be_understood_stop_the_month(inventory, text, message):
    path = inventory.write("a.parquet", inventory.pod())
    inventory.read()
    before = inventory.content()
    with_gaps(path, text)
    with pytest.raises(PodledgerError, match=message) as refused:
        inventory.read()
    assert "a.parquet" in str(refused.value)
    assert inventory.content() == before


# ---------------------------------------------------------------- sources that are combined


def test_a_node_has_from_each_row_what_the_others_leave_open(inventory):
    """Events tell the type and no labels, a file beside them the labels."""
    labels = {"nvidia.com/gpu.replicas": "4"}
    hour = {"usage_hour": dt.datetime(2026, 10, 3, 6, tzinfo=dt.UTC)}
    inventory.write("node_hours-1.parquet", inventory.node(), inventory.node(**hour))
    inventory.write("node_hours-2.csv", inventory.node(instance_type=None, labels=labels))
    inventory.write("node_hours-3.csv", inventory.node(node_name="n", labels=labels))
    inventory.read()
    first, second = inventory.rows("node_hours")
    assert first["labels"] == first["sharing_labels"] == json.dumps(labels).replace(" ", "")
    assert (first["instance_type"], first["node_name"]) == ("g5.xlarge", "n")
    assert (second["labels"], second["node_name"]) == ("{}", None)


def test_the_order_in_which_files_tell_of_a_node_leaves_no_trace(inventory):
    halves = inventory.node(), inventory.node(instance_type=None, labels={"a": "b"})
    contents = []
    for first, second in (halves, halves[::-1]):
        inventory.write("node_hours-1.parquet", first)
        inventory.write("node_hours-2.parquet", second)
        inventory.read()
        contents.append(inventory.content())
    assert contents[0] == contents[1]


def test_nodes_of_which_two_rows_tell_different_things_stop_the_month(inventory):
    inventory.write("node_hours-1.csv", inventory.node(labels={"a": "b"}))
    inventory.write("node_hours-2.csv", inventory.node(instance_type=None))
    inventory.write("node_hours-3.csv", inventory.node(labels={"a": "c"}))
    with pytest.raises(PodledgerError, match="different values of labels") as refused:
        inventory.read()
    assert "node_hours-1.csv" in str(refused.value)
    assert "node_hours-3.csv" in str(refused.value)


@pytest.fixture
def events(inventory):
    """Events of Container Insights of the pod that files tell of, for one hour."""
    folder = inventory.root.parent / "events"

    def write(**changes):
        hour = moments(at("05:00:00", 3), at("06:00:00", 3))
        where = {"InstanceId": "i-0a1", "InstanceType": "g5.xlarge", "ClusterName": "prod"}
        who = {"pod_id": "uid-0", "pod_name": "worker-0", "namespace_name": "training"}
        told = [pod_event(moment, kubernetes=who, **where, **changes) for moment in hour]
        export(folder / "000000.gz", told)
        return f"container-insights+file://{folder}"

    return write


def test_sources_of_two_kinds_make_one_month(inventory, events):
    inventory.write("a.csv", inventory.pod(cluster_name="dev", instance_id="i-0b2"))
    read = inventory.read(events(), str(inventory.root))
    assert (read.pod_hours, read.repeated_rows) == (2, 0)
    assert [row["cluster_name"] for row in inventory.rows()] == ["prod", "dev"]
    assert {
        row["source"].partition(":")[0] for row in inventory.rows("inventory_files")
    } == {
        "container-insights+file",
        str(inventory.root),
    }


def test_sources_that_tell_the_same_of_a_pod_count_once(inventory, events):
    uri = events()
    inventory.read(uri)
    before, rows = inventory.content(), inventory.rows()
    inventory.write("a.parquet", *(row | maps(row) for row in rows))
    read = inventory.read(uri, str(inventory.root))
    assert (read.pod_hours, read.repeated_rows) == (1, 1)
    assert inventory.content() == before


def maps(row):
    """The maps of a row of the lake, as a file has them."""
    return {name: json.loads(row[name]) for name in ("labels", "accelerators_requested")}


def test_sources_that_contradict_each_other_stop_the_month(inventory, events):
    inventory.read(uri := events())
    before = inventory.content()
    (row,) = inventory.rows()
    other = row | maps(row) | {"vcpu_requested": 7.0}
    inventory.write("a.parquet", other)
    with pytest.raises(PodledgerError, match="contradict each other") as refused:
        inventory.read(uri, str(inventory.root))
    for told in (uri, str(inventory.root), "i-0a1", "uid-0", "vcpu_requested"):
        assert told in str(refused.value)
    assert inventory.content() == before
