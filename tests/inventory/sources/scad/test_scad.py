"""Laws of AWS's split rows as a source: the pods of a bill are those that it split."""

import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory.equivalents import resolve_equivalents
from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources import parse_source
from orchestration.inventory.sources.interface import SourceFile
from orchestration.inventory.sources.scad import ScadSource
from orchestration.kubernetes.accelerators import NodeProfile, devices
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.lake.settings import Settings
from orchestration.sample.inputs import resolve_inputs
from tests.split.conftest import GPUS, node_hour, pod_hour, split_rows

INSTANCE = "i-0123456789abcdef0"
POD = "web-6c9f8d7b4f-x2x7p"
UID = "2f4ff5ac-c813-41e9-a31d-06e9dde32928"
HOUR = dt.datetime.fromisoformat("2026-10-01T05:00:00")
AFTER = dt.datetime(2026, 10, 2, 12, tzinfo=dt.UTC)
USAGE = {"vcpu": "vCPU", "memory": "GB", "accelerator": "Accelerator"}
TAGS = {
    "aws_eks_cluster_name": "prod",
    "aws_eks_namespace": "shop",
    "aws_eks_node": "ip-10-0-0-1.ec2.internal",
    "aws_eks_workload_type": "ReplicaSet",
    "aws_eks_workload_name": "web-6c9f8d7b4f",
    "aws_eks_deployment": "web",
    "user_team": "shop",
    "user_app_kubernetes_io_name": "web",
}
SCHEMA = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in (
                "bill_payer_account_id",
                "line_item_usage_account_id",
                "line_item_line_item_type",
                "line_item_product_code",
                "line_item_usage_type",
                "line_item_operation",
                "line_item_resource_id",
                "line_item_currency_code",
                "product_product_family",
            )
        ),
        pa.field("line_item_usage_start_date", pa.timestamp("ms")),
        pa.field("line_item_usage_end_date", pa.timestamp("ms")),
        pa.field("line_item_usage_amount", pa.float64()),
        pa.field("line_item_unblended_cost", pa.float64()),
        pa.field("resource_tags", pa.map_(pa.string(), pa.string())),
        pa.field("split_line_item_parent_resource_id", pa.string()),
        pa.field("split_line_item_reserved_usage", pa.float64()),
        pa.field("split_line_item_actual_usage", pa.float64()),
        pa.field("split_line_item_split_usage_ratio", pa.string()),
    ]
)


def line(hour: dt.datetime = HOUR, **changes: Any) -> dict[str, Any]:
    """A line of an instance."""
    return {
        "bill_payer_account_id": "111122223333",
        "line_item_usage_account_id": "444455556666",
        "line_item_line_item_type": "Usage",
        "line_item_product_code": "AmazonEC2",
        "line_item_usage_type": "BoxUsage:g5.12xlarge",
        "line_item_operation": "RunInstances",
        "line_item_resource_id": INSTANCE,
        "line_item_currency_code": "USD",
        "product_product_family": "Compute Instance",
        "line_item_usage_start_date": hour,
        "line_item_usage_end_date": hour + dt.timedelta(hours=1),
        "line_item_usage_amount": 1.0,
        "line_item_unblended_cost": 5.672,
    } | changes


def split_row(
    resource: str, reserved: float, used: float | None = None, **changes: Any
) -> dict[str, Any]:
    """AWS's row of a pod-hour and resource."""
    names = {"pod": POD, "uid": UID, "namespace": "shop", "hour": HOUR} | {
        name: changes.pop(name) for name in ("pod", "uid", "hour") if name in changes
    }
    return line(
        names["hour"],
        line_item_product_code="AmazonEKS",
        line_item_operation="EKSPod-EC2",
        line_item_usage_type=f"USE1-EKS-EC2-{USAGE[resource]}-Hours",
        line_item_resource_id="arn:aws:eks:us-east-1:444455556666:pod/prod/"
        f"{names['namespace']}/{names['pod']}/{names['uid']}",
        product_product_family=None,
        line_item_usage_amount=reserved,
        line_item_unblended_cost=0.0,
        resource_tags=[*TAGS.items(), ("user_empty", None)],
        split_line_item_parent_resource_id=INSTANCE,
        split_line_item_reserved_usage=reserved,
        split_line_item_actual_usage=used,
        split_line_item_split_usage_ratio="0.5",
    ) | (changes)


def deliver(root: Path, rows: list[dict[str, Any]], execution: str = "first") -> str:
    """A CUR 2.0 export with a manifest; gives the URI of its split rows."""
    name = "data/BILLING_PERIOD=2026-10/cur-00001.snappy.parquet"
    path = root / "cur" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([line(), *rows], SCHEMA), path)
    manifest = root / "cur/metadata/BILLING_PERIOD=2026-10/cur-Manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(
        json.dumps({"executionId": execution, "dataFiles": [f"s3://bucket/cur/{name}"]})
    )
    return f"scad+file://{root}"


