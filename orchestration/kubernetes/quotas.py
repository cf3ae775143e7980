"""What a ResourceQuota limits, of what pods request.

Holds the names under ``hard`` that speak of requests: ``cpu`` and ``requests.cpu`` are one
resource, and so on. Limits, storage and counts of objects are none of them. See
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

BASIC = ("cpu", "memory")
"""In cores and bytes; every other resource that is limited is an extended one."""

_REQUESTS = "requests."


def limited_request(name: str) -> str | None:
    """The resource whose requests a key of ``hard`` limits; None if it limits none.

    Args:
        name: Like ``requests.nvidia.com/gpu``.

    Returns:
        Like ``nvidia.com/gpu``; ``cpu`` or ``memory``.
    """
    resource = name.removeprefix(_REQUESTS)
    if resource in BASIC:
        return resource
    is_extended = name.startswith(_REQUESTS) and "/" in resource
    return resource if is_extended else None
