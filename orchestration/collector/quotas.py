"""A ResourceQuota object: what the pods of its namespace may request together.

Holds the reading of one state of one quota.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.collector.pods import Object, last_change
from orchestration.collector.quantities import Resources, instant, quantity
from orchestration.kubernetes.quotas import limited_request


@dataclass(frozen=True)
class QuotaState:
    """One state of a quota.

    Attributes:
        uid: Of the API object.
        namespace: Whose it is.
        hard: Resource -> quantity: ``cpu`` in cores, ``memory`` in bytes, devices by the
            piece. Empty for one with scopes, which limits some of the pods only.
        created_at: Seconds since 1970.
        changed_at: When the object last changed; None if it does not tell.
    """

    uid: str
    namespace: str
    hard: Resources
    created_at: int
    changed_at: int | None


def read_quota(item: Object) -> QuotaState:
    """Read a ResourceQuota object.

    Raises:
        KeyError, TypeError, ValueError: It is no quota as the API server writes them.
    """
    meta, spec = item["metadata"], item.get("spec") or {}
    hard: Resources = {}
    if not spec.get("scopes") and not spec.get("scopeSelector"):
        for name, text in (spec.get("hard") or {}).items():
            resource = limited_request(name)
            if resource is not None:
                size = quantity(str(text))
                hard[resource] = min(size, hard.get(resource, size))
    return QuotaState(
        uid=meta["uid"],
        namespace=meta["namespace"],
        hard=hard,
        created_at=instant(meta["creationTimestamp"]) or 0,
        changed_at=last_change(item),
    )
