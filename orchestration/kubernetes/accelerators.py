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

from orchestration.kubernetes.sharing import (
    GPU_REPLICAS,
    HAMI_NODE,
    MIG_PROFILE,
    advertised,
    replicas,
    single_mig_profile,
)

NVIDIA_GPU = "nvidia.com/gpu"

NVIDIA_GPUS = frozenset({NVIDIA_GPU, "nvidia.com/gpu.shared"})
"""NVIDIA devices; the plug-in's ``renameByDefault`` adds ``.shared`` where pods share."""

VIRTUAL_GPU = "k8s.amazonaws.com/vgpu"
"""AWS's virtual GPU plug-in: as many units a device as the node was told to advertise."""

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

PHYSICAL_DEVICE = "podledger/physical-device"
"""Devices that were counted as physical ones already, as in AWS's own split rows."""

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

LOGICAL_CORE_FAMILIES = frozenset({"trn2", "trn2u"})
"""Families whose nodes may advertise logical cores of two physical ones (LNC=2)."""

HAMI_MEMORY = "nvidia.com/gpumem"
HAMI_MEMORY_PERCENT = "nvidia.com/gpumem-percentage"
HAMI_CORES = "nvidia.com/gpucores"
HAMI_LIMITS = frozenset({HAMI_MEMORY, HAMI_MEMORY_PERCENT, HAMI_CORES})
"""HAMi's limits of each ``nvidia.com/gpu`` of a pod: MiB, percent, percent."""

GPU_FRACTION = "run.ai/gpu-fraction"
"""Devices, or parts of one, that run:ai or KAI gave a pod by annotation."""

GPU_MEMORY = "run.ai/gpu-memory"
"""MiB of device memory that run:ai or KAI gave a pod by annotation."""

CLAIM_DOMAIN = "resource.k8s.io"
"""Devices of DRA claims: ``resource.k8s.io/<driver>``, and ``/mig-<profile>`` behind it."""

IMPLICIT_CLASS_DOMAIN = "deviceclass.resource.kubernetes.io"
"""DRA behind an ordinary request: ``deviceclass.resource.kubernetes.io/<device class>``."""

CLAIM_DRIVERS = frozenset(
    {"gpu.nvidia.com", "gpu.amd.com", "gaudi.intel.com", "neuron.aws.com"}
)
"""DRA drivers whose devices are accelerators; their device classes have the same names."""

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

OTHER_CLAIM_DRIVERS = frozenset({"compute-domain.nvidia.com", "dra.net"})
"""DRA drivers whose devices are no accelerators: channels between nodes, network."""

_MIG_RESOURCE = re.compile(
    rf"(?P<advertised>nvidia\.com/mig-{MIG_PROFILE}(?:[.+-](?!shared\b)[a-z0-9]+)*)"
    r"(?:\.shared)?"
)
_MIG_CLAIM = re.compile(rf"mig-{MIG_PROFILE}(?:[.+-][a-z0-9]+)*")
_MIB_A_GIB = 1024


