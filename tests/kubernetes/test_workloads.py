"""A pod's workload is the same whichever source tells of it, and AWS's names come back."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.collector.history import PodRecord
from orchestration.collector.history import Workload as Found
from orchestration.collector.hours import _workload
from orchestration.collector.pods import Controller
from orchestration.inventory.sources.container_insights.events import _workload as of_event
from orchestration.inventory.sources.fields import Fields
from orchestration.inventory.sources.opencost import OpenCostFiles
from orchestration.inventory.sources.prometheus import PrometheusSource
from orchestration.inventory.sources.scad import _pod_hour
from orchestration.kubernetes.workloads import Workload
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR
from tests.inventory.sources.prometheus.conftest import serve  # noqa: F401
from tests.inventory.sources.prometheus.test_world import rows
from tests.inventory.sources.prometheus.world import GIB, at, line

MONTH = Month(2024, 10)


@dataclass(frozen=True)
class Case:
    """A pod, its chain of controllers from the nearest to the topmost, and the answer."""

    pod: str
    chain: tuple[tuple[str, str], ...]
    expected: Workload
    labels: Mapping[str, str] = field(default_factory=dict)


CASES = [
    Case(
        "web-6d8f7c9b44-x2k8p",
        (("ReplicaSet", "web-6d8f7c9b44"), ("Deployment", "web")),
        Workload("Deployment", "web", "web"),
        {"pod-template-hash": "6d8f7c9b44"},
    ),
    Case(
        "canary-5c7d8f9b64-zz2k8",
        (("ReplicaSet", "canary-5c7d8f9b64"), ("Rollout", "canary")),
        Workload("Rollout", "canary", None),
        {"rollouts-pod-template-hash": "5c7d8f9b64"},
    ),
    Case(
        "nightly-28800000-b7x2k",
        (("Job", "nightly-28800000"), ("CronJob", "nightly")),
        Workload("CronJob", "nightly", None),
    ),
    Case(
        "backup-20261127-b7x2k",
        (("Job", "backup-20261127"),),
        Workload("Job", "backup-20261127", None),
    ),
    Case("db-0", (("StatefulSet", "db"),), Workload("StatefulSet", "db", None)),
    Case("logs-x2k8p", (("DaemonSet", "logs"),), Workload("DaemonSet", "logs", None)),
    Case("alone", (), Workload(None, None, None)),
]

BY_POD = {case.pod: case for case in CASES}


def by_aws(case: Case) -> Workload:
    """From the tags that AWS gives: the nearest controller, and the Deployment."""
    kind, name = case.chain[0] if case.chain else (None, None)
    tags = {"aws_eks_workload_type": kind, "aws_eks_workload_name": name}
    tags["aws_eks_deployment"] = case.expected.deployment
    tags |= {f"user_{label}": value for label, value in case.labels.items()}
    told = {name: value for name, value in tags.items() if value is not None}
    quantities = ("vcpu_requested", "memory_requested_gib", "devices")
    names = ("cluster_name", "namespace")
    row: dict[str, Any] = dict.fromkeys(quantities, 1.0) | dict.fromkeys(names, "c")
    return _told(_pod_hour(row | {"tags": json.dumps(told)}))


def by_container_insights(case: Case) -> Workload:
    """From the owner in an agent's event, which may be the nearest one."""
    owners = [{"owner_kind": kind, "owner_name": name} for kind, name in case.chain[:1]]
    event = Fields.of({"pod_owners": owners}, "event", "")
    return _told(of_event(event, case.labels))


def by_collector(case: Case) -> Workload:
    """From a walk along the owners."""
    near = Controller("v1", *case.chain[0], "uid") if case.chain else None
    record = PodRecord("uid", "shop", case.pod, "node", 0, [], dict(case.labels), near)
    if case.chain:
        record.workload = Found(*case.chain[-1], case.expected.deployment)
    return _workload(record)


def by_collector_that_may_not_read_owners(case: Case) -> Workload:
    """From the nearest owner and the pod's labels."""
    near = Controller("v1", *case.chain[0], "uid") if case.chain else None
    record = PodRecord("uid", "shop", case.pod, "node", 0, [], dict(case.labels), near)
    if case.chain:
        record.workload = Found(*case.chain[0], None)
    return _workload(record)


