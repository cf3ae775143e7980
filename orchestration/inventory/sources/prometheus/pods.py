"""The pods and nodes of a window: when each was bound where, for whom, with what request.

Holds what kube-state-metrics tells. A pod is its uid. It is bound from
``kube_pod_status_scheduled_time`` until its completion if it finished, else until its
object was last seen: gaps in between do not end it, and a finished pod that lingers has
ended. Requests are effective ones, as the scheduler counts them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.gathering import (
    Asker,
    Floats,
    Integers,
    held_on,
    overlap,
    own,
)
from orchestration.inventory.sources.prometheus.names import resource_name
from orchestration.inventory.sources.prometheus.queries import HOW_TO_SWITCH_ON, Question
from orchestration.kubernetes.workloads import Workload, topmost
from orchestration.lake.errors import PodledgerError

_EC2_INSTANCE = re.compile(r"(?:^|[/-])(i-[0-9a-z]+)$")
"""On HyperPod, the id follows the cluster's: ``hyperpod-abc123def456-i-0abc``."""
_ZONE_REGION = re.compile(r"aws:///([a-z]+(?:-[a-z]+)+-\d+)")
_BASIC = ("cpu", "memory")


@dataclass
class Nodes:
    """EC2 instances that were nodes in the window.

    Attributes:
        name: Node names; shape (nodes,) as are all.
        instance_id: EC2 ids.
        region: From the zone in the provider id; None if it tells none.
        first_seen: Unix seconds.
        last_seen: Unix seconds.
        foreign: Names of nodes that are not EC2 instances (Fargate, hybrid nodes).
    """

    name: list[str]
    instance_id: list[str]
    region: list[str | None]
    first_seen: Floats
    last_seen: Floats
    foreign: set[str]
    by_name: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = defaultdict(list)
        for row, name in enumerate(self.name):
            self.by_name[name].append(row)


@dataclass
class Pods:
    """Pods that were bound at some time of the window; one entry a uid.

    Attributes:
        row_of: Entry of each uid.
        uid, namespace, name, node_name: Text.
        owner: Kind and name of the controller, as the pod names it.
        by_name: Entries of each (namespace, name); several over time.
        start, end: When bound, Unix seconds, half-open; shape (pods,).
        node: Entry in ``Nodes``; -1 if its node is none that is known.
        lacks: Metrics that would have told times more exactly, and have no sample.
    """

    row_of: dict[str, int] = field(default_factory=dict)
    uid: list[str] = field(default_factory=list)
    namespace: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    node_name: list[str] = field(default_factory=list)
    owner: list[tuple[str, str]] = field(default_factory=list)
    by_name: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    start: Floats = field(default_factory=lambda: np.empty(0))
    end: Floats = field(default_factory=lambda: np.empty(0))
    node: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    lacks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.uid)

    def rows(self, labels: dict[str, str]) -> Sequence[int]:
        """The entry that a series with a uid tells of."""
        row = self.row_of.get(labels.get("uid", ""))
        return () if row is None else (row,)

    def bound(self, hours: Integers) -> Integers:
        """Whole seconds of each hour that each pod was bound; shape (pods, hours)."""
        start, end = np.rint(self.start)[:, None], np.rint(self.end)[:, None]
        return overlap(start, end, hours, hours + 3600).astype(np.int64)


def missing(uri: str, metric: str, when: str) -> PodledgerError:
    """The error for a metric without which there are no pod-hours."""
    return PodledgerError(
        f"{uri} has no sample of {metric} {when}. {HOW_TO_SWITCH_ON[metric]}; check"
        " &selector= in PODLEDGER_PODS if the server holds several clusters. If there was"
        " no such cluster then, leave the source out."
    )


def find_nodes(asker: Asker, uri: str, when: str) -> Nodes:
    """Ask for the nodes of the window.

    Raises:
        PodledgerError: There are none, or they do not tell their instances.
    """
    seen: dict[tuple[str, str], list[float]] = {}
    for question, better, trail in (
        (queries.NODE_FIRST_SEEN, min, 0),
        (queries.NODE_LAST_SEEN, max, queries.TRAIL_SECONDS),
    ):
        for series in asker.ask(question):
            key = (own(series.labels, "node"), series.labels.get("provider_id", ""))
            seen.setdefault(key, []).append(float(better(series.values)) - trail)
    if not seen:
        raise missing(uri, "kube_node_info", when)
    if not any(provider for _, provider in seen):
        raise PodledgerError(
            f"The nodes of {uri} do not name their EC2 instances: kube_node_info has no"
            f" label provider_id {when}. {HOW_TO_SWITCH_ON['kube_node_info']}."
        )
    foreign = set()
    rows = []
    for (name, provider), moments in sorted(seen.items()):
        instance, region = _EC2_INSTANCE.search(provider), _ZONE_REGION.match(provider)
        if instance is None:
            # A node shows without its provider id until the cloud provider has set it.
            foreign.add(name)
            continue
        rows.append(
            (name, instance[1], region[1] if region else None, min(moments), max(moments))
        )
    names, ids, regions, first, last = zip(*rows, strict=True) if rows else ((),) * 5
    return Nodes(
        list(names),
        list(ids),
        list(regions),
        np.array(first, np.float64),
        np.array(last, np.float64),
        foreign - set(names),
    )


