"""What a pod holds of accelerators, as the contract's ``accelerators_requested`` spells it.

Holds the translation of what stands in a pod beside its resource requests: fractions by
annotation (run:ai, KAI) and DRA claims. For sources that see pods as Kubernetes has them.
What the spelled resources count as is in ``accelerators.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestration.kubernetes.accelerators import CLAIM_DOMAIN, GPU_FRACTION, GPU_MEMORY

RESERVATION_NAMESPACES = frozenset({"runai-reservation", "kai-resource-reservation"})
"""Where run:ai (KAI before 0.6 too) and KAI keep the pods that reserve shared devices."""

RESERVATION_LABEL = "app.runai.resource.reservation"
"""Label of run:ai's reservation pods, wherever they are."""

_FRACTION_ANNOTATION = "gpu-fraction"
_MEMORY_ANNOTATION = "gpu-memory"
_DEVICES_ANNOTATION = "gpu-fraction-num-devices"


def held_accelerators(
    requested: Mapping[str, float],
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, float]:
    """Say what a pod holds, fractions by annotation included.

    A fractional pod requests no device; a reservation pod in another namespace requests the
    whole one. Kubernetes' books then name the wrong holder, so the fractions are given to
    the pods that have them, and the reservation holds nothing. What no fraction takes of
    the device stays unclaimed on its node.

    Args:
        requested: Extended resource -> quantity: the pod's effective requests.
        namespace: Of the pod.
        labels: Of the pod.
        annotations: Of the pod.

    Returns:
        Extended resource -> quantity, in the contract's spelling.
    """
    if namespace in RESERVATION_NAMESPACES or RESERVATION_LABEL in labels:
        return {}
    fraction = _positive(annotations.get(_FRACTION_ANNOTATION))
    memory = _positive(annotations.get(_MEMORY_ANNOTATION))
    count = _positive(annotations.get(_DEVICES_ANNOTATION)) or 1
    held = dict(requested)
    if fraction:
        held[GPU_FRACTION] = fraction * count
    elif memory:
        held[GPU_MEMORY] = memory * count
    return held


def claimed_resource(driver: str, mig_profile: str | None = None) -> str:
    """Spell the devices of a DRA claim; the quantity is the pod's part of them.

    Args:
        driver: As in the claim's ``status.allocation``, like ``gpu.nvidia.com``.
        mig_profile: Of a MIG device, like ``1g.5gb``, as its ResourceSlice says.
    """
    suffix = f"/mig-{mig_profile}" if mig_profile else ""
    return f"{CLAIM_DOMAIN}/{driver}{suffix}"


def _positive(text: str | None) -> float:
    """A number above 0; 0 for what is none, which the schedulers do not heed either."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
