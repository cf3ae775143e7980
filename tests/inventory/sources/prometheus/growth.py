"""How fetching from Prometheus grows with the cluster.

Holds a cluster of any size that does nothing remarkable, and the measuring of one fetch in
a process of its own. As a script, it measures one fetch:

    python -m tests.inventory.sources.prometheus.growth URI FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from orchestration.inventory.sources.prometheus import PrometheusSource
from orchestration.lake.settings import PROJECT_DIR
from tests.inventory.sources.prometheus.world import GIB, MONTH, at, line

HOURS = 3
SCRAPE_SECONDS = 120
PODS_A_NODE = 40


@dataclass(frozen=True)
class Measured:
    """One fetch of the cluster's hours.

    Attributes:
        pod_hours: Rows that came out.
        queries: Requests that were sent for the day with pods.
        seconds: From the first request to the last file.
        peak_mib: Most memory that the process held.
    """

    pod_hours: int
    queries: int
    seconds: float
    peak_mib: float


def cluster_lines(pod_count: int) -> Iterator[str]:
    """OpenMetrics of ``HOURS`` hours of pods that run all the while."""
    for moment in range(at(1), at(1 + HOURS), SCRAPE_SECONDS):
        for number in range(-(-pod_count // PODS_A_NODE)):
            provider = f"aws:///us-east-1a/i-{number:017x}"
            labels = {"node": f"node-{number}", "provider_id": provider}
            yield line("kube_node_info", labels, 1, moment)
        for number in range(pod_count):
            yield from _pod_lines(number, moment)
    yield "# EOF\n"


def _pod_lines(number: int, moment: int) -> Iterator[str]:
    uid = f"{number:08x}-1111-4222-8333-444455556666"
    key = {"namespace": f"ns-{number % 20}", "pod": f"web-{number}", "uid": uid}
    node = {"node": f"node-{number // PODS_A_NODE}"}
    yield line("kube_pod_info", key | node | {"created_by_kind": "DaemonSet"}, 1, moment)
    yield line("kube_pod_status_scheduled_time", key, at(1), moment)
    yield line("kube_pod_status_phase", key | {"phase": "Running"}, 1, moment)
    yield line("kube_pod_labels", key | {"label_team": f"team-{number % 9}"}, 1, moment)
    for resource_name, value in (("cpu", 0.5), ("memory", GIB)):
        request = {"container": "app", "resource": resource_name}
        name = "kube_pod_container_resource_requests"
        yield line(name, key | request, value, moment)
    container = {"namespace": key["namespace"], "pod": key["pod"], "container": "app"}
    container["id"] = f"/kubepods/pod{uid}/1"
    used = 0.25 * (moment - at(1))
    yield line("container_cpu_usage_seconds_total", container, used, moment)
    yield line("container_memory_working_set_bytes", container, GIB, moment)


def measure(address: str, folder: Path) -> Measured:
    """Fetch from a server that holds ``cluster_lines``, in a process of its own.

    Args:
        address: ``host:port`` of the server.
        folder: Empty folder for the day files.
    """
    uri = f"prometheus+http://{address}?cluster=bench"
    module = "tests.inventory.sources.prometheus.growth"
    run = subprocess.run(
        [sys.executable, "-m", module, uri, str(folder)],
        cwd=PROJECT_DIR,
        check=True,
        capture_output=True,
        text=True,
    )
    return Measured(**json.loads(run.stdout))


def _peak_mib() -> float:
    """Most memory since this program began; getrusage tells its parent's as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _main(uri: str, folder: Path) -> None:
    told: list[str] = []
    began = time.monotonic()
    files = PrometheusSource.from_uri(uri).fetch(MONTH, folder, told.append)
    seconds = time.monotonic() - began
    pods = [file.path for file in files if file.kind == "pod_hours"]
    day = next(text for text in told if "pod-hours of" in text and "queries" in text)
    measured = {
        "pod_hours": sum(pq.read_metadata(path).num_rows for path in pods),
        "queries": int(day.split(" queries")[0].rpartition(" ")[2]),
        "seconds": round(seconds, 2),
        "peak_mib": _peak_mib(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
