"""Laws of OpenCost as a source: an hour's allocation is a pod-hour, or nothing is read."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources import parse_source
from orchestration.inventory.sources.interface import SourceFile
from orchestration.inventory.sources.opencost import OpenCostSource, derived_uid
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

INSTANCE = "i-0123456789abcdef0"
TWO_HOURS_IN = dt.datetime(2026, 10, 1, 2, 20, tzinfo=dt.UTC)
AFTER = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)


def allocation(hour: str = "2026-10-01T05:00:00Z", **changes: Any) -> dict[str, Any]:
    """An allocation as OpenCost writes it, of one pod and one hour."""
    start = dt.datetime.fromisoformat(hour)
    properties = {
        "cluster": "cluster-one",
        "node": "ip-10-0-0-1.ec2.internal",
        "controller": "web",
        "controllerKind": "deployment",
        "namespace": "shop",
        "pod": "web-6c9f-x2x7p",
        "providerID": INSTANCE,
        "labels": {"app_kubernetes_io_name": "web", "team": "shop"},
    }
    return {
        "name": "cluster-one/shop/web-6c9f-x2x7p",
        "properties": properties | changes.pop("properties", {}),
        "window": {
            "start": hour,
            "end": f"{start + dt.timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        },
        "start": hour,
        "end": f"{start + dt.timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}",
        "minutes": 30.0,
        "cpuCores": 2.0,
        "cpuCoreRequestAverage": 2.0,
        "cpuCoreUsageAverage": 0.25,
        "cpuCost": 0.063,
        "gpuCount": 1.0,
        "ramBytes": 4 * 2**30,
        "ramByteRequestAverage": 4 * 2**30,
        "ramByteUsageAverage": 3 * 2**30,
        "totalCost": 0.1,
        **changes,
    }


IDLE = {
    "name": "cluster-one/__idle__",
    "properties": {"cluster": "cluster-one"},
    "window": {"start": "2026-10-01T05:00:00Z", "end": "2026-10-01T06:00:00Z"},
    "minutes": 60.0,
}
UNMOUNTED = allocation(properties={"pod": "__unmounted__", "namespace": "__unmounted__"})


def written(folder: Path, *hours: dict[str, Any] | None) -> str:
    """A copy of an answer; gives its URI."""
    folder.mkdir(exist_ok=True)
    (folder / "answer.json").write_text(json.dumps({"code": 200, "data": hours}))
    return f"opencost+file://{quote(str(folder))}"


def rows(files: list[SourceFile]) -> list[dict[str, Any]]:
    tables = [pq.read_table(file.path) for file in files if file.kind == "pod_hours"]
    return list(pa.concat_tables(tables).to_pylist())


def fetched(
    uri: str, month: Month, landing: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    return rows(parse_source(uri).fetch(month, landing, told.append)), told


def test_an_allocation_of_an_hour_becomes_a_pod_hour(
    tmp_path: Path, october: Month
) -> None:
    uri = written(tmp_path / "answers", {"web": allocation()})
    (row,), told = fetched(uri, october, tmp_path / "landing")
    assert row == {
        "cluster_name": "cluster-one",
        "account_id": None,
        "region": None,
        "node_name": "ip-10-0-0-1.ec2.internal",
        "instance_id": INSTANCE,
        "usage_hour": dt.datetime.fromisoformat("2026-10-01T05:00:00"),
        "namespace": "shop",
        "pod_name": "web-6c9f-x2x7p",
        "pod_uid": derived_uid("cluster-one", INSTANCE, "shop", "web-6c9f-x2x7p"),
        "workload_type": "Deployment",
        "workload_name": "web",
        "deployment": "web",
        "bound_seconds": 1800,
        "vcpu_requested": 2.0,
        "memory_requested_gib": 4.0,
        "vcpu_used": 0.25,
        "memory_used_gib": 3.0,
        "accelerators_requested": '{"nvidia.com/gpu": 1.0}',
        "accelerators_used": None,
        "labels": '{"app_kubernetes_io_name": "web", "team": "shop"}',
    }
    assert any("uids are derived" in line for line in told)


def test_idle_and_unmounted_rows_are_no_pods(tmp_path: Path, october: Month) -> None:
    uri = written(
        tmp_path / "answers",
        {"web": allocation(), "__idle__": IDLE, "unmounted": UNMOUNTED},
    )
    found, told = fetched(uri, october, tmp_path / "landing")
    assert [row["pod_name"] for row in found] == ["web-6c9f-x2x7p"]
    assert any("2 allocations belong to no pod" in line for line in told)


def test_the_name_that_is_configured_wins_over_the_servers(
    tmp_path: Path, october: Month
) -> None:
    uri = written(tmp_path / "answers", {"web": allocation()}) + "?cluster=prod"
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert row["cluster_name"] == "prod"


def test_a_uid_that_the_server_ingests_is_kept(tmp_path: Path, october: Month) -> None:
    pod = {"pod": "web-6c9f-x2x7p 2f4ff5ac-c813-41e9-a31d-06e9dde32928"}
    uri = written(tmp_path / "answers", {"web": allocation(properties=pod)})
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert row["pod_name"] == "web-6c9f-x2x7p"
    assert row["pod_uid"] == "2f4ff5ac-c813-41e9-a31d-06e9dde32928"


def test_a_derived_uid_tells_apart_what_has_names_of_its_own() -> None:
    names = [("a", "i-1", "n", "p"), ("b", "i-1", "n", "p"), ("a", "i-2", "n", "p")]
    names += [("a", "i-1", "m", "p"), ("a", "i-1", "n", "q"), ("a", "i-1n", "", "p")]
    assert len({derived_uid(*name) for name in names}) == len(names)
    assert derived_uid(*names[0]) == derived_uid(*names[0])


def test_containers_of_one_pod_add_up_to_it(tmp_path: Path, october: Month) -> None:
    half = {"minutes": 15.0, "gpuCount": 0.0}
    uri = written(
        tmp_path / "answers", {"web/a": allocation(), "web/b": allocation(**half)}
    )
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert row["bound_seconds"] == 1800
    assert row["vcpu_requested"] == 3.0
    assert row["memory_used_gib"] == 4.5
    assert row["accelerators_requested"] == '{"nvidia.com/gpu": 1.0}'


def test_use_that_was_not_measured_is_null_and_not_zero(
    tmp_path: Path, october: Month
) -> None:
    nothing = {"cpuCoreUsageAverage": 0.0, "ramByteUsageAverage": 0.0}
    uri = written(tmp_path / "answers", {"web": allocation(**nothing)})
    (row,), _ = fetched(uri, october, tmp_path / "landing")
    assert (row["vcpu_used"], row["memory_used_gib"]) == (None, None)


def test_pods_on_no_instance_are_left_out_and_told(tmp_path: Path, october: Month) -> None:
    fargate = {"providerID": "fargate-ip-10-0-0-9", "pod": "batch-1"}
    uri = written(
        tmp_path / "answers", {"web": allocation(), "x": allocation(properties=fargate)}
    )
    found, told = fetched(uri, october, tmp_path / "landing")
    assert len(found) == 1
    assert any(
        "1 pod-hours run on no EC2 instance (fargate-ip-10-0-0-9)" in t for t in told
    )


def test_hours_without_any_allocation_are_told_as_a_gap(
    tmp_path: Path, october: Month
) -> None:
    uri = written(tmp_path / "answers", {"web": allocation()}, None, {})
    _, told = fetched(uri, october, tmp_path / "landing")
    assert any("from 2026-10-01 00:00 to 2026-10-01 05:00" in line for line in told)
    assert any("from 2026-10-01 06:00 to 2026-11-01 00:00" in line for line in told)


def test_the_day_so_far_is_asked_for_again_and_a_day_that_is_over_is_not(
    opencost: Any, tmp_path: Path, october: Month
) -> None:
    hours = [f"2026-10-01T{hour:02}:00:00Z" for hour in range(24)]
    opencost.serve({hour: {"web": allocation(hour)} for hour in hours})
    uri = f"opencost+{opencost.address}?cluster=prod"
    address = opencost.address

    def source(now: dt.datetime) -> OpenCostSource:
        return OpenCostSource(uri, address, "prod", lambda: now)

    first = rows(source(TWO_HOURS_IN).fetch(october, tmp_path, print))
    assert [row["usage_hour"].hour for row in first] == [0, 1]
    assert opencost.asked[0]["window"] == "2026-10-01T00:00:00Z,2026-10-01T02:00:00Z"
    assert opencost.asked[0]["step"] == "1h"
    next_day = dt.datetime(2026, 10, 2, 0, 30, tzinfo=dt.UTC)
    assert len(rows(source(next_day).fetch(october, tmp_path, print))) == 24
    asked = len(opencost.asked)
    assert len(rows(source(next_day).fetch(october, tmp_path, print))) == 24
    assert len(opencost.asked) == asked


def test_a_server_gives_the_same_lake_as_a_copy_of_its_answers(
    opencost: Any, lake: Lake, tmp_path: Path, october: Month
) -> None:
    hours = {
        f"2026-10-{day:02}T{hour:02}:00:00Z": {}
        for day in range(1, 32)
        for hour in range(24)
    }
    for hour in ("2026-10-01T05:00:00Z", "2026-10-30T23:00:00Z"):
        hours[hour] = {"web": allocation(hour), "__idle__": IDLE}
    opencost.serve(hours)
    copies = [written(tmp_path / "answers", *hours.values())]
    lakes = []
    for uri in (f"opencost+{opencost.address}", *copies):
        source = parse_source(uri)
        if isinstance(source, OpenCostSource):
            source = OpenCostSource(uri, source.address, None, lambda: AFTER)
        assert (
            ingest_inventory([source], october, lake, tmp_path / "scratch").pod_hours == 2
        )
        lakes.append([path.read_bytes() for path in lake.files("raw/pod_hours", october)])
    assert lakes[0] == lakes[1]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (
            500,
            b"Internal error: no Prometheus",
            "HTTP 500: 'Internal error: no Prometheus'",
        ),
        (200, b'{"code": 200, "data": [{"web": {"nam', "is not valid JSON"),
        (200, b"<html>a proxy</html>", "is not valid JSON"),
        (200, b'{"code": 400, "message": "bad"}', "code is 400"),
        (200, b'{"code": 200}', "data is not a list of hours"),
        (200, b'{"code": 200, "data": [[1]]}', "not a JSON object"),
    ],
)
def test_an_answer_that_is_none_stops_and_keeps_the_days_before(
    opencost: Any, tmp_path: Path, october: Month, status: int, body: bytes, problem: str
) -> None:
    opencost.serve({"2026-10-01T00:00:00Z": {"web": allocation("2026-10-01T00:00:00Z")}})
    good = opencost.answer
    opencost.answer = lambda query: (
        good(query) if query["window"].startswith("2026-10-01") else (status, body)
    )
    source = OpenCostSource("opencost+http://x", opencost.address, None, lambda: AFTER)
    with pytest.raises(PodledgerError, match="2026-10-02T00:00:00Z") as failure:
        source.fetch(october, tmp_path, print)
    assert problem in str(failure.value)
    assert len(list(tmp_path.rglob("pod_hours/2026-10-01.parquet"))) == 1
    asked_before = [query for query in opencost.asked if "2026-10-01" in query["window"]]
    with pytest.raises(PodledgerError):
        source.fetch(october, tmp_path, print)
    again = [query for query in opencost.asked if "2026-10-01" in query["window"]]
    assert len(again) == len(asked_before)


def test_a_server_that_is_down_is_named(tmp_path: Path, october: Month) -> None:
    source = OpenCostSource("opencost+http://x", "http://127.0.0.1:9", None, lambda: AFTER)
    with pytest.raises(
        PodledgerError, match=r"127\.0\.0\.1:9/allocation .* cannot be read"
    ):
        source.fetch(october, tmp_path, print)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"cpuCoreRequestAverage": None}, "cpuCoreRequestAverage is missing or null"),
        (
            {"ramByteRequestAverage": -1},
            "ramByteRequestAverage is -1, which is not a valid quantity",
        ),
        ({"gpuCount": "1"}, "gpuCount is '1', not a number"),
        ({"minutes": 61}, "minutes is 61.0, more than an hour has"),
        ({"window": {"start": "2026-10-01T00:00:00Z"}}, "window.end is ''"),
        (
            {"window": {"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"}},
            "no hour (step=1h)",
        ),
        ({"properties": {"labels": {"team": 1}}}, "properties.labels.team is 1, not text"),
        ({"properties": {"pod": ["web"]}}, "properties.pod is ['web'], not text"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_allocation(
    tmp_path: Path, october: Month, changes: dict[str, Any], problem: str
) -> None:
    uri = written(tmp_path / "answers", {"web": allocation(**changes)})
    with pytest.raises(
        PodledgerError, match=r"answer\.json, data\[0\], allocation web"
    ) as error:
        fetched(uri, october, tmp_path / "landing")
    assert problem in str(error.value)


def test_a_gzip_file_that_was_cut_short_is_named(tmp_path: Path, october: Month) -> None:
    packed = gzip.compress(json.dumps({"data": [{"web": allocation()}]}).encode())
    (tmp_path / "a.json.gz").write_bytes(packed[:-20])
    with pytest.raises(PodledgerError, match=r"a\.json\.gz cannot be read"):
        fetched(f"opencost+file://{tmp_path}", october, tmp_path / "landing")


@pytest.mark.parametrize(
    "uri",
    [
        "opencost+http:///model",
        "opencost+http://user:word@host:9003",
        "opencost+http://host:9003?clusters=a",
        "opencost+http://host:9003?cluster=",
        "opencost+file://host/folder",
    ],
)
def test_an_address_that_cannot_work_is_refused_at_once(uri: str) -> None:
    with pytest.raises(PodledgerError, match="is not a source of pod inventories"):
        parse_source(uri)
