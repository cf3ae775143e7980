"""What a node says of how its devices are shared among pods.

Holds the facts of a node (labels, and counts that it advertises) that decide what a device
request on it counts as, and their reading. What follows is in ``accelerators.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

GPU_REPLICAS = "nvidia.com/gpu.replicas"
"""Label of GPU feature discovery: pods that share one device (time-slicing, MPS)."""

GPU_PRODUCT = "nvidia.com/gpu.product"
"""Label: the device's model; with MIG strategy ``single`` it ends in the profile."""

HAMI_NODE = "gpu"
"""Label that hands a node to HAMi, with the value ``on``."""

ADVERTISED = "advertised:"
"""Begins the name of an advertised count, as in ``advertised:nvidia.com/gpu``. No label's
name has a colon."""

COUNTED_RESOURCES = frozenset(
    {
        "nvidia.com/gpu",
        "nvidia.com/gpu.shared",
        "k8s.amazonaws.com/vgpu",
        "aws.amazon.com/neuroncore",
    }
)
"""Resources of which a node may advertise more units than it has devices."""

MIG_PROFILE = r"(?P<slices>\d+)g\.(?P<gib>\d+)gb"
_MIG_PRODUCT = re.compile(rf"-MIG-{MIG_PROFILE}")
_MIG_REPLICAS = re.compile(r"nvidia\.com/mig-.+\.replicas")


def sharing_labels(
    labels: Mapping[str, str], allocatable: Mapping[str, str | float]
) -> dict[str, str]:
    """Keep what decides how requests on a node count, and nothing else.

    Labels that divide nothing (one replica, a product without a MIG profile) are left out,
    so that nodes of one kind look the same and the combinations of a month stay few.

    Args:
        labels: All labels of the node.
        allocatable: Its ``status.allocatable``; ``capacity`` may hold stale devices. A
            count of 0, as without a driver, says nothing about sharing.

    Returns:
        Labels, and advertised counts under ``ADVERTISED`` names; sorted.
    """
    kept = {
        name: value
        for name, value in labels.items()
        if (name == GPU_PRODUCT and _MIG_PRODUCT.search(value))
        or (name == HAMI_NODE and value == "on")
        or (
            (name == GPU_REPLICAS or _MIG_REPLICAS.fullmatch(name))
            and replicas(labels, name) > 1
        )
    }
    counts = {
        f"{ADVERTISED}{name}": str(count)
        for name in COUNTED_RESOURCES & allocatable.keys()
        if (count := _count(allocatable[name]))
    }
    return dict(sorted({**kept, **counts}.items()))


def replicas(labels: Mapping[str, str], label: str) -> int:
    """Pods that share one unit. Captured nodes carry ``"0"`` where nothing is shared."""
    return max(1, _count(labels.get(label, "")))


def advertised(labels: Mapping[str, str], resource: str) -> int:
    """Units of a resource that the node advertises; 0 if that is not known."""
    return _count(labels.get(f"{ADVERTISED}{resource}", ""))


def single_mig_profile(labels: Mapping[str, str]) -> re.Match[str] | None:
    """The one profile of a node with MIG strategy ``single``."""
    return _MIG_PRODUCT.search(labels.get(GPU_PRODUCT, ""))


def _count(value: str | float) -> int:
    """A whole number of units, rounded down; 0 for what is none."""
    try:
        number = float(value)
    except ValueError:
        return 0
    return int(number) if math.isfinite(number) and number > 0 else 0
