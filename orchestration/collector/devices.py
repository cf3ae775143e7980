"""Devices of dynamic resource allocation: ResourceClaims and ResourceSlices.

Holds the reading of one state of a claim (which devices it got, which pods hold them) and
of a slice (what the devices are), and the extended resource that a device is told as.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from orchestration.collector.pods import Object, last_change
from orchestration.collector.quantities import Resources, quantity, resources
from orchestration.kubernetes.held import claimed_resource

VERSIONS = ("v1", "v1beta2", "v1beta1")
"""Versions of ``resource.k8s.io`` that are understood, the best first."""


@dataclass(frozen=True)
class Device:
    """What a driver advertises of a device.

    Attributes:
        resource: The extended resource that it is told as.
        capacity: Capacity -> quantity, for devices that claims take parts of.
    """

    resource: str
    capacity: dict[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True)
class Allocation:
    """One device, or a part of one, that a claim got.

    Attributes:
        device: The device's id.
        resource: What it is told as while its slice is unknown.
        consumed: Capacity -> quantity; empty if the claim got the device whole.
    """

    device: str
    resource: str
    consumed: dict[str, Fraction]

    def share(self, device: Device | None) -> Fraction:
        """The part of the device that was allocated: its scarcest capacity's, at most 1."""
        parts = [
            taken / device.capacity[name]
            for name, taken in self.consumed.items()
            if device is not None and device.capacity.get(name)
        ]
        return min(max(parts), Fraction(1)) if parts else Fraction(1)


@dataclass(frozen=True)
class ClaimState:
    """One state of a ResourceClaim.

    Attributes:
        uid: Of the API object.
        namespace: Its namespace.
        name: Its name.
        allocations: What it got; empty while it waits.
        consumers: Uids of the pods that it is reserved for.
        changed_at: Last change that the API server knows of this state.
    """

    uid: str
    namespace: str
    name: str
    allocations: tuple[Allocation, ...]
    consumers: tuple[str, ...]
    changed_at: int | None


def read_claim(claim: Object) -> ClaimState:
    """Read a ResourceClaim. Devices with admin access are looked at, not held.

    Raises:
        KeyError, TypeError, ValueError: It is no claim as the API server writes them.
    """
    meta, status = claim["metadata"], claim.get("status") or {}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results")
    return ClaimState(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        allocations=tuple(
            Allocation(
                device=_id(result["driver"], result["pool"], result["device"]),
                resource=claimed_resource(result["driver"]),
                consumed=resources(result.get("consumedCapacity")),
            )
            for result in results or ()
            if not result.get("adminAccess")
        ),
        consumers=tuple(
            sorted(
                consumer["uid"]
                for consumer in status.get("reservedFor") or ()
                if consumer.get("resource") == "pods"
            )
        ),
        changed_at=last_change(claim),
    )


def read_slice(resource_slice: Object) -> dict[str, Device]:
    """The devices of a ResourceSlice, by id.

    Raises:
        KeyError, TypeError, ValueError: It is no slice as the API server writes them.
    """
    spec = resource_slice["spec"]
    return {
        _id(spec["driver"], spec["pool"]["name"], device["name"]): _device(
            spec["driver"], device.get("basic") or device
        )
        for device in spec.get("devices") or ()
    }


def _device(driver: str, device: Object) -> Device:
    """A device is named by its driver, a MIG slice by its profile too."""
    attributes = dict(_texts(device.get("attributes") or {}))
    capacity: Resources = {
        name: quantity(str(entry["value"]))
        for name, entry in (device.get("capacity") or {}).items()
    }
    mig_profile = attributes.get("profile") if attributes.get("type") == "mig" else None
    return Device(claimed_resource(driver, mig_profile), capacity)


def _texts(attributes: Object) -> Iterator[tuple[str, Any]]:
    """Attributes that are text, without the domain that a driver may write before them."""
    for name, value in attributes.items():
        if "string" in value:
            yield name.rpartition("/")[2], value["string"]


def _id(driver: str, pool: str, device: str) -> str:
    return f"{driver}/{pool}/{device}"