def _told(row: Mapping[str, Any]) -> Workload:
    return Workload(row["workload_type"], row["workload_name"], row["deployment"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.pod)
@pytest.mark.parametrize(
    "source",
    [
        by_aws,
        by_container_insights,
        by_collector,
        by_collector_that_may_not_read_owners,
    ],
)
def test_every_source_tells_the_topmost_controller(source: Any, case: Case) -> None:
    assert source(case) == case.expected


def test_opencost_tells_the_same(tmp_path: Path) -> None:
    hour = dt.datetime(2024, 10, 1, tzinfo=dt.UTC)
    window = {
        "start": hour.isoformat(),
        "end": (hour + dt.timedelta(hours=1)).isoformat(),
    }
    numbers = ("RequestAverage", "UsageAverage")
    allocations = {}
    for case in CASES:
        kind, name = case.chain[0] if case.chain else ("", "")
        allocations[case.pod] = {
            "properties": {
                "pod": case.pod,
                "namespace": "shop",
                "providerID": "i-00000000000000001",
                "controllerKind": kind.lower(),
                "controller": name,
                "labels": {
                    label.replace("-", "_"): value for label, value in case.labels.items()
                },
            },
            "window": window,
            "minutes": 60,
            "gpuCount": 0,
            **{f"cpuCore{number}": 1 for number in numbers},
            **{f"ramByte{number}": GIB for number in numbers},
        }
    answer = json.dumps({"code": 200, "data": [allocations]})
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "a.json.gz").write_bytes(gzip.compress(answer.encode()))
    source = OpenCostFiles.from_uri(f"opencost+file://{tmp_path}/answers?cluster=c")
    files = source.fetch(MONTH, tmp_path / "landing", lambda _: None)
    found = {
        row["pod_name"]: _told(row) for row in rows(files, "pod_hours", "pod_uid").values()
    }
    assert found == {case.pod: case.expected for case in CASES}


@pytest.mark.parametrize("has_owners", [True, False])
def test_prometheus_tells_the_same(serve: Any, tmp_path: Path, has_owners: bool) -> None:  # noqa: F811
    def lines() -> Any:
        for moment in range(at(1), at(2), 60):
            provider = {"provider_id": "aws:///us-east-1a/i-0aaa"}
            yield line("kube_node_info", {"node": "n"} | provider, 1, moment)
            for case in CASES:
                key = {"namespace": "shop", "pod": case.pod, "uid": case.pod}
                kind, name = case.chain[0] if case.chain else ("<none>", "<none>")
                owner = {"created_by_kind": kind, "created_by_name": name}
                yield line("kube_pod_info", key | {"node": "n"} | owner, 1, moment)
                request = key | {"container": "app", "resource": "cpu"}
                yield line("kube_pod_container_resource_requests", request, 1, moment)
                if has_owners and len(case.chain) > 1:
                    label = {"ReplicaSet": "replicaset", "Job": "job_name"}[kind]
                    above = {"owner_kind": case.chain[1][0], "owner_name": case.chain[1][1]}
                    labels = {"namespace": "shop", label: name} | above
                    yield line(f"kube_{kind.lower()}_owner", labels, 1, moment)
        yield "# EOF\n"

    with serve(lines()) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=prod")
        files = source.fetch(MONTH, tmp_path, lambda _: None)
    found = {
        row["pod_name"]: _told(row) for row in rows(files, "pod_hours", "pod_uid").values()
    }
    expected = {case.pod: case.expected for case in CASES}
    if not has_owners:
        # Labels of pods are in no name: a Rollout's ReplicaSet looks like a Deployment's.
        canary = "canary-5c7d8f9b64-zz2k8"
        expected[canary] = Workload("Deployment", "canary", "canary")
    assert found == expected


def test_what_aws_calls_a_workload_comes_back_from_the_pods_name() -> None:
    macros = (PROJECT_DIR / "dbt_project/macros/labels.sql").read_text()

    def body(name: str) -> str:
        text = macros.split(f"macro {name}() -%}}")[1].split("{%- endmacro")[0]
        return text.strip()

    for case in CASES:
        kind, name, _ = case.expected
        found = duckdb.execute(
            f"select {body('aws_workload_type')}, coalesce(nearest_controller,"
            f" workload_name) from (select *, {body('nearest_controller')} as"
            " nearest_controller from (select $kind::varchar as workload_type,"
            " $name::varchar as workload_name, $pod as pod_name))",
            {"kind": kind, "name": name, "pod": case.pod},
        ).fetchone()
        assert found == (case.chain[0] if case.chain else (None, None))
