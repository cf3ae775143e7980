"""What a cluster did, by time: the state that events build and hours are read from.

Holds the state machine of the collector: events in, records with their times out. Pure:
the present comes with each event. Times are whole seconds since 1970, intervals are
half-open. A pod's record lasts until no hour that may still be written needs it. How rows
come of records is in ``hours.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from orchestration.collector.devices import (
    Allocation,
    ClaimState,
    Device,
    read_claim,
    read_slice,
)
from orchestration.collector.nodes import NodeState, read_node
from orchestration.collector.pods import (
    Controller,
    PodState,
    Request,
    last_change,
    read_pod,
)
from orchestration.collector.quantities import HOUR, Resources, hour_of, utc
from orchestration.collector.quotas import QuotaState, read_quota
from orchestration.inventory.gaps import Gap

Kind = Literal["pods", "nodes", "resourceclaims", "resourceslices", "resourcequotas"]

SETTLING_SECONDS = 120
"""An hour is written this long after its end: kubelets report ends late."""

KEPT_HOURS = 3
"""Written hours that are written again when a late report changes them."""


@dataclass(frozen=True)
class Seen:
    """An object is so, by a list (then without position) or an event of a watch."""

    kind: Kind
    item: Mapping[str, Any]
    at: int
    position: str | None = None


@dataclass(frozen=True)
class Deleted:
    """An object is gone; ``item`` is its last state."""

    kind: Kind
    item: Mapping[str, Any]
    at: int
    position: str | None = None


@dataclass(frozen=True)
class Listed:
    """All objects of a kind were seen; what is not among ``uids`` is gone."""

    kind: Kind
    uids: frozenset[str]
    at: int
    position: str


@dataclass(frozen=True)
class Reached:
    """Nothing else happened to a kind up to here."""

    kind: Kind
    at: int
    position: str


@dataclass(frozen=True)
class Measured:
    """What pods used just now, by the metrics server: (namespace, name) -> vCPU, GiB."""

    at: int
    uses: Mapping[tuple[str, str], tuple[Fraction, Fraction]]


Event = Seen | Deleted | Listed | Reached | Measured


@dataclass(frozen=True)
class Workload:
    """What a pod belongs to: its topmost controller, and a Deployment on the way there."""

    kind: str
    name: str
    deployment: str | None


@dataclass
class Usage:
    """Measured use of a pod in one hour, summed over the measurements."""

    samples: int = 0
    vcpu: Fraction = Fraction(0)
    memory_gib: Fraction = Fraction(0)


@dataclass
class PodRecord:
    """A pod from binding to end. ``requests``: what it holds since when, in time order."""

    uid: str
    namespace: str
    name: str
    node_name: str
    bound_at: int
    requests: list[tuple[int, Request]]
    labels: dict[str, str]
    controller: Controller | None
    workload: Workload | None = None
    ended_at: int | None = None
    deletion_at: int | None = None
    extended_claim: str | None = None
    is_gone: bool = False
    usage: dict[int, Usage] = field(default_factory=dict)


@dataclass
class NodeRecord:
    """A node from joining to leaving the cluster."""

    state: NodeState
    ended_at: int | None = None


@dataclass
class ClaimRecord:
    """A claim: devices and holders since when, in time order."""

    uid: str
    name: str
    steps: list[tuple[int, tuple[Allocation, ...], tuple[str, ...]]]


@dataclass
class QuotaRecord:
    """A quota: what it allows since when, in time order."""

    uid: str
    namespace: str
    steps: list[tuple[int, Resources]]
    ended_at: int | None = None


@dataclass
class Contact:
    """How far a kind is known: by the API's position, and by the clock."""

    position: str
    at: int


