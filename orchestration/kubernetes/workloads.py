"""A pod's workload: one answer, whichever source tells of the pod.

Holds the step from the controller that a source names to the topmost one, by what its name
and the pod's labels give away, for sources that could not follow the owners themselves. A
ReplicaSet's or Job's own name is the pod's without its last part; ``scad/`` has it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_HASHED = re.compile(rf"(?P<stem>.+)-(?P<hash>[{_SAFE}]{{5,10}})")
"""What Kubernetes appends to a Deployment's name: its safe alphabet has no vowels."""

_SCHEDULED = re.compile(r"(?P<stem>.+)-(?P<minutes>\d{8})")
_MINUTES = range(25_000_000, 45_000_000)
"""Minutes since 1970 of 2017 to 2055, which a CronJob appends; a date is no such number."""


class Workload(NamedTuple):
    """The topmost controller of a pod; all null for a bare one.

    Attributes:
        kind: Its kind.
        name: Its name.
        deployment: The Deployment behind a ReplicaSet.
    """

    kind: str | None
    name: str | None
    deployment: str | None


def topmost(
    kind: str | None,
    name: str | None,
    labels: Mapping[str, str],
    *,
    guess_deployment: bool = True,
) -> Workload:
    """The workload of a pod whose nearest known controller is named.

    Args:
        kind: Of the controller; null for a bare pod.
        name: Of the controller.
        labels: The pod's.
        guess_deployment: Whether a ReplicaSet's name alone may tell its Deployment; not
            where the source would have told of one.
    """
    if not kind or not name:
        return Workload(None, None, None)
    if kind == "ReplicaSet":
        stem, dash, suffix = name.rpartition("-")
        if dash and labels.get("rollouts-pod-template-hash") == suffix:
            return Workload("Rollout", stem, None)
        is_hashed = guess_deployment and _HASHED.fullmatch(name)
        if dash and (labels.get("pod-template-hash") == suffix or is_hashed):
            kind, name = "Deployment", stem
    elif kind == "Job":
        scheduled = _SCHEDULED.fullmatch(name)
        if scheduled and int(scheduled["minutes"]) in _MINUTES:
            kind, name = "CronJob", scheduled["stem"]
    return Workload(kind, name, name if kind == "Deployment" else None)
