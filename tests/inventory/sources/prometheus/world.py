"""A small cluster of known truth, as its exporters would have told it to Prometheus.

Holds pods with the oddities that real clusters have, over some 27 hours, and what their
pod-hours are by definition. kube-state-metrics is scraped by two replicas every minute,
cAdvisor every half minute. The truth comes of the specification, not of the samples.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from orchestration.lake.months import Month

MONTH = Month(2024, 10)
MIDNIGHT = int(dt.datetime(2024, 10, 1, tzinfo=dt.UTC).timestamp())
HOUR = 3600


def at(hours: int, minutes: int = 0, seconds: int = 0) -> int:
    """Unix seconds, counted from midnight of the month's first day."""
    return MIDNIGHT + hours * HOUR + minutes * 60 + seconds


BEGIN, END = at(-1), at(27)
NOON_GAP = (at(13, 20), at(14, 50))
MIDNIGHT_GAP = (at(23, 50), at(24, 20))
GAPS = (NOON_GAP, MIDNIGHT_GAP)
CADVISOR_GAPS = ((at(20, 15), at(20, 40)), (at(21, 50), at(23, 5)))

GIB = 2**30
KUBE_STEP, CADVISOR_STEP = 60, 30


@dataclass
class Container:
    """A container: requests are (from when, vCPU, GiB, extended resources)."""

    name: str = "app"
    requests: list[tuple[int, float, float, dict[str, float]]] = field(default_factory=list)
    vcpu: float = 0.0
    gib: float = 0.0
    start: int | None = None
    end: int | None = None
    kind: str = "main"
    restarts: tuple[int, ...] = ()


@dataclass
class Pod:
    """A pod: ``gone`` is when its object is deleted, ``end`` when it stops being bound."""

    uid: str
    name: str
    node: str
    scheduled: int
    gone: int
    containers: list[Container]
    namespace: str = "shop"
    owner: tuple[str, str] = ("", "")
    finished: int | None = None
    completed: int | None = None
    early_completion: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    overhead: tuple[float, float] = (0.0, 0.0)
    cgroup_uid: bool = True

    @property
    def end(self) -> int:
        return self.completed or self.finished or self.gone


NODES = [
    ("ip-10-0-0-1.ec2.internal", "aws:///us-east-1a/i-0aaa", "m5.4xlarge", BEGIN, END),
    ("ip-10-0-0-2.ec2.internal", "aws:///us-east-1b/i-0bbb", "p4d.24xlarge", BEGIN, END),
    ("ip-10-0-0-3.ec2.internal", "aws:///us-east-1a/i-0ccc", "m5.xlarge", BEGIN, at(6)),
    ("ip-10-0-0-3.ec2.internal", "aws:///us-east-1a/i-0ddd", "m5.xlarge", at(6, 20), at(9)),
    ("ip-10-0-0-4.ec2.internal", "aws:///us-east-1a/i-0eee", "inf2.24xlarge", BEGIN, END),
    ("fargate-ip-10-0-9-9", "aws:///us-east-1a/0123/fargate-ip-10-0-9-9", "", BEGIN, END),
]
N1, N2, N3, N4, FARGATE = (
    "ip-10-0-0-1.ec2.internal",
    "ip-10-0-0-2.ec2.internal",
    "ip-10-0-0-3.ec2.internal",
    "ip-10-0-0-4.ec2.internal",
    "fargate-ip-10-0-9-9",
)