@dataclass
class History:
    """All that is known of a cluster. Made by events, saved and loaded as a whole.

    Attributes:
        pods: By uid; those that were bound.
        nodes: By uid.
        claims: By uid.
        slices: Ids of devices by uid of the slice that has them.
        quotas: By uid; empty where they are not watched.
        devices: By id; those that left their slice stay while a claim names them.
        contacts: How far each kind is known.
        gaps: Times of which something may be missing.
        first_hour: The hour of the first event; nothing is told of hours before it.
        next_hour: The first hour that was never written; None before the first event.
        changed_hours: Written hours that have changed since.
        orphans: Uids of pods whose topmost controller is still to be found.
    """

    pods: dict[str, PodRecord] = field(default_factory=dict)
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    claims: dict[str, ClaimRecord] = field(default_factory=dict)
    slices: dict[str, list[str]] = field(default_factory=dict)
    quotas: dict[str, QuotaRecord] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    contacts: dict[Kind, Contact] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    first_hour: int | None = None
    next_hour: int | None = None
    changed_hours: set[int] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Take in one event.

        Raises:
            KeyError, TypeError, ValueError: Its object is not as the API server writes
                them; the history is as before, but for the position that was reached.
        """
        if self.next_hour is None:
            self.first_hour = self.next_hour = hour_of(event.at)
        match event:
            case Measured():
                self._measured(event)
            case Listed():
                self._listed(event)
            case Reached():
                self.contacts[event.kind] = Contact(event.position, event.at)
            case Seen():
                self._heard(event)
                self._seen(event)
            case Deleted():
                self._heard(event)
                self._deleted(event)

    def due(self, now: int, kinds: Collection[Kind]) -> list[int]:
        """Hours that can be written: over, settled, known to their end, not yet written.

        Args:
            now: The present.
            kinds: Kinds that are watched; each must have been heard of after the hour.
        """
        heard = [self.contacts[kind].at for kind in kinds if kind in self.contacts]
        if self.next_hour is None or len(heard) < len(kinds):
            return []
        known_until = min(*heard, now - SETTLING_SECONDS)
        fresh = range(self.next_hour, hour_of(known_until), HOUR)
        return sorted(self.changed_hours) + list(fresh)

    def wrote(self, hour: int) -> None:
        """Note that an hour was written; what no hour needs any more is forgotten."""
        self.changed_hours.discard(hour)
        if self.next_hour is None or hour < self.next_hour:
            return
        self.next_hour = hour + HOUR
        self._forget()

    def adopt(self, uid: str, workload: Workload | None) -> None:
        """Note what a pod belongs to."""
        self.orphans.discard(uid)
        if uid in self.pods:
            self.pods[uid].workload = workload
            self._touch(self.pods[uid].bound_at)

    @property
    def oldest_hour(self) -> int:
        """The first hour that may still be written."""
        return max(self.first_hour or 0, (self.next_hour or 0) - KEPT_HOURS * HOUR)

    def _heard(self, event: Seen | Deleted) -> None:
        """Note the position of an event, and the time until which all is known.

        That is when the object changed: after a time without contact, the server tells
        old events first, and when they arrive says nothing of what is still to come.
        """
        if event.position is None:
            return
        contact = self.contacts.get(event.kind)
        at = event.at
        if contact is not None:
            at = max(contact.at, min(at, last_change(event.item) or 0))
        self.contacts[event.kind] = Contact(event.position, at)

    def _seen(self, event: Seen) -> None:
        match event.kind:
            case "pods":
                self._pod_seen(read_pod(event.item), event.at)
            case "nodes":
                self._node_seen(read_node(event.item))
            case "resourceclaims":
                self._claim_seen(read_claim(event.item), event.at)
            case "resourceslices":
                devices = read_slice(event.item)
                self.slices[event.item["metadata"]["uid"]] = list(devices)
                self.devices.update(devices)
            case "resourcequotas":
                self._quota_seen(read_quota(event.item), event.at)

    def _deleted(self, event: Deleted) -> None:
        uid = event.item["metadata"]["uid"]
        if event.kind == "pods":
            state = read_pod(event.item)
            self._pod_seen(state, event.at)
            self._pod_gone(uid, state.stopped_at, event.at)
        else:
            self._gone(event.kind, uid, event.at)

    def _listed(self, event: Listed) -> None:
        """End what vanished unseen when it was last known, and say that this is a guess."""
        contact = self.contacts.get(event.kind)
        last_heard = contact.at if contact else hour_of(event.at)
        for uid in self._present(event.kind) - event.uids:
            if event.kind == "pods":
                self._pod_gone(uid, None, event.at, last_heard)
            else:
                self._gone(event.kind, uid, last_heard)
        # At the start only pods can be missed: the rest is told by those that are there.
        if last_heard < event.at and (contact or event.kind == "pods"):
            self.gaps.append(
                Gap(utc(last_heard), utc(event.at), f"events of {event.kind}", _LOST)
            )
        self.contacts[event.kind] = Contact(event.position, event.at)

    def _present(self, kind: Kind) -> set[str]:
        match kind:
            case "pods":
                return {uid for uid, pod in self.pods.items() if not pod.is_gone}
            case "nodes":
                return {uid for uid, node in self.nodes.items() if node.ended_at is None}
            case "resourceclaims":
                return {uid for uid, claim in self.claims.items() if claim.steps[-1][1]}
            case "resourceslices":
                return set(self.slices)
            case "resourcequotas":
                return {uid for uid, one in self.quotas.items() if one.ended_at is None}

    def _pod_seen(self, state: PodState, at: int) -> None:
        if state.node_name is None:
            return
        pod = self.pods.get(state.uid)
        if pod is None:
            bound_at = at if state.bound_at is None else state.bound_at
            pod = PodRecord(
                uid=state.uid,
                namespace=state.namespace,
                name=state.name,
                node_name=state.node_name,
                bound_at=bound_at,
                requests=[(bound_at, state.request)],
                labels=state.labels,
                controller=state.controller,
            )
            if state.is_finished and _end(state, at) <= self.oldest_hour:
                return
            self.pods[state.uid] = pod
            self._touch(bound_at)
            if state.controller is not None:
                self.orphans.add(state.uid)
        pod.labels = state.labels
        pod.deletion_at = state.deletion_at
        pod.extended_claim = state.extended_claim
        if state.is_finished:
            if not pod.is_gone:
                self._end_pod(pod, _end(state, at))
        elif pod.ended_at is None and state.request != pod.requests[-1][1]:
            self._resize(
                pod, state.request, at if state.changed_at is None else state.changed_at
            )

    def _resize(self, pod: PodRecord, request: Request, since: int) -> None:
        since = max(since, pod.requests[-1][0])
        if pod.requests[-1][0] == since:
            pod.requests.pop()
        pod.requests.append((since, request))
        self._touch(since)

    def _pod_gone(
        self, uid: str, stopped_at: int | None, at: int, last_heard: int | None = None
    ) -> None:
        """End a pod whose object is gone, if it was not at its end before."""
        pod = self.pods.get(uid)
        if pod is None or pod.is_gone:
            return
        if pod.ended_at is None:
            if stopped_at is not None:
                end = stopped_at
            elif pod.deletion_at is not None:
                end = max(min(at, pod.deletion_at), last_heard or 0)
            else:
                end = at if last_heard is None else last_heard
            self._end_pod(pod, end)
        pod.is_gone = True

    def _end_pod(self, pod: PodRecord, end: int) -> None:
        end = max(end, pod.bound_at)
        if end != pod.ended_at:
            self._touch(end if pod.ended_at is None else min(end, pod.ended_at))
            pod.ended_at = end

    def _node_seen(self, state: NodeState) -> None:
        if state.uid not in self.nodes:
            self._touch(state.created_at)
        self.nodes[state.uid] = NodeRecord(state)

    def _claim_seen(self, state: ClaimState, at: int) -> None:
        step = (state.allocations, state.consumers)
        claim = self.claims.get(state.uid)
        if claim is None:
            # The first state that is known counts since ever: its pods bound it in time.
            self.claims[state.uid] = ClaimRecord(state.uid, state.name, [(0, *step)])
        elif claim.steps[-1][1:] != step:
            self._step(claim, at if state.changed_at is None else state.changed_at, *step)

    def _step(
        self,
        claim: ClaimRecord,
        since: int,
        allocations: tuple[Allocation, ...],
        consumers: tuple[str, ...],
    ) -> None:
        since = max(since, claim.steps[-1][0])
        if claim.steps[-1][0] == since:
            claim.steps.pop()
        claim.steps.append((since, allocations, consumers))
        self._touch(since)

    def _quota_seen(self, state: QuotaState, at: int) -> None:
        quota = self.quotas.get(state.uid)
        if quota is None:
            self.quotas[state.uid] = QuotaRecord(
                state.uid, state.namespace, [(state.created_at, state.hard)]
            )
            self._touch(state.created_at)
        elif quota.steps[-1][1] != state.hard:
            since = at if state.changed_at is None else state.changed_at
            since = max(since, quota.steps[-1][0])
            if quota.steps[-1][0] == since:
                quota.steps.pop()
            quota.steps.append((since, state.hard))
            self._touch(since)

    def _gone(self, kind: Kind, uid: str, at: int) -> None:
        """End a node, a claim, a slice or a quota."""
        if kind == "nodes" and uid in self.nodes:
            self.nodes[uid].ended_at = at
            self._touch(at)
        elif kind == "resourceclaims" and uid in self.claims:
            self._step(self.claims[uid], at, (), ())
        elif kind == "resourceslices":
            self.slices.pop(uid, None)
        elif kind == "resourcequotas" and uid in self.quotas:
            self.quotas[uid].ended_at = at
            self._touch(at)

    def _measured(self, event: Measured) -> None:
        for pod in self.pods.values():
            use = event.uses.get((pod.namespace, pod.name))
            is_bound = pod.bound_at <= event.at and (
                pod.ended_at is None or event.at < pod.ended_at
            )
            if use is not None and is_bound:
                usage = pod.usage.setdefault(hour_of(event.at), Usage())
                usage.samples += 1
                usage.vcpu += use[0]
                usage.memory_gib += use[1]

    def _touch(self, since: int) -> None:
        """Mark the written hours that a change since then is in."""
        if self.next_hour is not None:
            first = max(hour_of(since), self.oldest_hour)
            self.changed_hours.update(range(first, self.next_hour, HOUR))

    def _forget(self) -> None:
        oldest = self.oldest_hour
        self.changed_hours = {hour for hour in self.changed_hours if hour >= oldest}
        self.pods = {
            uid: pod
            for uid, pod in self.pods.items()
            if pod.ended_at is None or pod.ended_at > oldest
        }
        self.orphans &= self.pods.keys()
        self.nodes = {
            uid: node
            for uid, node in self.nodes.items()
            if node.ended_at is None or node.ended_at > oldest
        }
        self.claims = {
            uid: claim
            for uid, claim in self.claims.items()
            if claim.steps[-1][1] or claim.steps[-1][0] > oldest
        }
        self.quotas = {
            uid: quota
            for uid, quota in self.quotas.items()
            if quota.ended_at is None or quota.ended_at > oldest
        }
        for quota in self.quotas.values():
            quota.steps = _since(quota.steps, oldest)
        for pod in self.pods.values():
            pod.requests = _since(pod.requests, oldest)
            pod.usage = {hour: usage for hour, usage in pod.usage.items() if hour >= oldest}
        for claim in self.claims.values():
            claim.steps = _since(claim.steps, oldest)
        named = {
            allocation.device
            for claim in self.claims.values()
            for _, allocations, _ in claim.steps
            for allocation in allocations
        }.union(*self.slices.values())
        self.devices = {id: device for id, device in self.devices.items() if id in named}
        self.gaps = [gap for gap in self.gaps if gap.end > utc(oldest)]


_LOST = (
    "what began and ended in it is missing, and what ended in it ends when it was last seen"
)


def _end(state: PodState, at: int) -> int:
    """When a finished pod ended, by the best of its marks."""
    if state.stopped_at is not None:
        return state.stopped_at
    return at if state.ended_at is None else state.ended_at


def _since(steps: list[Any], second: int) -> list[Any]:
    """The steps that count from a second on: the last before it, and those after."""
    first = max(
        (number for number, step in enumerate(steps) if step[0] <= second), default=0
    )
    return steps[first:]
