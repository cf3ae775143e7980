"""Accelerator requests in physical-device equivalents.

Holds the rules of ``docs/method.md`` that say what a unit of each extended resource
counts as on the node that it was requested on. Pure: no files, no tables, no bill. Shares
are fractions until the end, so that a seventh of a device is the best double of 1/7.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

GPU_REPLICAS_LABEL = "nvidia.com/gpu.replicas"
"""Node label of GPU feature discovery: pods that share one device (time-slicing, MPS)."""

GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Node label: the device's model; with MIG strategy ``single`` it ends in the profile."""

NVIDIA_GPUS = frozenset({"nvidia.com/gpu", "nvidia.com/gpu.shared"})
"""NVIDIA devices; the plug-in's ``renameByDefault`` adds ``.shared`` where pods share."""

WHOLE_DEVICES = frozenset(
    {
        "amd.com/gpu",
        "habana.ai/gaudi",
        "qualcomm.com/qaic",
        "aws.amazon.com/neuron",
        "aws.amazon.com/neurondevice",
    }
)
"""Resources that count as one device a unit and that no node label divides."""

NEURON_CORE = "aws.amazon.com/neuroncore"

NEURON_CORES_PER_DEVICE = {
    "inf1": 4,
    "inf2": 2,
    "trn1": 2,
    "trn1n": 2,
    "trn2": 8,
    "trn2u": 8,
}
"""Physical NeuronCores of one device, by instance family."""

MIG_COMPUTE_SLICES = 7
"""Compute slices that MIG cuts a device into."""

OTHER_DOMAINS = frozenset(
    {
        "vpc.amazonaws.com",
        "aws.ec2.nitro",
        "devices.kubevirt.io",
        "rdma",
        "smarter-devices",
    }
)
"""Vendors of extended resources that are no accelerators: network, enclaves, /dev nodes."""

_MIG_PROFILE = r"(?P<slices>\d+)g\.(?P<gib>\d+)gb"
_MIG_RESOURCE = re.compile(
    rf"(?P<advertised>nvidia\.com/mig-{_MIG_PROFILE}(?:[.+-](?!shared\b)[a-z0-9]+)*)"
    r"(?:\.shared)?"
)
_MIG_PRODUCT = re.compile(rf"-MIG-{_MIG_PROFILE}")
_MIG_REPLICAS_LABEL = re.compile(r"nvidia\.com/mig-.+\.replicas")


@dataclass(frozen=True)
class NodeProfile:
    """What decides how a request on a node counts.

    Attributes:
        instance_type: EC2 type, like ``p4d.24xlarge``; None if unknown.
        accelerators: Physical devices that the type advertises; a fraction on types that
            hold a part of one. None or 0 if unknown or none.
        accelerator_memory_gib: GiB of one device; None or 0 if unknown.
        labels: The node's labels, or those that ``sharing_labels`` keeps of them.
    """

    instance_type: str | None = None
    accelerators: float | None = None
    accelerator_memory_gib: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Equivalent:
    """A request in physical devices.

    Attributes:
        devices: Physical-device equivalents of the whole request.
        rule: What each resource of the request counted as, for people.
        is_recognized: False if the request names a resource that no rule knows, which
            counts as no device.
    """

    devices: float
    rule: str
    is_recognized: bool


@dataclass(frozen=True)
class _Share:
    """What one unit of a resource counts as, and why."""

    devices: Fraction
    reason: str
    is_recognized: bool = True


_NO_ACCELERATOR = _Share(Fraction(0), "no accelerator")
_UNKNOWN = _Share(Fraction(0), "unknown resource", is_recognized=False)


def devices(requested: Mapping[str, float], node: NodeProfile) -> Equivalent:
    """Count a pod's request in physical devices of the node that it was bound to.

    Args:
        requested: Extended resource -> quantity; finite and not negative.
        node: The node that the pod was bound to.

    Returns:
        The sum over all resources. A quantity of 0 asks for nothing, whatever its name.
    """
    total = Fraction(0)
    reasons = []
    is_recognized = True
    for resource in sorted(requested):
        quantity = requested[resource]
        if not quantity:
            continue
        share = _share(resource, node)
        total += Fraction(quantity) * share.devices
        is_recognized = is_recognized and share.is_recognized
        reasons.append(f"{resource} = {_printed(share.devices)} device ({share.reason})")
    return Equivalent(float(total), "; ".join(reasons) or "no request", is_recognized)