@dataclass(frozen=True)
class NodeProfile:
    """What decides how a request on a node counts.

    Attributes:
        instance_type: EC2 type, like ``p4d.24xlarge``; None if unknown.
        accelerators: Physical devices that the type has; a fraction on types that hold a
            part of one. None or 0 if unknown or none. Never what Kubernetes advertises.
        accelerator_memory_gib: GiB of one device as the instance sees it; None or 0 if
            unknown.
        labels: What ``sharing.sharing_labels`` keeps of the node, or more.
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
        rule: How many units of which resource counted as what, for people.
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


def devices(requested: Mapping[str, float], node: NodeProfile) -> Equivalent:
    """Count a pod's request in physical devices of the node that it was bound to.

    Args:
        requested: Extended resource -> quantity; finite and not negative.
        node: The node that the pod was bound to.

    Returns:
        The sum over all resources. A quantity of 0 asks for nothing, whatever its name.
    """
    quantities = {
        name: _decimal(number) for name, number in sorted(requested.items()) if number
    }
    limits = {name: quantities.pop(name) for name in HAMI_LIMITS & quantities.keys()}
    if limits:
        # HAMi gives a pod that only names limits one GPU with these limits.
        quantities.setdefault(NVIDIA_GPU, Fraction(1))
    total = Fraction(0)
    reasons = []
    is_recognized = True
    for resource, quantity in quantities.items():
        if limits and resource == NVIDIA_GPU:
            share = _limited_gpu(limits, node)
        else:
            share = _share(resource, node)
        total += quantity * share.devices
        is_recognized = is_recognized and share.is_recognized
        reasons.append(
            f"{_printed(quantity)} x {resource} at {_printed(share.devices)} device"
            f" ({share.reason})"
        )
    return Equivalent(float(total), "; ".join(reasons) or "no request", is_recognized)


def _share(resource: str, node: NodeProfile) -> _Share:
    domain, slash, name = resource.partition("/")
    if resource in NVIDIA_GPUS:
        return _nvidia_gpu(resource, node)
    if mig := _MIG_RESOURCE.fullmatch(resource):
        return _replicated(_mig_slice(mig, node), node, f"{mig['advertised']}.replicas")
    if resource in WHOLE_DEVICES:
        return _whole(node)
    if resource == PHYSICAL_DEVICE:
        return _Share(Fraction(1), "counted as a physical device")
    if resource == NEURON_CORE:
        return _neuron_core(node)
    if resource == VIRTUAL_GPU:
        return _virtual(resource, node) or _unknown("units a device unknown")
    if resource == GPU_FRACTION:
        return _Share(_whole(node).devices, "part of a device by annotation")
    if resource == GPU_MEMORY:
        return _memory_mib(node)
    if domain in (CLAIM_DOMAIN, IMPLICIT_CLASS_DOMAIN):
        return _claimed(name, node)
    if not slash or domain in OTHER_DOMAINS or f".{domain}".endswith(".kubernetes.io"):
        return _NO_ACCELERATOR
    return _unknown("unknown resource")


def _unknown(reason: str) -> _Share:
    return _Share(Fraction(0), reason, is_recognized=False)


def _whole(node: NodeProfile) -> _Share:
    """One device: on a fractional instance, the part of it that the instance holds."""
    if not node.accelerators or float(node.accelerators).is_integer():
        return _Share(Fraction(1), "whole device")
    return _Share(
        _decimal(node.accelerators) / _physical(node.accelerators), "fractional instance"
    )


def _nvidia_gpu(resource: str, node: NodeProfile) -> _Share:
    """A GPU, a replica of one, or with MIG strategy ``single`` a slice."""
    if mig := single_mig_profile(node.labels):
        return _replicated(_mig_slice(mig, node), node, GPU_REPLICAS)
    if replicas(node.labels, GPU_REPLICAS) > 1:
        return _replicated(_whole(node), node, GPU_REPLICAS)
    if node.labels.get(HAMI_NODE) == "on":
        # HAMi advertises each device many times over, and without limits gives it whole.
        return _whole(node)
    return _virtual(resource, node) or _whole(node)


def _replicated(share: _Share, node: NodeProfile, label: str) -> _Share:
    """Divide a share among the replicas that the device plug-in makes of it."""
    count = replicas(node.labels, label)
    if count == 1:
        return share
    return _Share(share.devices / count, f"{share.reason} shared by {count}")


def _virtual(resource: str, node: NodeProfile) -> _Share | None:
    """A device divided by the units of it that the node advertises; None if it is whole.

    A device that failed takes its units away, so the units a device are rounded up.
    """
    count = advertised(node.labels, resource)
    if not node.accelerators or not count:
        return None
    physical = _physical(node.accelerators)
    units = math.ceil(Fraction(count, physical))
    if units == 1:
        return None
    return _Share(
        _whole(node).devices / units, f"{count} advertised of {physical}: shared by {units}"
    )


def _limited_gpu(limits: Mapping[str, Fraction], node: NodeProfile) -> _Share:
    """A GPU with HAMi's limits: the larger of its part of cores and memory, at most 1."""
    percents = (limits.get(HAMI_CORES, 0), limits.get(HAMI_MEMORY_PERCENT, 0))
    part = max(percents) / Fraction(100)
    if HAMI_MEMORY in limits:
        memory = _memory_mib(node)
        if not memory.is_recognized:
            return memory
        part = max(part, limits[HAMI_MEMORY] * memory.devices / _whole(node).devices)
    named = ", ".join(f"{_printed(limits[name])} {name}" for name in sorted(limits))
    return _Share(min(part, Fraction(1)) * _whole(node).devices, f"limited to {named}")


def _memory_mib(node: NodeProfile) -> _Share:
    """One MiB of a device's memory."""
    if not node.accelerator_memory_gib:
        return _unknown("memory of the device unknown")
    mib = _decimal(node.accelerator_memory_gib) * _MIB_A_GIB
    return _Share(_whole(node).devices / mib, "part of a device's memory")


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
        return _unknown("cores a device unknown for this type")
    count = advertised(node.labels, NEURON_CORE)
    if family in LOGICAL_CORE_FAMILIES and node.accelerators and count:
        logical = cores // 2
        if count <= logical * _physical(node.accelerators):
            return _Share(Fraction(1, logical), f"one of {logical} logical cores")
    return _Share(Fraction(1, cores), f"one of {cores} cores")


def _claimed(name: str, node: NodeProfile) -> _Share:
    """One device of a DRA claim; the quantity is the pod's part of what was allocated."""
    driver, _, profile = name.partition("/")
    if driver in OTHER_CLAIM_DRIVERS:
        return _NO_ACCELERATOR
    if driver not in CLAIM_DRIVERS:
        return _unknown("unknown DRA driver")
    if not profile:
        return _whole(node)
    mig = _MIG_CLAIM.fullmatch(profile)
    return _mig_slice(mig, node) if mig else _unknown("unknown MIG profile")


def _physical(accelerators: float) -> int:
    """Devices as a driver counts them: a part of one is one."""
    return math.ceil(accelerators)


def _decimal(number: float) -> Fraction:
    """The number as it is printed: the catalogue's 22.3516 is no binary fraction."""
    return Fraction(str(number))


def _printed(number: Fraction) -> str:
    if number.denominator > 1000 or number > 1:
        return f"{float(number):.6g}"
    return str(number)
