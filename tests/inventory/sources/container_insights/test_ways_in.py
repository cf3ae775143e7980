"""Laws of the ways in: a folder, exports in S3 and the Logs API bring the same hours."""

import datetime as dt
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from orchestration.inventory.sources import parse_source
from orchestration.inventory.sources.container_insights.events import REQUIRED
from orchestration.inventory.sources.container_insights.lines import FolderEvents, LogGroup
from orchestration.inventory.sources.container_insights.source import (
    ContainerInsightsExport,
    ContainerInsightsLogs,
)
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from tests.inventory.sources.container_insights.agent import (
    AFTER,
    HOUR,
    UID,
    event,
    export,
    gpu,
    moments,
    pod,
    rows,
)

WHOLE_HOUR = moments(HOUR, HOUR + dt.timedelta(hours=1))
GROUP = "/aws/containerinsights/prod/performance"


def of_folder(folder: Path, **options: Any) -> ContainerInsightsExport:
    return ContainerInsightsExport("ci", FolderEvents(folder), now=lambda: AFTER, **options)


def test_plain_lines_and_exported_lines_packed_or_not_are_the_same(
    tmp_path: Path, october: Month
) -> None:
    events = [pod(moment) for moment in WHOLE_HOUR]
    export(tmp_path / "exported/task/stream/000000.gz", events)
    export(tmp_path / "unpacked/000000.log", events, packed=False)
    plain = "\n".join(json.dumps(one) for one in events)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/events.ndjson.gz").write_bytes(gzip.compress(plain.encode()))
    found = [
        rows(of_folder(tmp_path / name).fetch(october, tmp_path / f"landing-{name}", print))
        for name in ("exported", "unpacked", "plain")
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 1


def envelope(*messages: str, kind: str = "DATA_MESSAGE") -> str:
    """What a subscription of the log group hands to Firehose."""
    events = [{"id": str(n), "timestamp": 0, "message": m} for n, m in enumerate(messages)]
    where = {"owner": "111122223333", "logGroup": GROUP, "logStream": "node-1"}
    return json.dumps({"messageType": kind} | where | {"logEvents": events})


@pytest.mark.parametrize("between", ["", "\n"])
@pytest.mark.parametrize("times_packed", [0, 1, 2])
def test_what_firehose_delivers_gives_what_an_export_gives(
    tmp_path: Path, october: Month, times_packed: int, between: str
) -> None:
    """CloudWatch packs each record, and Firehose may pack the object once more."""
    events = [json.dumps(pod(moment)) for moment in WHOLE_HOUR]
    records = [
        envelope("CWL CONTROL MESSAGE: Checking health", kind="CONTROL_MESSAGE"),
        envelope(*events[:25]),
        envelope(*events[25:]),
    ]
    parts = [f"{record}{between}".encode() for record in records]
    content = b"".join(gzip.compress(part) if times_packed else part for part in parts)
    (tmp_path / "firehose").mkdir()
    (tmp_path / "firehose/delivered.gz").write_bytes(
        gzip.compress(content) if times_packed == 2 else content
    )
    export(tmp_path / "exported/000000.gz", map(pod, WHOLE_HOUR))
    found, expected = (
        rows(of_folder(tmp_path / name).fetch(october, tmp_path / f"landing-{name}", print))
        for name in ("firehose", "exported")
    )
    assert found == expected
    assert len(found) == 1


@pytest.mark.parametrize("text", [envelope("x")[:-9], '{"logEvents": [{"id": "1"}]}'])
def test_an_envelope_that_is_cut_short_stops_the_month(
    tmp_path: Path, october: Month, text: str
) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events/a.json").write_text(text)
    with pytest.raises(PodledgerError, match=r"a\.json, line 1.*no envelope"):
        of_folder(tmp_path / "events").fetch(october, tmp_path / "landing", print)


def test_exports_in_s3_give_what_a_copy_of_them_gives(
    aws: str, tmp_path: Path, october: Month
) -> None:
    export(tmp_path / "copy/exports/task/stream/000000.gz", map(pod, WHOLE_HOUR[:40]))
    export(tmp_path / "copy/exports/task/stream/000001.gz", map(pod, WHOLE_HOUR[40:]))
    client = boto3.client("s3")
    client.create_bucket(Bucket="logs")
    for path in (tmp_path / "copy").rglob("*.gz"):
        client.upload_file(
            str(path), "logs", path.relative_to(tmp_path / "copy").as_posix()
        )
    client.put_object(Bucket="logs", Key="exports/aws-logs-write-test", Body=b"Permission")
    client.put_object(Bucket="logs", Key="exports-of-others/000000.gz", Body=b"no events")
    parsed = parse_source("container-insights+s3://logs/exports?cluster=prod")
    assert isinstance(parsed, ContainerInsightsExport)
    from_s3 = ContainerInsightsExport("s3", parsed.events, "prod", now=lambda: AFTER)
    found = rows(from_s3.fetch(october, tmp_path / "landing", print))
    copy = of_folder(tmp_path / "copy")
    assert found == rows(copy.fetch(october, tmp_path / "landing", print))
    assert found[0]["bound_seconds"] == 3600


def test_events_that_were_read_are_not_read_again_until_they_change(
    tmp_path: Path, october: Month
) -> None:
    folder, landing = tmp_path / "events", tmp_path / "landing"
    export(folder / "a.gz", map(pod, WHOLE_HOUR[:30]))
    told: list[str] = []
    of_folder(folder).fetch(october, landing, told.append)
    before = len([line for line in told if "pod-hours on" in line])
    of_folder(folder).fetch(october, landing, told.append)
    read_again = {"2026-10-01: 1 pod-hours" in line for line in told[before:]}
    assert read_again == {False}
    export(folder / "b.gz", map(pod, WHOLE_HOUR[30:]))
    (row,) = rows(of_folder(folder).fetch(october, landing, print))
    assert row["bound_seconds"] == 3600


def test_a_log_group_is_read_through_the_logs_api(aws: str, tmp_path: Path) -> None:
    # The service takes no events that are older than 14 days.
    now = dt.datetime.now(dt.UTC)
    yesterday = now.replace(hour=5, minute=0, second=0, microsecond=0) - dt.timedelta(
        days=1
    )
    month = Month(yesterday.year, yesterday.month)
    client = boto3.client("logs", region_name="eu-west-1")
    client.create_log_group(logGroupName=GROUP)
    for stream in ("node-1", "node-2"):
        client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    for stream, events in (
        (
            "node-1",
            [pod(moment) for moment in moments(yesterday, yesterday.replace(hour=6))],
        ),
        ("node-2", [event("ContainerFS", yesterday), event("NodeNet", yesterday)]),
    ):
        client.put_log_events(
            logGroupName=GROUP,
            logStreamName=stream,
            logEvents=[
                {"timestamp": int(one["Timestamp"]), "message": json.dumps(one)}
                for one in events
            ],
        )
    source = parse_source(f"container-insights+logs://eu-west-1{GROUP}?cluster=prod")
    (row,) = rows(source.fetch(month, tmp_path, print))
    assert (row["pod_uid"], row["bound_seconds"]) == (UID, 3600)


def test_a_log_group_that_is_not_there_is_named(aws: str, tmp_path: Path) -> None:
    source = ContainerInsightsLogs("logs", LogGroup("eu-west-1", GROUP), now=lambda: AFTER)
    with pytest.raises(
        PodledgerError, match=f"log group {GROUP} in eu-west-1 cannot be read"
    ):
        source.fetch(Month(2026, 10), tmp_path, print)


@pytest.fixture
def busy_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """CloudWatch that throttles first, and then gives two pages; keeps the requests."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            answer: dict[str, Any] = {"events": []}
            status = 200
            if len(asked) == 1:
                status, answer = 400, {"__type": "ThrottlingException", "message": "Rate"}
            elif body["startTime"] < HOUR.timestamp() * 1000 < body["endTime"]:
                half = WHOLE_HOUR[30:] if "nextToken" in body else WHOLE_HOUR[:30]
                answer["events"] = [
                    {
                        "eventId": f"{number}",
                        "logStreamName": "node",
                        "timestamp": 0,
                        "message": json.dumps(pod(moment)),
                    }
                    for number, moment in enumerate(half)
                ]
                if "nextToken" not in body:
                    answer["nextToken"] = "second"
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_throttling_is_waited_out_all_pages_are_read_and_days_asked_once(
    busy_logs: list[dict[str, Any]], tmp_path: Path, october: Month
) -> None:
    def source(now: dt.datetime) -> ContainerInsightsLogs:
        return ContainerInsightsLogs("logs", LogGroup("us-east-1", GROUP), now=lambda: now)

    on_the_second = dt.datetime(2026, 10, 2, 9, tzinfo=dt.UTC)
    (row,) = rows(source(on_the_second).fetch(october, tmp_path, print))
    assert row["bound_seconds"] == 3600
    windows = [(body["startTime"], body["endTime"]) for body in busy_logs]
    first_day = int(dt.datetime(2026, 10, 1, tzinfo=dt.UTC).timestamp()) * 1000
    assert windows[0] == (first_day - 60_000, first_day + 86_400_000 - 1)
    assert busy_logs[-1]["filterPattern"].startswith("{ ($.Type = ")
    asked = len(busy_logs)
    source(on_the_second).fetch(october, tmp_path, print)
    assert len(busy_logs) == asked + 1, "the second is not over, the first is"


def test_only_the_cluster_that_is_named_is_read(tmp_path: Path, october: Month) -> None:
    other = [pod(moment, ClusterName="other") for moment in WHOLE_HOUR]
    export(tmp_path / "e/a.gz", [*other, *(pod(moment) for moment in WHOLE_HOUR[:10])])
    source = of_folder(tmp_path / "e", cluster="prod")
    (row,) = rows(source.fetch(october, tmp_path / "landing", print))
    assert row["bound_seconds"] == 600
    misspelt = of_folder(tmp_path / "e", cluster="prd")
    with pytest.raises(PodledgerError, match="of the cluster 'prd', but of: other, prod"):
        misspelt.fetch(october, tmp_path / "elsewhere", print)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"Type": "Pod", "Cluster', "the line is not valid JSON"),
        ("Permission granted", "the line is not valid JSON"),
        ("[1]", "the line is not valid JSON"),
        (json.dumps(pod(HOUR) | {"pod_cpu_request": "1500"}), "pod_cpu_request is '1500'"),
        (json.dumps(pod(HOUR) | {"pod_cpu_usage_total": -1}), "usage_total is -1"),
        (json.dumps(pod(HOUR) | {"pod_memory_working_set": float("nan")}), "set is nan"),
        (json.dumps(pod(HOUR) | {"kubernetes": "{}"}), "kubernetes is '{}'"),
        (json.dumps(pod(HOUR, kubernetes={"pod_id": 7})), "kubernetes.pod_id is 7"),
        (
            json.dumps(pod(HOUR, kubernetes={"labels": {"a": 1}})),
            "kubernetes.labels.a is 1",
        ),
        (
            json.dumps(pod(HOUR, kubernetes={"pod_owners": "x"})),
            "pod_owners is 'x', no list",
        ),
        (json.dumps(pod(HOUR, Timestamp="yesterday")), "Timestamp is 'yesterday'"),
        (json.dumps(pod(HOUR, Timestamp=1567096682)), "Timestamp is 1567096682"),
        (json.dumps(pod(HOUR, InstanceId="worker-1")), "InstanceId is 'worker-1'"),
        (json.dumps(gpu(HOUR, pod_gpu_request=True)), "pod_gpu_request is True"),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_field(
    tmp_path: Path, october: Month, line: str, problem: str
) -> None:
    (tmp_path / "e").mkdir()
    good = json.dumps(pod(HOUR))
    (tmp_path / "e/a.log").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(PodledgerError, match=r"a\.log, line 3: ") as failure:
        of_folder(tmp_path / "e").fetch(october, tmp_path / "landing", print)
    assert problem in str(failure.value)
    assert not list((tmp_path / "landing").rglob("*.parquet"))


@pytest.mark.parametrize("kind", sorted(REQUIRED))
def test_every_field_that_a_type_needs_is_asked_for(
    tmp_path: Path, october: Month, kind: str
) -> None:
    everything = pod(HOUR, FullPodName="web", NeuronCore="core0", Type=kind)
    everything["kubernetes"]["container_name"] = "main"
    (tmp_path / "e").mkdir()
    for name in (*REQUIRED[kind], "Timestamp"):
        broken = {field: value for field, value in everything.items() if field != name}
        (tmp_path / "e/a.log").write_text(json.dumps(broken))
        with pytest.raises(PodledgerError, match=f"line 1: {name} is missing"):
            of_folder(tmp_path / "e").fetch(october, tmp_path / "landing", print)


def test_what_a_type_must_have_its_schema_requires(real_data: Path) -> None:
    files = {
        "Pod": "pod",
        "Container": "container",
        "Node": "node",
        "PodGPU": "pod_gpu",
        "ContainerGPU": "container_gpu",
        "NodeGPU": "node_gpu",
        "PodNeuronCore": "pod_neuroncore",
        "NodeNeuron": "node_neuron",
        "NodeNeuronCore": "node_neuroncore",
    }
    assert files.keys() == REQUIRED.keys()
    for kind, name in files.items():
        path = real_data / "container_insights" / f"{name}.json"
        schema = json.loads(path.read_text())
        assert set(REQUIRED[kind]) <= set(schema["required"]), kind
        unread = {"AutoScalingGroupName", "CloudWatchMetrics", "Sources", "Version"}
        unread |= {"UltraServer", "Service", "Type", "Timestamp", "PodName", "InstanceType"}
        unread |= {"GpuDevice", "ContainerName", "NeuronDevice", "NodeName"}
        if kind.startswith("Node"):
            unread |= {"kubernetes", "NeuronCore"}
        assert set(schema["required"]) <= set(REQUIRED[kind]) | unread, kind


def test_the_events_of_these_tests_are_what_the_schemas_allow(real_data: Path) -> None:
    for name, one in (("pod", pod(HOUR)), ("pod_gpu", gpu(HOUR))):
        path = real_data / "container_insights" / f"{name}.json"
        schema = json.loads(path.read_text())
        assert set(schema["required"]) <= one.keys()
        allowed = set(schema["properties"])
        assert {k for k in one if k.startswith(("pod_", "kube"))} <= allowed
        if "kubernetes" in one:
            inner = schema["properties"]["kubernetes"]
            assert (
                set(inner["required"])
                <= one["kubernetes"].keys()
                <= set(inner["properties"])
            )


@pytest.mark.parametrize("cut", [1, 40])
def test_a_gzip_file_that_was_cut_short_is_named(
    tmp_path: Path, october: Month, cut: int
) -> None:
    export(tmp_path / "e/a.gz", map(pod, WHOLE_HOUR))
    path = tmp_path / "e/a.gz"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(PodledgerError, match=r"a\.gz cannot be read after line"):
        of_folder(tmp_path / "e").fetch(october, tmp_path / "landing", print)


@pytest.mark.parametrize(
    "uri",
    [
        "container-insights+s3:///prefix",
        "container-insights+file://host/folder",
        "container-insights+logs://eu-west-1",
        "container-insights+logs:///aws/containerinsights/prod/performance",
        "container-insights+s3://bucket/prefix?clusters=prod",
        "container-insights+s3://bucket/prefix?interval=0",
    ],
)
def test_an_address_that_cannot_work_is_refused_at_once(uri: str) -> None:
    with pytest.raises(PodledgerError, match="is not a source of pod inventories"):
        parse_source(uri)


def test_a_folder_without_events_is_refused(tmp_path: Path, october: Month) -> None:
    with pytest.raises(PodledgerError, match="holds no files of performance events"):
        of_folder(tmp_path).fetch(october, tmp_path / "landing", print)