def sharing_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Keep the labels of a node that decide what a request on it counts as.

    ``devices`` gives the same for these as for all labels. A label that divides nothing
    (one replica, a product without a MIG profile) is left out, so that most nodes have
    none and the combinations of a month stay few.
    """
    return {
        name: value
        for name, value in sorted(labels.items())
        if (name == GPU_PRODUCT_LABEL and _MIG_PRODUCT.search(value))
        or (
            (name == GPU_REPLICAS_LABEL or _MIG_REPLICAS_LABEL.fullmatch(name))
            and _replicas(labels, name) > 1
        )
    }


def _share(resource: str, node: NodeProfile) -> _Share:
    if resource in NVIDIA_GPUS:
        return _nvidia_gpu(node)
    if mig := _MIG_RESOURCE.fullmatch(resource):
        return _shared(_mig_slice(mig, node), node, f"{mig['advertised']}.replicas")
    if resource in WHOLE_DEVICES:
        return _whole(node)
    if resource == NEURON_CORE:
        return _neuron_core(node)
    if _is_no_accelerator(resource):
        return _NO_ACCELERATOR
    return _UNKNOWN


def _nvidia_gpu(node: NodeProfile) -> _Share:
    """A GPU, or with MIG strategy ``single`` the slice that the product label names."""
    if mig := _MIG_PRODUCT.search(node.labels.get(GPU_PRODUCT_LABEL, "")):
        return _shared(_mig_slice(mig, node), node, GPU_REPLICAS_LABEL)
    return _shared(_whole(node), node, GPU_REPLICAS_LABEL)


def _whole(node: NodeProfile) -> _Share:
    """One advertised device: on a fractional instance, the part that the instance holds."""
    if not node.accelerators or float(node.accelerators).is_integer():
        return _Share(Fraction(1), "whole device")
    capacity = _decimal(node.accelerators)
    return _Share(capacity / math.ceil(capacity), "fractional instance")


def _shared(share: _Share, node: NodeProfile, label: str) -> _Share:
    """Divide a share among the replicas that the device plug-in advertises for it."""
    replicas = _replicas(node.labels, label)
    if replicas == 1:
        return share
    return _Share(share.devices / replicas, f"{share.reason} shared by {replicas}")


def _mig_slice(profile: re.Match[str], node: NodeProfile) -> _Share:
    """The larger of a slice's compute and memory part of its device, at most 1."""
    part = Fraction(int(profile["slices"]), MIG_COMPUTE_SLICES)
    if node.accelerator_memory_gib:
        part = max(part, int(profile["gib"]) / _decimal(node.accelerator_memory_gib))
    return _Share(min(part, Fraction(1)), "MIG slice")


def _neuron_core(node: NodeProfile) -> _Share:
    family = (node.instance_type or "").partition(".")[0]
    cores = NEURON_CORES_PER_DEVICE.get(family)
    if cores is None:
        return _Share(
            Fraction(0), "cores a device unknown for this type", is_recognized=False
        )
    return _Share(Fraction(1, cores), f"one of {cores} cores")


def _is_no_accelerator(resource: str) -> bool:
    """Whether a resource is Kubernetes' own, or of a vendor that sells no accelerators."""
    domain, slash, _ = resource.partition("/")
    return (
        not slash
        or domain == "kubernetes.io"
        or domain.endswith(".kubernetes.io")
        or domain in OTHER_DOMAINS
    )


def _replicas(labels: Mapping[str, str], label: str) -> int:
    """Pods that share one unit. Captured nodes carry ``"0"`` where nothing is shared."""
    text = labels.get(label, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def _decimal(number: float) -> Fraction:
    """The number as it is printed: the catalogue's 22.3516 is no binary fraction."""
    return Fraction(str(number))


def _printed(share: Fraction) -> str:
    return str(share) if share.denominator <= 1000 else f"{float(share):.6g}"
