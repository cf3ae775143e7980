"""What real exporters said, pushed through a real Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.inventory.sources.prometheus import PrometheusSource
from tests.inventory.sources.prometheus.conftest import Serve
from tests.inventory.sources.prometheus.world import MONTH, at, line

_SAMPLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*\{.*\}) (\S+)\s*")
RESERVATION = "runai-reservation-gpu-qa-mig-worker-gpu-1-kvltw"

Row = dict[str, Any]


def samples(path: Path) -> list[tuple[str, str]]:
    """Series and value of each line of a capture that is a sample."""
    lines = path.read_text().splitlines()
    return [match.groups() for line in lines if (match := _SAMPLE.fullmatch(line))]  # type: ignore[misc]


def node(name: str, provider: str) -> tuple[str, str]:
    labels = {"node": name, "provider_id": provider}
    text, value, _ = line("kube_node_info", labels, 1, 0).split()
    return text, value


def scraped(told: list[tuple[str, str]]) -> Iterator[str]:
    """The same scrape every minute of an hour."""
    for moment in range(at(5), at(6), 60):
        yield from (f"{series} {value} {moment}\n" for series, value in dict(told).items())
    yield "# EOF\n"


def fetched(serve: Serve, told: list[tuple[str, str]], landing: Path) -> dict[str, Row]:
    with serve(scraped(told)) as address:
        source = PrometheusSource.from_uri(f"prometheus+http://{address}?cluster=kind")
        files = source.fetch(MONTH, landing, lambda _: None)
    rows: list[Row] = [
        row
        for file in files
        if file.kind == "pod_hours"
        for row in pq.read_table(file.path).to_pylist()
    ]
    return {row["pod_name"]: row for row in rows}


def test_a_real_scrape_of_kube_state_metrics_is_understood(
    serve: Serve, real_data: Path, tmp_path: Path
) -> None:
    told = samples(real_data / "kube_state_metrics" / "ksm_v2.19.1_kind_excerpt.prom")
    told.append(node("kind-control-plane", "aws:///us-east-1a/i-0123"))
    pods = fetched(serve, told, tmp_path)
    assert set(pods) == {
        "kube-proxy-xld9l",
        "hellohpa-854f544649-jdljx",
        "hello-29732335-fl66m",
        "etcd-kind-control-plane",
    }
    assert pods["etcd-kind-control-plane"]["memory_requested_gib"] == 100 / 1024
    assert pods["etcd-kind-control-plane"]["workload_type"] == "Node"
    assert pods["hello-29732335-fl66m"]["workload_type"] == "CronJob"
    assert pods["hello-29732335-fl66m"]["workload_name"] == "hello"
    # No scheduled time in the excerpt: from the first to the last minute that it was seen.
    assert pods["kube-proxy-xld9l"]["bound_seconds"] == pytest.approx(3600, abs=60)


def kube_pod(name: str, namespace: str, resource: str, count: int) -> list[tuple[str, str]]:
    key = {"namespace": namespace, "pod": name, "uid": f"uid-of-{name}"}
    owner = {"node": "gpu-1", "created_by_kind": "<none>"}
    request = {
        "container": "main",
        "node": "gpu-1",
        "resource": resource,
        "unit": "integer",
    }
    lines = [
        line("kube_pod_info", key | owner, 1, 0),
        line("kube_pod_container_resource_requests", key | request, count, 0),
    ]
    return [(text.rsplit(" ", 2)[0], text.split()[-2]) for text in lines]


def test_a_node_of_hyperpod_is_the_instance_after_its_cluster(
    serve: Serve, tmp_path: Path
) -> None:
    told = kube_pod("train", "ml", "nvidia_com_gpu", 8)
    instance = "i-0123456789abcdef0"
    cluster = "aws:///use1-az4/sagemaker/cluster/hyperpod-abc123def456"
    told.append(node("gpu-1", f"{cluster}-{instance}"))
    assert fetched(serve, told, tmp_path)["train"]["instance_id"] == instance


def test_a_real_device_is_busy_for_the_reservation_pod_that_holds_it(
    serve: Serve, real_data: Path, tmp_path: Path
) -> None:
    told = samples(real_data / "dcgm_mig" / "2.9_fraction_metrics_1_workload.ini")
    told += kube_pod(RESERVATION, "runai-reservation", "nvidia_com_gpu", 1)
    told += kube_pod("fraction", "team", "cpu", 1)
    told.append(node("gpu-1", "aws:///us-east-1a/i-0123"))
    pods = fetched(serve, told, tmp_path)
    assert json.loads(pods[RESERVATION]["accelerators_requested"]) == {"nvidia.com/gpu": 1}
    assert pods[RESERVATION]["accelerators_used"] == pytest.approx(0.000039)
    assert pods["fraction"]["accelerators_used"] is None


def test_slices_without_pod_labels_are_busy_for_the_only_pod_that_holds_devices(
    serve: Serve, real_data: Path, tmp_path: Path
) -> None:
    told = [
        (series.replace('Hostname="nvidia-dcgm-exporter-q28k4"', 'Hostname="gpu-1"'), value)
        for series, value in samples(
            real_data / "dcgm_mig" / "2.9_mig_metrics_Active_2_1g.5gb_2g.10gb.ini"
        )
    ]
    told += kube_pod("slices", "team", "nvidia_com_mig_1g_5gb", 2)
    told.append(node("gpu-1", "aws:///us-east-1a/i-0123"))
    pods = fetched(serve, told, tmp_path)
    busy = (0.000062 + 0.999917) / 7 + 0.000036 * 2 / 7
    assert pods["slices"]["accelerators_used"] == pytest.approx(busy, rel=1e-6)