def uid(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444455556666"


def simple(vcpu: float, gib: float, use: float = 0.0, **more: float) -> list[Container]:
    return [Container(requests=[(0, vcpu, gib, more)], vcpu=use, gib=gib / 2)]


PODS = [
    Pod(
        uid(1),
        "web-7d9f8b-abcde",
        N1,
        at(-1, 10, 5),
        END,
        [
            Container(requests=[(0, 1, 2, {}), (at(10, 30), 2, 2, {})], vcpu=0.5, gib=1.0),
            Container("proxy", [(0, 0.1, 0.25, {})], vcpu=0.05, gib=0.125),
        ],
        owner=("ReplicaSet", "web-7d9f8b"),
        labels={"team": "shop", "app_kubernetes_io_name": "web"},
    ),
    Pod(
        uid(2),
        "nightly-123-x",
        N1,
        at(1, 10, 20),
        at(12),
        [
            Container(requests=[(0, 1, 1, {})], vcpu=0.7, gib=0.5),
            Container("fetch", [(0, 4, 0.5, {})], kind="init"),
        ],
        owner=("Job", "nightly-123"),
        overhead=(0.25, 0.125),
        finished=at(2, 41),
        completed=at(2, 40, 50),
    ),
    Pod(
        uid(3),
        "mesh",
        N1,
        at(3),
        at(5, 20, 10),
        [
            Container(requests=[(0, 0.5, 1, {})], vcpu=0.4, gib=0.5, start=at(3, 40)),
            Container("sidecar", [(0, 0.1, 0.5, {})], kind="sidecar"),
        ],
    ),
    Pod(
        uid(4),
        "evicted",
        N1,
        at(4, 0, 30),
        at(9),
        simple(0.2, 0.5, 0.1),
        finished=at(4, 45),
    ),
    Pod(
        uid(5), "db-0", N1, at(5), at(5, 30), simple(1, 4, 0.2), owner=("StatefulSet", "db")
    ),
    Pod(
        uid(6), "db-0", N1, at(5, 31), at(8), simple(1, 4, 0.8), owner=("StatefulSet", "db")
    ),
    Pod(
        uid(7),
        "etcd-n1",
        N1,
        at(-1, 5),
        END,
        simple(0.1, 0.1, 0.05),
        namespace="kube-system",
        owner=("Node", N1),
        cgroup_uid=False,
    ),
    Pod(
        uid(8),
        "train-master-0",
        N2,
        at(6),
        at(11),
        simple(8, 64, 6.0, nvidia_com_gpu=4),
        namespace="ml",
        owner=("PyTorchJob", "train"),
        completed=at(10),
        finished=at(10, 0, 5),
        labels={"team": "ml", "model": "llm"},
    ),
    Pod(
        uid(9),
        "slices",
        N2,
        at(7),
        at(9),
        simple(1, 4, 0.5, nvidia_com_mig_1g_5gb=2),
        namespace="ml",
    ),
    Pod(
        uid(10),
        "late",
        N1,
        at(23, 20),
        at(26),
        simple(1, 1, 0.25),
        completed=at(24, 35, 30),
        finished=at(24, 36),
    ),
    Pod(
        uid(11),
        "in-gap",
        N1,
        at(14),
        at(16),
        simple(1, 1, 0.25),
        completed=at(15, 30),
        finished=at(15, 30, 10),
    ),
    Pod(uid(12), "in-midnight-gap", N1, at(23, 55), at(25, 10), simple(1, 1, 0.25)),
    Pod(uid(13), "old-machine", N3, at(5), at(5, 50), simple(1, 1, 0.5)),
    Pod(uid(14), "new-machine", N3, at(6, 30), at(7, 10), simple(1, 1, 0.5)),
    Pod(
        uid(15),
        "crashes",
        N1,
        at(16),
        at(17, 30),
        [Container(requests=[(0, 1, 1, {})], vcpu=0.3, gib=0.5, restarts=(at(16, 30),))],
    ),
    Pod(
        uid(16),
        "half-done",
        N1,
        at(18),
        at(20),
        simple(1, 1, 0.25),
        early_completion=at(18, 30),
    ),
    Pod(uid(17), "on-fargate", FARGATE, at(2), at(4), simple(1, 1, 0.25)),
    Pod(
        uid(18),
        "infer",
        N4,
        at(2),
        at(4),
        simple(4, 8, 2.0, aws_amazon_com_neuroncore=4),
        namespace="ml",
    ),
    Pod(
        uid(21),
        "half",
        N2,
        at(3),
        at(5),
        simple(1, 1, 0.5),
        namespace="ml",
        annotations={"gpu_fraction": "0.5", "gpu_fraction_num_devices": "2"},
    ),
    Pod(
        uid(22),
        "reservation",
        N2,
        at(3),
        at(5),
        simple(0, 0, 0, nvidia_com_gpu=1),
        namespace="runai-reservation",
    ),
    Pod(uid(19), "claims-a", N2, at(12), at(13), simple(1, 1, 0.5), namespace="ml"),
    Pod(uid(20), "claims-b", N2, at(12, 30), at(13), simple(1, 1, 0.5), namespace="ml"),
]
BY_NAME = {pod.name: pod for pod in PODS if pod.name != "db-0"}

CLAIMS = (
    ("shared-gpu", ["gpu-7"], ["claims-a", "claims-b"]),
    ("slices", ["gpu-6-mig-1g5gb-me-20-0", "gpu-6-mig-3g20gb-9-4"], ["claims-a"]),
    ("numbered", ["gpu-5-mig-19-4-1"], ["claims-b"]),
    ("train-master-0-extended-resources-x7k2p", ["gpu-0", "gpu-1"], ["train-master-0"]),
)
"""ResourceClaims on N2: what they got, and the pods that hold them."""

SCRAPERS = (
    {"job": "ksm", "instance": "10.0.0.50:8080", "prometheus_replica": "a"},
    {"job": "ksm", "instance": "10.0.0.51:8080", "prometheus_replica": "b"},
)


def line(metric: str, labels: dict[str, str], value: float | str, when: int) -> str:
    text = ",".join(f'{name}="{value}"' for name, value in labels.items() if value)
    return f"{metric}{{{text}}} {value} {when}\n"


def is_in(gaps: tuple[tuple[int, int], ...], moment: int) -> bool:
    return any(start <= moment < end for start, end in gaps)


def kube_lines(moment: int) -> Iterator[str]:
    """What one scrape of kube-state-metrics says."""
    for name, provider, kind, start, end in NODES:
        if not start <= moment < end:
            continue
        node = {"node": name}
        yield line("kube_node_info", node | {"provider_id": provider}, 1, moment)
        yield line(
            "kube_node_labels",
            node
            | {
                "label_node_kubernetes_io_instance_type": kind,
                "label_nvidia_com_gpu_product": "A100" if kind.startswith("p4d") else "",
            },
            1,
            moment,
        )
        for resource, unit, value in (
            ("cpu", "core", 15.9),
            ("nvidia_com_gpu", "integer", 8 if kind.startswith("p4d") else 0),
        ):
            labels = node | {"resource": resource, "unit": unit}
            yield line("kube_node_status_allocatable", labels, value, moment)
    for kind, label, name, owner in (
        ("replicaset", "replicaset", "web-7d9f8b", ("Deployment", "web")),
        ("job", "job_name", "nightly-123", ("CronJob", "nightly")),
    ):
        labels = {"namespace": "shop", label: name, "owner_is_controller": "true"}
        owners = {"owner_kind": owner[0], "owner_name": owner[1]}
        yield line(f"kube_{kind}_owner", labels | owners, 1, moment)
    yield from quota_lines(moment)
    for pod in PODS:
        if pod.scheduled <= moment < pod.gone:
            yield from pod_lines(pod, moment)
    for claim, devices, holders in CLAIMS:
        if any(
            BY_NAME[holder].scheduled <= moment < BY_NAME[holder].gone for holder in holders
        ):
            yield from claim_lines(claim, devices, holders, moment)


def quota_lines(moment: int) -> Iterator[str]:
    """Two quotas of one namespace, of which the smaller binds; one of them shrinks."""
    gpus = 8 if moment < at(10) else 4
    for quota, hard in {
        "all": {"requests.cpu": 32, "memory": 64 * 2**30, "limits.cpu": 99, "pods": 9},
        "gpus": {"cpu": 24.5, "requests.nvidia.com/gpu": gpus},
    }.items():
        for resource, value in hard.items():
            labels = {"namespace": "ml", "resourcequota": quota, "resource": resource}
            yield line("kube_resourcequota", labels | {"type": "hard"}, value, moment)
            yield line("kube_resourcequota", labels | {"type": "used"}, 1, moment)


def claim_lines(
    name: str, devices: Sequence[str], holders: Sequence[str], moment: int
) -> Iterator[str]:
    claim = {"namespace": "ml", "resourceclaim": name}
    for holder in holders:
        pod = BY_NAME[holder]
        if pod.scheduled <= moment < pod.gone:
            consumer = {"consumer_resource": "pods", "consumer_uid": pod.uid}
            yield line(
                "kube_resourceclaim_status_reserved_for", claim | consumer, 1, moment
            )
    for device in devices:
        labels = {"driver": "gpu.nvidia.com", "pool": N2, "device": device}
        yield line("kube_resourceclaim_allocation_device_info", claim | labels, 1, moment)


def pod_lines(pod: Pod, moment: int) -> Iterator[str]:
    key = {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid}
    owner = {"created_by_kind": pod.owner[0], "created_by_name": pod.owner[1]}
    yield line("kube_pod_info", key | {"node": pod.node} | owner, 1, moment)
    yield line("kube_pod_status_scheduled_time", key, pod.scheduled, moment)
    finished = pod.finished is not None and moment >= pod.finished
    phases = {"Running": not finished, "Failed": finished and not pod.completed}
    for phase, is_in in (phases | {"Succeeded": finished and bool(pod.completed)}).items():
        yield line("kube_pod_status_phase", key | {"phase": phase}, int(is_in), moment)
    completion = pod.early_completion or (pod.completed if finished else None)
    if completion and moment >= completion:
        yield line("kube_pod_completion_time", key, completion, moment)
    if pod.labels:
        labels = {f"label_{name}": value for name, value in pod.labels.items()}
        yield line("kube_pod_labels", key | labels, 1, moment)
    if pod.annotations:
        told = {f"annotation_{name}": value for name, value in pod.annotations.items()}
        yield line("kube_pod_annotations", key | told, 1, moment)
    for what, unit, value in zip(
        ("cpu_cores", "memory_bytes"), (1, GIB), pod.overhead, strict=True
    ):
        if value:
            yield line(f"kube_pod_overhead_{what}", key, value * unit, moment)
    for container in pod.containers:
        name = key | {"container": container.name}
        which = "init_container" if container.kind != "main" else "container"
        if container.kind != "main":
            policy = {"restart_policy": "Always" if container.kind == "sidecar" else ""}
            yield line("kube_pod_init_container_info", name | policy, 1, moment)
        _, vcpu, gib, devices = [r for r in container.requests if r[0] <= moment][-1]
        quantities = {"cpu": ("core", vcpu), "memory": ("byte", gib * GIB)}
        quantities |= {device: ("integer", count) for device, count in devices.items()}
        for resource, (unit, value) in quantities.items():
            labels = name | {"node": pod.node, "resource": resource, "unit": unit}
            yield line(f"kube_pod_{which}_resource_requests", labels, value, moment)


def usage_lines(moment: int) -> Iterator[str]:
    """What one scrape of all kubelets and device exporters says."""
    for pod in PODS:
        for container in pod.containers:
            start = container.start or pod.scheduled + 5
            if container.kind == "init" or not start <= moment < pod.end:
                continue
            started = max((r for r in container.restarts if r <= moment), default=start)
            cgroup = f"pod{pod.uid.replace('-', '_')}" if pod.cgroup_uid else "podc0ffee"
            labels = {
                "namespace": pod.namespace,
                "pod": pod.name,
                "container": container.name,
                "id": f"/kubepods.slice/kubepods-{cgroup}.slice/cri-{started}.scope",
                "instance": pod.node,
            }
            used = container.vcpu * (moment - started)
            yield line("container_cpu_usage_seconds_total", labels, round(used, 3), moment)
            memory = container.gib * GIB
            yield line("container_memory_working_set_bytes", labels, memory, moment)
        if not (pod.scheduled + 5 <= moment < pod.end):
            continue
        key = {"exported_namespace": pod.namespace, "exported_pod": pod.name}
        host = {"Hostname": pod.node, "namespace": "gpu", "pod": "dcgm-exporter-1"}
        if pod.name == "train-master-0":
            for gpu in range(4):
                labels = key | host | {"UUID": f"GPU-{gpu}", "gpu": str(gpu)}
                yield line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels, 0.75, moment)
                yield line("DCGM_FI_DEV_GPU_UTIL", labels, 99, moment)
        if pod.name == "slices":
            for part in ("7", "9"):
                labels = key | host | {"UUID": "GPU-5", "GPU_I_ID": part}
                labels |= {"GPU_I_PROFILE": "1g.5gb"}
                yield line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels, 0.5, moment)
        if pod.name == "infer":
            for core in range(4):
                labels = {"instance_id": "i-0eee", "instance_type": "inf2.24xlarge"}
                labels |= {"neuroncore": str(core), "runtime_tag": "1"}
                yield line("neuroncore_utilization_ratio", labels, 0.5, moment)


