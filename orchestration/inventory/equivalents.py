"""The table of device equivalents that a month needs.

Holds the step from combinations of request and node, as they occur in the lake, to rows of
``accelerator_equivalents``. The rules themselves are in ``kubernetes/accelerators.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from orchestration.kubernetes.accelerators import NodeProfile, devices
from orchestration.lake.schemas import ACCELERATOR_EQUIVALENTS


class Combination(NamedTuple):
    """A request on a kind of node, once.

    Attributes:
        instance_type: EC2 type of the node.
        accelerators: Physical devices of the type.
        accelerator_memory_gib: GiB of one device.
        sharing_labels: Canonical JSON object; None as for none.
        accelerators_requested: Canonical JSON object, resource -> quantity.
    """

    instance_type: str
    accelerators: float | None
    accelerator_memory_gib: float | None
    sharing_labels: str | None
    accelerators_requested: str


def resolve_equivalents(
    combinations: Iterable[tuple[str, float | None, float | None, str | None, str]],
) -> pa.Table:
    """Resolve each combination to physical devices.

    Args:
        combinations: Fields as in ``Combination``, in any order, repeats allowed.

    Returns:
        ``schemas.ACCELERATOR_EQUIVALENTS``, one row a combination of instance type, labels
        and request, sorted by these.

    Raises:
        ValueError: One instance type comes with two capacities, so that the table would
            have two answers to one question.
    """
    answers: dict[tuple[str, str, str], dict[str, object]] = {}
    profiles: dict[str, tuple[float | None, float | None]] = {}
    for combination in map(Combination._make, combinations):
        capacity = (combination.accelerators, combination.accelerator_memory_gib)
        if profiles.setdefault(combination.instance_type, capacity) != capacity:
            raise ValueError(f"two capacities of {combination.instance_type}")
        labels = combination.sharing_labels or "{}"
        key = (combination.instance_type, labels, combination.accelerators_requested)
        if key in answers:
            continue
        node = NodeProfile(combination.instance_type, *capacity, json.loads(labels))
        equivalent = devices(json.loads(combination.accelerators_requested), node)
        answers[key] = {
            "instance_type": combination.instance_type,
            "sharing_labels": labels,
            "accelerators_requested": combination.accelerators_requested,
            "devices": equivalent.devices,
            "rule": equivalent.rule,
            "is_recognized": equivalent.is_recognized,
        }
    return pa.Table.from_pylist(
        [answers[key] for key in sorted(answers)], schema=ACCELERATOR_EQUIVALENTS
    )
