"""Performance events as the CloudWatch agent writes them, of pods whose truth is known."""

import datetime as dt
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.inventory.sources.interface import SourceFile

INSTANCE = "i-0123456789abcdef0"
UID = "2f4ff5ac-c813-41e9-a31d-06e9dde32928"
POD = "web-6c9f8d7b4f-x2x7p"
HOUR = dt.datetime(2026, 10, 1, 5, tzinfo=dt.UTC)
AFTER = dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC)
"""Two days of the month are over: the fewer days, the faster the tests."""


def at(clock: str, day: int = 1) -> dt.datetime:
    """A moment of October 2026, UTC, like ``05:00:30``."""
    return dt.datetime.fromisoformat(f"2026-10-{day:02}T{clock}+00:00")


def moments(start: dt.datetime, end: dt.datetime, seconds: int = 60) -> list[dt.datetime]:
    """Every so many seconds of a time, half-open."""
    step = dt.timedelta(seconds=seconds)
    return [start + n * step for n in range(-((start - end) // step))]


def event(kind: str, moment: dt.datetime, **changes: Any) -> dict[str, Any]:
    """What every event has."""
    return {
        "AutoScalingGroupName": "workers",
        "CloudWatchMetrics": [],
        "ClusterName": "prod",
        "InstanceId": INSTANCE,
        "InstanceType": "g5.12xlarge",
        "NodeName": "ip-10-0-0-1.ec2.internal",
        "Sources": ["cadvisor", "pod", "calculated"],
        "Timestamp": str(int(moment.timestamp() * 1000)),
        "Type": kind,
        "Version": "0",
        **changes,
    }


def kubernetes(**changes: Any) -> dict[str, Any]:
    """Who a pod is."""
    return {
        "host": "ip-10-0-0-1.ec2.internal",
        "labels": {"app": "web", "team": "shop", "pod-template-hash": "6c9f8d7b4f"},
        "namespace_name": "shop",
        "pod_id": UID,
        "pod_name": POD,
        "pod_owners": [{"owner_kind": "Deployment", "owner_name": "web"}],
        **changes,
    }


def pod(moment: dt.datetime, **changes: Any) -> dict[str, Any]:
    """A pod's event; changes of ``kubernetes`` are merged into it."""
    blob = kubernetes(**changes.pop("kubernetes", {}))
    facts = {
        "Namespace": blob["namespace_name"],
        "PodName": "web",
        "kubernetes": blob,
        "pod_cpu_request": 1500,
        "pod_cpu_usage_total": 250.0,
        "pod_memory_request": 4 * 2**30,
        "pod_memory_working_set": 3 * 2**30,
        "pod_status": "Running",
    }
    return event("Pod", moment, **(facts | changes))


def gpu(moment: dt.datetime, **changes: Any) -> dict[str, Any]:
    """A GPU of the pod at work, or with ``pod_gpu_request`` their number."""
    facts = {"FullPodName": POD, "PodName": "web", "Namespace": "shop"}
    return event("PodGPU", moment, **(facts | changes))


def export(path: Path, events: Iterable[dict[str, Any]], *, packed: bool = True) -> None:
    """Events as CloudWatch Logs exports them: the moment of arrival before each."""
    lines = "".join(f"2026-10-09T12:00:00.000Z {json.dumps(e)}\n" for e in events)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())


def rows(files: list[SourceFile], kind: str = "pod_hours") -> list[dict[str, Any]]:
    """All rows of one kind, in the order of days."""
    tables = [pq.read_table(file.path) for file in files if file.kind == kind]
    return list(pa.concat_tables(tables).to_pylist())