def open_metrics() -> Iterator[str]:
    """All samples in the order of time, as ``promtool`` takes them."""
    for moment in range(BEGIN, END, CADVISOR_STEP):
        if is_in(GAPS, moment):
            continue
        if (moment - BEGIN) % KUBE_STEP == 0:
            told = list(kube_lines(moment))
            for scraper in SCRAPERS:
                labels = ",".join(f'{name}="{value}"' for name, value in scraper.items())
                for text in told:
                    metric, _, rest = text.partition("{")
                    yield f"{metric}{{{labels},{rest}"
        if not is_in(CADVISOR_GAPS, moment):
            yield from usage_lines(moment)
    yield "# EOF\n"


@dataclass(frozen=True)
class Truth:
    """What one pod-hour is by the specification."""

    bound_seconds: int
    vcpu_requested: float
    memory_requested_gib: float
    vcpu_used: float
    memory_used_gib: float


def truth() -> dict[tuple[str, int], Truth]:
    """The pod-hours of EC2 nodes by (uid, hour counted from the month's first)."""
    expected = {}
    for pod in PODS:
        if pod.node == FARGATE:
            continue
        for hour in range(48):
            start, end = max(pod.scheduled, at(hour)), min(pod.end, at(hour + 1))
            if start < end:
                expected[pod.uid, hour] = Truth(
                    end - start,
                    _effective(pod, 0, start, end) + pod.overhead[0],
                    _effective(pod, 1, start, end) + pod.overhead[1],
                    _used(pod, "vcpu", start, end),
                    _used(pod, "gib", start, end),
                )
    return expected


def _used(pod: Pod, what: str, start: int, end: int) -> float:
    return sum(
        getattr(container, what) * max(end - max(start, container.start or 0), 0)
        for container in pod.containers
        if container.kind != "init"
    ) / (end - start)


def _effective(pod: Pod, which: int, start: int, end: int) -> float:
    runs, peak = 0.0, 0.0
    for container in pod.containers:
        edges = [max(r[0], start) for r in container.requests[1:]] + [end]
        mean, begin = 0.0, start
        for request, edge in zip(container.requests, edges, strict=True):
            stop = min(max(edge, begin), end)
            mean += request[1 + which] * (stop - begin) / (end - start)
            begin = stop
        if container.kind == "init":
            peak = max(peak, mean)
        else:
            runs += mean
    return max(runs, peak)