def fetched(
    uri: str, month: Month, landing: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the day that has some, and what was told."""
    told: list[str] = []
    source = parse_source(uri)
    assert isinstance(source, ScadSource)
    files = ScadSource(uri, source.root, lambda: AFTER).fetch(month, landing, told.append)
    return rows(files), told


def rows(files: list[SourceFile]) -> list[dict[str, Any]]:
    tables = [pq.read_table(file.path) for file in files if file.kind == "pod_hours"]
    return list(pa.concat_tables(tables).to_pylist())


def test_the_rows_of_a_pod_hour_become_one_pod_hour(tmp_path: Path, october: Month) -> None:
    uri = deliver(
        tmp_path / "bill",
        [
            split_row("vcpu", 0.5, 0.75),
            split_row("memory", 2.0, 1.0),
            split_row("accelerator", 2.0, None),
        ],
    )
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert row == {
        "cluster_name": "prod",
        "account_id": "444455556666",
        "region": "us-east-1",
        "node_name": "ip-10-0-0-1.ec2.internal",
        "instance_id": INSTANCE,
        "usage_hour": HOUR,
        "namespace": "shop",
        "pod_name": POD,
        "pod_uid": UID,
        "workload_type": "Deployment",
        "workload_name": "web",
        "deployment": "web",
        "bound_seconds": 3600,
        "vcpu_requested": 0.5,
        "memory_requested_gib": 2.0,
        "vcpu_used": 0.75,
        "memory_used_gib": 1.0,
        "accelerators_requested": '{"podledger/physical-device": 2.0}',
        "accelerators_used": None,
        "labels": '{"app_kubernetes_io_name": "web", "team": "shop"}',
    }


def test_what_a_node_says_of_sharing_does_not_divide_physical_devices_again() -> None:
    shared = {"nvidia.com/gpu.replicas": "4", "advertised:nvidia.com/gpu": "16"}
    mig = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}
    for kind, count in (("g5.12xlarge", 4), ("g6f.large", 0.125), ("trn1.32xlarge", 16)):
        for labels in ({}, shared, mig):
            node = NodeProfile(kind, count, 22.35, labels)
            resolved = devices({"podledger/physical-device": 0.25}, node)
            assert (resolved.devices, resolved.is_recognized) == (0.25, True)


def test_a_world_split_and_fed_back_as_split_rows_splits_the_same(
    lake: Lake, tmp_path: Path, october: Month
) -> None:
    draw = random.Random(7)
    node = node_hour(
        {"accelerator": "3.2", "vcpu": "1.7", "memory": "0.772"},
        INSTANCE,
        usage_hour=HOUR,
    )
    pods = [
        pod_hour(
            f"{number:04}-uid",
            INSTANCE,
            bound_seconds=draw.choice([1, 1800, 3599, 3600]),
            vcpu_requested=draw.choice([0.0, draw.random() * 2]),
            vcpu_used=draw.choice([None, draw.random() * 2]),
            memory_requested_gib=draw.random() * 8,
            memory_used_gib=draw.choice([None, draw.random() * 8]),
            accelerators_requested=draw.choice(["{}", "{}", "{}", GPUS % 1]),
            accelerators_used=draw.choice([None, draw.random()]),
            usage_hour=HOUR,
        )
        for number in range(24)
    ]
    first = split_rows([node], pods).pod_costs
    published = [
        split_row(
            resource,
            cost[f"{resource}_reserved_hours"],
            cost[f"{resource}_used_hours"],
            uid=cost["pod_uid"],
            pod=cost["pod_name"],
        )
        for cost in first.to_pylist()
        for resource in RESOURCES
    ]
    draw.shuffle(published)
    uri = deliver(tmp_path / "bill", published)
    source = ScadSource(uri, str(tmp_path / "bill"), lambda: AFTER)
    ingest_inventory([source], october, lake, tmp_path / "scratch")
    (path,) = lake.files("raw/pod_hours", october)
    again = pq.ParquetFile(path).read()
    requests = set(again["accelerators_requested"].to_pylist()) - {"{}"}
    equivalents = resolve_equivalents(
        ("g5.12xlarge", 4.0, 22.35, "{}", request) for request in requests
    )
    second = split_rows([node], again, equivalents.to_pylist()).pod_costs
    assert second["pod_uid"].to_pylist() == first["pod_uid"].to_pylist()
    for resource in RESOURCES:
        ratio = f"{resource}_split_usage_ratio"
        assert second[ratio].to_pylist() == pytest.approx(
            first[ratio].to_pylist(), rel=1e-12
        )
        for basis in BASES:
            for part in ("split", "unused"):
                name = f"{resource}_{basis}_{part}_usd"
                moved = [
                    abs(a - b)
                    for a, b in zip(
                        first[name].to_pylist(), second[name].to_pylist(), strict=True
                    )
                ]
                assert max(moved) <= Decimal("1e-10")
                assert sum(first[name].to_pylist()) > 0 or part == "unused"


def test_parts_of_an_instance_hour_add_up(tmp_path: Path, october: Month) -> None:
    parts = [split_row("vcpu", 0.25, 0.5), split_row("vcpu", 0.75, None)]
    uri = deliver(tmp_path / "bill", [*parts, split_row("memory", 1.0)])
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert (row["vcpu_requested"], row["vcpu_used"]) == (1.0, 0.5)


def test_split_rows_of_ecs_tasks_are_no_pods(tmp_path: Path, october: Month) -> None:
    task = split_row(
        "vcpu",
        1.0,
        line_item_operation="ECSTask-EC2",
        line_item_usage_type="USE1-ECS-EC2-vCPU-Hours",
        line_item_resource_id="arn:aws:ecs:us-east-1:444455556666:task/c/1",
    )
    uri = deliver(
        tmp_path / "bill", [task, split_row("vcpu", 1.0), split_row("memory", 1.0)]
    )
    found, _ = fetched(uri, october, tmp_path / "landing")
    assert [row["pod_uid"] for row in found] == [UID]


def test_hours_without_split_rows_are_told_as_a_gap(tmp_path: Path, october: Month) -> None:
    uri = deliver(tmp_path / "bill", [split_row("vcpu", 1.0), split_row("memory", 1.0)])
    _, told = fetched(uri, october, tmp_path / "landing")
    assert any("no split row of any pod from 2026-10-01 06:00" in line for line in told)


def test_a_delivery_is_read_once_and_the_next_one_anew(
    tmp_path: Path, october: Month
) -> None:
    landing = tmp_path / "landing"
    uri = deliver(tmp_path / "bill", [split_row("vcpu", 1.0), split_row("memory", 1.0)])
    assert any("reading" in line for line in fetched(uri, october, landing)[1])
    assert not any("reading" in line for line in fetched(uri, october, landing)[1])
    deliver(tmp_path / "bill", [split_row("vcpu", 3.0), split_row("memory", 1.0)], "second")
    (row,), _ = fetched(uri, october, landing)
    assert row["vcpu_requested"] == 3.0
    assert not list(landing.rglob("bill_lines"))


def test_an_export_in_s3_gives_the_same(aws: str, tmp_path: Path, october: Month) -> None:
    rows = [split_row("vcpu", 1.0, 0.5), split_row("memory", 1.0)]
    uri = deliver(tmp_path / "bill", rows)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    for path in (tmp_path / "bill").rglob("*.*"):
        client.upload_file(
            str(path), "bucket", path.relative_to(tmp_path / "bill").as_posix()
        )
    from_s3 = fetched("scad+s3://bucket/cur", october, tmp_path / "landing")[0]
    assert from_s3 == fetched(uri, october, tmp_path / "landing")[0]


def test_a_bill_without_split_rows_says_how_to_switch_them_on(
    tmp_path: Path, october: Month
) -> None:
    uri = deliver(tmp_path / "bill", [])
    with pytest.raises(PodledgerError, match="switch on split cost allocation data"):
        fetched(uri, october, tmp_path / "landing")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"line_item_resource_id": "arn:aws:eks:x"},
            "line_item_resource_id is arn:aws:eks:x: no pod's ARN",
        ),
        ({"split_line_item_parent_resource_id": "task/1"}, "task/1: no EC2 instance"),
        ({"line_item_usage_type": "USE1-EKS-EC2-Disk-Hours"}, "no resource of a pod"),
        (
            {"line_item_usage_end_date": HOUR + dt.timedelta(days=1)},
            "only hourly exports can be split",
        ),
        ({"split_line_item_reserved_usage": None}, "reserved_usage is None: no quantity"),
        ({"split_line_item_actual_usage": -1.0}, "actual_usage is -1.0: no quantity"),
    ],
)
def test_a_split_row_that_tells_of_no_pod_hour_is_named(
    tmp_path: Path, october: Month, changes: dict[str, Any], problem: str
) -> None:
    uri = deliver(tmp_path / "bill", [split_row("vcpu", 1.0, **changes)])
    with pytest.raises(PodledgerError, match=r"cur-00001\.snappy\.parquet") as failure:
        fetched(uri, october, tmp_path / "landing")
    assert problem in str(failure.value)
    assert not list((tmp_path / "landing").rglob("2026-10-*.parquet"))


def test_the_bill_itself_may_be_the_inventory(tmp_path: Path, october: Month) -> None:
    folder = tmp_path / "a bill"
    settings = Settings(
        bill=(str(folder), "s3://bucket/cur"), pods=("scad://bill", "/pods"), home=tmp_path
    )
    roots = resolve_inputs(settings, october).pod_roots
    assert roots == (f"scad+{folder.as_uri()}", "scad+s3://bucket/cur", "/pods")
    deliver(folder, [split_row("vcpu", 1.0), split_row("memory", 1.0)])
    (row,), _ = fetched(roots[0], october, tmp_path / "landing")
    assert row["pod_uid"] == UID


@pytest.mark.parametrize("uri", ["scad+s3:///prefix", "scad+file://host/folder"])
def test_a_root_that_cannot_be_one_is_refused_at_once(uri: str) -> None:
    with pytest.raises(PodledgerError, match="is not a source of pod inventories"):
        parse_source(uri)
