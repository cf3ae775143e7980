"""A Pod object as Kubernetes counts it: what it requests, since when it is bound, its end.

Holds the reading of one state of one pod. The effective request follows the scheduler:
containers and sidecars against init containers, pod-level resources, in-place resize,
overhead. What changed from one state to the next is the history's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from orchestration.collector.quantities import Resources, instant, quantity, resources
from orchestration.kubernetes.accelerators import IMPLICIT_CLASS_DOMAIN
from orchestration.kubernetes.held import held_accelerators

Object = Mapping[str, Any]
"""An object as the API server writes it, parsed from JSON."""

BYTES_A_GIB = 2**30

MIG_ANNOTATION_PREFIX = "nvidia.com/mig-"
"""Begins annotations by which run:ai gives a pod MIG slices that it does not request."""

_FINISHED = frozenset({"Succeeded", "Failed"})
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_ENDING_CONDITIONS = frozenset({"DisruptionTarget", "ContainersReady", "Ready"})


@dataclass(frozen=True)
class Request:
    """What a pod holds of its node.

    Attributes:
        vcpu: Cores.
        memory_gib: GiB.
        devices: Extended resource -> quantity; zeros are left out.
    """

    vcpu: Fraction
    memory_gib: Fraction
    devices: dict[str, Fraction]


@dataclass(frozen=True)
class Controller:
    """A reference to the object that controls another.

    Attributes:
        api_version: Like ``apps/v1``.
        kind: Like ``ReplicaSet``.
        name: In the namespace of the one it controls, or cluster-wide.
        uid: Of the object.
    """

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class PodState:
    """One state of a pod. Times are seconds since 1970.

    Attributes:
        uid: Of the API object, mirror pods included.
        namespace: Its namespace.
        name: Its name.
        node_name: The node that it is bound to; None while it waits for one.
        bound_at: When it was bound; None while it waits.
        is_finished: Whether it has run to its end and holds nothing any more.
        stopped_at: When its last container stopped; None while one runs or is to run.
        ended_at: The end by other marks than its containers, of a finished pod.
        deletion_at: When it is to be gone, if its deletion was asked for.
        changed_at: Last change that the API server knows of this state.
        request: What it holds.
        labels: Its labels.
        controller: What controls it; None for bare pods, the node for static ones.
        extended_claim: Name of the claim that stands for its extended resources, which
            are counted already.
    """

    uid: str
    namespace: str
    name: str
    node_name: str | None
    bound_at: int | None
    is_finished: bool
    stopped_at: int | None
    ended_at: int | None
    deletion_at: int | None
    changed_at: int | None
    request: Request
    labels: dict[str, str]
    controller: Controller | None
    extended_claim: str | None


def read_pod(pod: Object) -> PodState:
    """Read a Pod object.

    Raises:
        KeyError, TypeError, ValueError: It is no pod as the API server writes them.
    """
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    node_name = spec.get("nodeName") or None
    changed_at = last_change(pod)
    is_finished = status.get("phase") in _FINISHED
    return PodState(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        node_name=node_name,
        bound_at=_bound_at(meta, status) if node_name else None,
        is_finished=is_finished,
        stopped_at=_stopped_at(status, is_finished),
        ended_at=_ended_at(status, changed_at) if is_finished else None,
        deletion_at=instant(meta.get("deletionTimestamp")),
        changed_at=changed_at,
        request=_request(pod),
        labels=dict(meta.get("labels") or {}),
        controller=read_controller(meta),
        extended_claim=(status.get("extendedResourceClaimStatus") or {}).get(
            "resourceClaimName"
        ),
    )


def read_controller(meta: Object) -> Controller | None:
    """The controlling owner in an object's metadata; a static pod's is its node."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            return Controller(
                owner["apiVersion"], owner["kind"], owner["name"], owner["uid"]
            )
    return None


def last_change(item: Object) -> int | None:
    """When an object's state was last written, as the API server's field managers say."""
    times = [
        instant(manager.get("time"))
        for manager in item["metadata"].get("managedFields") or ()
    ]
    return _latest(times)


