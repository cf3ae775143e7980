"""A Node object: which EC2 instance it is, and what it offers.

Holds the reading of one state of one node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestration.collector.pods import Object
from orchestration.collector.quantities import instant

_EC2_INSTANCE = re.compile(r"aws://.*[/-](i-[0-9a-f]+)")
"""On HyperPod, the id follows the cluster's: ``hyperpod-abc123def456-i-0abc``."""
_TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_REGION_LABELS = (
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/region",
)


@dataclass(frozen=True)
class NodeState:
    """One state of a node.

    Attributes:
        uid: Of the API object.
        name: Its name, which pods are bound to.
        provider_id: As the cloud provider wrote it, ``aws:///us-east-1a/i-0abc``.
        instance_id: The EC2 instance; None for nodes of other makes (Fargate, hybrid).
        instance_type: EC2 type by label; None if it has none.
        region: Region by label; None if it has none.
        labels: Its labels.
        allocatable: Resource -> quantity as Kubernetes spells it.
        created_at: When it joined the cluster, seconds since 1970.
    """

    uid: str
    name: str
    provider_id: str
    instance_id: str | None
    instance_type: str | None
    region: str | None
    labels: dict[str, str]
    allocatable: dict[str, str]
    created_at: int


def read_node(node: Object) -> NodeState:
    """Read a Node object.

    Raises:
        KeyError, TypeError, ValueError: It is no node as the API server writes them.
    """
    meta = node["metadata"]
    labels = dict(meta.get("labels") or {})
    provider_id = (node.get("spec") or {}).get("providerID") or ""
    instance = _EC2_INSTANCE.fullmatch(provider_id)
    return NodeState(
        uid=meta["uid"],
        name=meta["name"],
        provider_id=provider_id,
        instance_id=instance[1] if instance else None,
        instance_type=_first(labels, _TYPE_LABELS),
        region=_first(labels, _REGION_LABELS),
        labels=labels,
        allocatable={
            name: str(text)
            for name, text in ((node.get("status") or {}).get("allocatable") or {}).items()
        },
        created_at=instant(meta["creationTimestamp"]) or 0,
    )


def _first(labels: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)