def find_pods(asker: Asker, nodes: Nodes, uri: str) -> Pods:
    """Ask for the pods of the window, with their times and nodes.

    Raises:
        PodledgerError: Pods have no uid, as before kube-state-metrics v2.
    """
    pods = Pods()
    last_seen: list[float] = []
    for series in asker.ask(queries.POD_LAST_SEEN):
        labels = series.labels
        node, uid = own(labels, "node"), labels.get("uid")
        if not uid:
            raise PodledgerError(
                f"kube_pod_info of {uri} has no label uid, so that two pods of one name are"
                " one. Update kube-state-metrics to v2."
            )
        if not node:
            continue
        row = pods.row_of.setdefault(uid, len(pods))
        moment = float(series.values.max()) - queries.TRAIL_SECONDS
        if row < len(last_seen):
            last_seen[row] = max(last_seen[row], moment)
            continue
        namespace, name = own(labels, "namespace"), own(labels, "pod")
        pods.uid.append(uid)
        pods.namespace.append(namespace)
        pods.name.append(name)
        pods.node_name.append(node)
        pods.owner.append(_owner(labels, "created_by"))
        pods.by_name[namespace, name].append(row)
        last_seen.append(moment)
    _set_times(pods, np.array(last_seen, np.float64), asker)
    pods.node = np.array([_node_of(pods, row, nodes) for row in range(len(pods))], np.int64)
    return pods


def _set_times(pods: Pods, last_seen: Floats, asker: Asker) -> None:
    start = _latest(asker, queries.SCHEDULED, pods)
    if len(pods) and np.isnan(start).all():
        pods.lacks.append(queries.SCHEDULED.metric)
    if np.isnan(start).any():
        first_seen = asker.grid(queries.POD_FIRST_SEEN, len(pods), pods.rows)
        start = np.where(np.isnan(start), _min(first_seen) - asker.step, start)
    completed = _latest(asker, queries.COMPLETED, pods)
    finished = _min(asker.grid(queries.FINISHED, len(pods), pods.rows)) - asker.step / 2
    if any(True for _ in asker.ask(queries.PHASE_PRESENT)):
        # A container that ended has a completion time while others of its pod still run.
        completed = np.where(np.isnan(finished), np.nan, completed)
    elif len(pods):
        pods.lacks.append(queries.PHASE_PRESENT.metric)
    end = np.where(np.isnan(completed), finished, completed)
    # Half a step for where the last sample lies, half for what came behind it unseen.
    end = np.where(np.isnan(end), last_seen + asker.step, end)
    pods.start, pods.end = start, np.maximum(start, end)


def _latest(asker: Asker, question: Question, pods: Pods) -> Floats:
    """A time that a metric's value tells; NaN without, or for 0, a time never set."""
    values = asker.grid(question, len(pods), pods.rows)
    latest: Floats = np.fmax.reduce(values, axis=1, initial=np.nan)
    return np.where(latest > 0, latest, np.nan)


def _min(values: Floats) -> Floats:
    least: Floats = np.fmin.reduce(values, axis=1, initial=np.nan)
    return least


def _node_of(pods: Pods, row: int, nodes: Nodes) -> int:
    """The instance that bore the pod's node name while the pod was bound."""
    candidates = nodes.by_name.get(pods.node_name[row], ())
    if len(candidates) == 1:
        return candidates[0]
    shared = [
        min(pods.end[row], nodes.last_seen[node])
        - max(pods.start[row], nodes.first_seen[node])
        for node in candidates
    ]
    return candidates[int(np.argmax(shared))] if shared else -1


def find_workloads(asker: Asker, pods: Pods) -> list[Workload]:
    """The topmost known controller of each pod.

    Where owners of a kind are in no metric, names tell them.
    """
    above: dict[tuple[str, str, str], tuple[str, str]] = {}
    for question, kind, label in (
        (queries.REPLICASET_OWNERS, "ReplicaSet", "replicaset"),
        (queries.JOB_OWNERS, "Job", "job_name"),
    ):
        for series in asker.ask(question):
            labels = series.labels
            key = (own(labels, "namespace"), kind, labels.get(label, ""))
            above[key] = _owner(labels, "owner")
    told = {kind for _, kind, _ in above}
    workloads: list[Workload] = []
    for namespace, (kind, name) in zip(pods.namespace, pods.owner, strict=True):
        top_kind, top = above.get((namespace, kind, name), (kind, name))
        if (top_kind, top) == (kind, name) and kind not in told:
            workloads.append(topmost(kind, name, {}))
            continue
        is_deployment = kind == "ReplicaSet" and top_kind == "Deployment"
        workloads.append(
            Workload(top_kind or None, top or None, top if is_deployment else None)
        )
    return workloads


