"""Objects as an API server writes them, no more of each than a test needs."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

T0 = int(dt.datetime(2026, 10, 1, 5, tzinfo=dt.UTC).timestamp())
"""2026-10-01 05:00 UTC: where the tests' hours begin."""

HOUR = 3600


def rfc3339(second: int, zone_hours: int = 0) -> str:
    """A second, as a server in some zone writes it."""
    zone = dt.timezone(dt.timedelta(hours=zone_hours))
    text = dt.datetime.fromtimestamp(second, zone).isoformat()
    return text.replace("+00:00", "Z")


def container(name: str = "main", **requests: str) -> Json:
    names = {key: key.replace("__", "/").replace("_", ".") for key in requests}
    return {
        "name": name,
        "resources": {"requests": {names[key]: value for key, value in requests.items()}},
    }


def sidecar(name: str, **requests: str) -> Json:
    return {**container(name, **requests), "restartPolicy": "Always"}


def pod(
    name: str = "train-0",
    *,
    uid: str | None = None,
    namespace: str = "ml",
    node: str | None = "node-a",
    bound: int | None = T0,
    containers: Sequence[Json] = (),
    init: Sequence[Json] = (),
    phase: str = "Running",
    finished: Mapping[str, int] | None = None,
    deletion: int | None = None,
    changed: int | None = None,
    owner: Json | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> Json:
    created = T0 - HOUR if bound is None else bound
    meta: Json = {
        "uid": uid or f"uid-{name}",
        "name": name,
        "namespace": namespace,
        "creationTimestamp": rfc3339(created),
        "labels": dict(labels or {}),
        "annotations": dict(annotations or {}),
    }
    if owner:
        meta["ownerReferences"] = [owner]
    if deletion is not None:
        meta["deletionTimestamp"] = rfc3339(deletion)
    if changed is not None:
        meta["managedFields"] = [{"manager": "kubelet", "time": rfc3339(changed)}]
    conditions = []
    if bound is not None:
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastTransitionTime": rfc3339(bound),
            }
        )
    whole_spec: Json = {
        "containers": list(containers) or [container(cpu="1", memory="1Gi")],
        "initContainers": list(init),
        **(spec or {}),
    }
    if node is not None:
        whole_spec["nodeName"] = node
    whole_status: Json = {"phase": phase, "conditions": conditions, **(status or {})}
    if finished:
        whole_status["containerStatuses"] = [
            {"name": key, "state": {"terminated": {"finishedAt": rfc3339(second)}}}
            for key, second in finished.items()
        ]
    return {"metadata": meta, "spec": whole_spec, "status": whole_status}


def node(
    name: str = "node-a",
    *,
    uid: str | None = None,
    provider: str = "aws:///us-east-1a/i-0abc",
    created: int = T0 - 10 * HOUR,
    labels: Mapping[str, str] | None = None,
    allocatable: Mapping[str, str] | None = None,
) -> Json:
    return {
        "metadata": {
            "uid": uid or f"uid-{name}",
            "name": name,
            "creationTimestamp": rfc3339(created),
            "labels": {
                "node.kubernetes.io/instance-type": "p4d.24xlarge",
                "topology.kubernetes.io/region": "us-east-1",
                **(labels or {}),
            },
        },
        "spec": {"providerID": provider},
        "status": {"allocatable": dict(allocatable or {"cpu": "96", "memory": "1100Gi"})},
    }


def quota(
    name: str = "quota",
    *,
    namespace: str = "ml",
    created: int = T0 - HOUR,
    changed: int | None = None,
    scopes: Sequence[str] = (),
    **hard: str,
) -> Json:
    """``requests_cpu`` is ``requests.cpu``, and ``__`` a slash."""
    meta: Json = {
        "uid": f"uid-{namespace}-{name}",
        "name": name,
        "namespace": namespace,
        "creationTimestamp": rfc3339(created),
    }
    if changed is not None:
        meta["managedFields"] = [{"manager": "kubectl", "time": rfc3339(changed)}]
    names = {key: key.replace("__", "/").replace("_", ".") for key in hard}
    spec: Json = {"hard": {names[key]: value for key, value in hard.items()}}
    if scopes:
        spec["scopes"] = list(scopes)
    return {"metadata": meta, "spec": spec, "status": {}}


def owner(
    kind: str, name: str, api_version: str = "apps/v1", uid: str | None = None
) -> Json:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid or f"uid-{kind}-{name}",
        "controller": True,
    }


def owned(kind: str, name: str, above: Json | None = None, namespace: str = "ml") -> Json:
    """An owner as an object of its own."""
    meta: Json = {"uid": f"uid-{kind}-{name}", "name": name, "namespace": namespace}
    if above:
        meta["ownerReferences"] = [above]
    return {"kind": kind, "metadata": meta}


def claim(
    name: str = "shared",
    *,
    devices: Sequence[Json] = (),
    consumers: Sequence[str] = (),
    changed: int | None = None,
) -> Json:
    meta: Json = {"uid": f"uid-{name}", "name": name, "namespace": "ml"}
    if changed is not None:
        meta["managedFields"] = [{"manager": "kube-scheduler", "time": rfc3339(changed)}]
    status: Json = {
        "reservedFor": [{"resource": "pods", "name": uid, "uid": uid} for uid in consumers]
    }
    if devices:
        status["allocation"] = {"devices": {"results": list(devices)}}
    return {"metadata": meta, "status": status}


def allocated(
    device: str = "gpu-0", driver: str = "gpu.nvidia.com", **more: object
) -> Json:
    return {"request": "r", "driver": driver, "pool": "node-a", "device": device, **more}


def resource_slice(*devices: Json, driver: str = "gpu.nvidia.com") -> Json:
    return {
        "metadata": {"uid": "uid-slice", "name": "slice"},
        "spec": {"driver": driver, "pool": {"name": "node-a"}, "devices": list(devices)},
    }