def effective_request(pod: Object) -> Resources:
    """What the scheduler takes off the node for a pod, every resource.

    A container that is being resized counts with the largest of what it should get, what
    the node has set aside and what it has, as it does for the scheduler; with the latter
    two only if the node can never give what it should get.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    statuses = {
        entry["name"]: entry for key in _STATUSES for entry in status.get(key) or ()
    }
    is_infeasible = _is_resize_infeasible(status)

    def of(container: Object) -> Resources:
        wanted = resources((container.get("resources") or {}).get("requests"))
        return _resized(wanted, statuses.get(container["name"]), is_infeasible)

    running: Resources = {}
    for container in spec.get("containers") or ():
        running = _sum(running, of(container))
    sidecars: Resources = {}
    starting: Resources = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = _sum(sidecars, of(container))
            starting = _max(starting, sidecars)
        else:
            # A plain init container is never resized.
            wanted = resources((container.get("resources") or {}).get("requests"))
            starting = _max(starting, _sum(wanted, sidecars))
    total = _max(_sum(running, sidecars), starting)
    pod_level = resources((spec.get("resources") or {}).get("requests"))
    if pod_level:
        total = {**total, **_resized(pod_level, status, is_infeasible, pod_level)}
    return _sum(total, resources(spec.get("overhead")))


def _request(pod: Object) -> Request:
    meta, total = pod["metadata"], effective_request(pod)
    annotations = meta.get("annotations") or {}
    requested = {
        name: quantity(text)
        for name, text in annotations.items()
        if name.startswith(MIG_ANNOTATION_PREFIX)
    } | {name: count for name, count in total.items() if _is_extended(name)}
    held = held_accelerators(
        {name: float(count) for name, count in requested.items()},
        meta["namespace"],
        meta.get("labels") or {},
        annotations,
    )
    return Request(
        vcpu=total.get("cpu", Fraction(0)),
        memory_gib=total.get("memory", Fraction(0)) / BYTES_A_GIB,
        devices={name: Fraction(count) for name, count in sorted(held.items()) if count},
    )


def _is_extended(name: str) -> bool:
    """Whether a resource is a device's: not Kubernetes' own."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and (
        domain == IMPLICIT_CLASS_DOMAIN or not f".{domain}".endswith(".kubernetes.io")
    )


def _bound_at(meta: Object, status: Object) -> int | None:
    """When the scheduler bound it. A static pod may start before its object is made."""
    created_at = instant(meta.get("creationTimestamp"))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            scheduled_at = instant(condition.get("lastTransitionTime"))
            if scheduled_at is not None:
                return max(scheduled_at, created_at or scheduled_at)
    started_at = instant(status.get("startTime"))
    return _latest([started_at, created_at])


def _stopped_at(status: Object, is_finished: bool) -> int | None:
    """When the last container stopped. Of a running pod, all must have stopped."""
    states = [
        entry.get("state") or {} for key in _STATUSES for entry in status.get(key) or ()
    ]
    if not is_finished and not (states and all("terminated" in state for state in states)):
        return None
    return _latest(
        instant((state.get("terminated") or {}).get("finishedAt")) for state in states
    )


def _ended_at(status: Object, changed_at: int | None) -> int | None:
    """The end of a finished pod whose containers do not tell: evicted, or never started."""
    marked_at = _latest(
        instant(condition.get("lastTransitionTime"))
        for condition in status.get("conditions") or ()
        if condition.get("type") in _ENDING_CONDITIONS
    )
    return changed_at if marked_at is None else marked_at


def _is_resize_infeasible(status: Object) -> bool:
    return status.get("resize") == "Infeasible" or any(
        condition.get("type") == "PodResizePending"
        and condition.get("reason") == "Infeasible"
        for condition in status.get("conditions") or ()
    )


def _resized(
    wanted: Resources,
    status: Object | None,
    is_infeasible: bool,
    only: Iterable[str] | None = None,
) -> Resources:
    """A request against what the node has set aside and what it has given."""
    given = resources(((status or {}).get("resources") or {}).get("requests"))
    aside = resources((status or {}).get("allocatedResources"))
    actual = _max(given, aside)
    if only is not None:
        actual = {name: actual[name] for name in only if name in actual}
    if not actual:
        return wanted
    return {**wanted, **actual} if is_infeasible else _max(wanted, actual)


def _sum(one: Resources, other: Resources) -> Resources:
    return {
        name: one.get(name, Fraction(0)) + other.get(name, Fraction(0))
        for name in {**one, **other}
    }


def _max(one: Resources, other: Resources) -> Resources:
    return {
        name: max(one.get(name, Fraction(0)), other.get(name, Fraction(0)))
        for name in {**one, **other}
    }


def _latest(times: Iterable[int | None]) -> int | None:
    return max((time for time in times if time is not None), default=None)