def _owner(labels: dict[str, str], prefix: str) -> tuple[str, str]:
    kind, name = labels.get(f"{prefix}_kind", ""), labels.get(f"{prefix}_name", "")
    return ("", "") if "<none>" in (kind, name) else (kind, name)


@dataclass
class Requests:
    """Effective requests by hour.

    Attributes:
        vcpu: Shape (pods, hours).
        memory_gib: Shape (pods, hours).
        devices: Extended resource -> entry of a pod -> quantity by hour.
    """

    vcpu: Floats
    memory_gib: Floats
    devices: dict[str, dict[int, Floats]]


def find_requests(asker: Asker, pods: Pods, uri: str, when: str) -> Requests:
    """Ask for the requests of the pods.

    Returns:
        Means over the samples of each hour, so that a resize in place counts from when it
        came; max(containers + sidecars, largest init container) + overhead.

    Raises:
        PodledgerError: No pod at all has a request.
    """
    shape = (len(pods), asker.window.count)
    main = {resource: np.full(shape, np.nan) for resource in _BASIC}
    initial = {resource: np.zeros(shape) for resource in _BASIC}
    devices: dict[str, dict[int, Floats]] = defaultdict(dict)
    initial_devices: dict[str, dict[int, Floats]] = defaultdict(dict)
    has_any = False
    for series in asker.ask(queries.REQUESTS):
        has_any = True
        for row in pods.rows(series.labels):
            resource = resource_name(series.labels.get("resource", ""))
            here = _place(main, devices, resource, row, shape[1])
            here[series.positions] = series.values
    if not has_any and len(pods):
        raise missing(uri, queries.REQUESTS.metric, when)
    for grid in main.values():
        grid[:] = np.nan_to_num(held_on(grid))
    for rows in devices.values():
        for row, values in rows.items():
            rows[row] = np.nan_to_num(held_on(values[None])[0])

    for is_sidecar, resource, row, values in _init_containers(asker, pods):
        if is_sidecar:
            here = _place(main, devices, resource, row, shape[1], fill=0.0)
            here += values
        else:
            here = _place(initial, initial_devices, resource, row, shape[1], fill=0.0)
            np.maximum(here, values, out=here)

    vcpu, memory = (np.maximum(main[name], initial[name]) for name in _BASIC)
    for resource, rows in initial_devices.items():
        for row, values in rows.items():
            here = _place(main, devices, resource, row, shape[1], fill=0.0)
            np.maximum(here, values, out=here)
    for question, total in (
        (queries.OVERHEAD_CPU, vcpu),
        (queries.OVERHEAD_MEMORY, memory),
    ):
        total += np.nan_to_num(held_on(asker.grid(question, len(pods), pods.rows)))
    # Servers take means in doubles: 0.1 asked for all the hour comes as 0.09999999999.
    return Requests(
        np.round(vcpu, 6),
        np.round(memory) / 2**30,
        {
            resource: {row: np.round(values, 6) for row, values in rows.items()}
            for resource, rows in devices.items()
        },
    )


def _init_containers(asker: Asker, pods: Pods) -> list[tuple[bool, str, int, Floats]]:
    """Each init container's requests: whether it goes on running, resource, pod, values."""
    sidecars = {
        (series.labels.get("uid"), own(series.labels, "container"))
        for series in asker.ask(queries.SIDECARS)
    }
    requests: dict[tuple[bool, str, str, int], Floats] = {}
    for series in asker.ask(queries.INIT_REQUESTS):
        for row in pods.rows(series.labels):
            container = own(series.labels, "container")
            key = (
                (series.labels.get("uid"), container) in sidecars,
                container,
                resource_name(series.labels.get("resource", "")),
                row,
            )
            values = requests.setdefault(key, np.full(asker.window.count, np.nan))
            values[series.positions] = series.values
    return [
        (is_sidecar, resource, row, held_on(values[None])[0])
        for (is_sidecar, _, resource, row), values in sorted(
            requests.items(), key=lambda item: item[0]
        )
    ]


def _place(
    basic: dict[str, Floats],
    devices: dict[str, dict[int, Floats]],
    resource: str,
    row: int,
    hours: int,
    fill: float = np.nan,
) -> Floats:
    """Where a pod's quantities of a resource stand, by hour."""
    if resource in basic:
        here: Floats = basic[resource][row]
        return here
    return devices[resource].setdefault(row, np.full(hours, fill))
