"""What no pod claimed: rows of ``unallocated_costs``.

Holds the one rule: a resource that the split weighs and no pod of its node-hour claims is
booked whole, with the reason. Charging it on is a policy of its own, later and elsewhere.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.lake.schemas import BASES, RESOURCES, UNALLOCATED_COSTS
from orchestration.split.batch import Coverage
from orchestration.split.money import money, units
from orchestration.split.node_hours import NodeHours

NO_PODS = "no_pods"
"""The node-hour has no pods at all."""

UNCLAIMED = "unclaimed"
"""It has pods, and none of them claims any of the resource."""

HOST_UNUSED = "host_unused"
"""It is no instance, but what no instance takes of a Dedicated Host."""

REASONS = (NO_PODS, UNCLAIMED, HOST_UNUSED)
_REASONS = pa.array(REASONS)
_HOST = "h-"
"""How the id of a Dedicated Host begins; an instance's begins with ``i-``."""

_FROM_NODE_HOUR = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "instance_id",
    "instance_type",
    "node_name",
)
_BY_NAME = sorted(range(len(RESOURCES)), key=RESOURCES.__getitem__)


def unallocated_costs(node_hours: NodeHours, coverage: Coverage) -> pa.Table:
    """Book what the pods left, once all pods of these node-hours went through.

    Args:
        node_hours: In the order of (``instance_id``, ``usage_hour``).
        coverage: What their pods claim.

    Returns:
        ``schemas.UNALLOCATED_COSTS`` with strings as dictionaries, sorted by
        (``instance_id``, ``usage_hour``, ``resource``).
    """
    is_left = (node_hours.is_weighed & ~coverage.is_claimed)[:, _BY_NAME]
    indices, positions = np.nonzero(is_left)
    resources = np.array(_BY_NAME)[positions]
    rows = pa.array(indices)

    columns = {name: node_hours.strings[name].take(rows) for name in _FROM_NODE_HOUR}
    columns["cluster_name"] = pc.coalesce(
        node_hours.strings["cluster_name"].take(rows).dictionary_decode(),
        pa.array(coverage.cluster_names[indices], pa.string()),
    ).dictionary_encode()
    columns["usage_hour"] = node_hours.usage_hours(indices)
    columns["resource"] = pa.DictionaryArray.from_arrays(
        pa.array(resources.astype(np.int32)), pa.array(RESOURCES)
    )
    columns["reason"] = _reasons(node_hours, coverage).take(rows)
    columns["method_version"] = pa.array(node_hours.method_version[indices])
    columns["capacity_hours"] = pa.array(node_hours.capacity_hours[indices, resources])
    for number, basis in enumerate(BASES):
        columns[f"{basis}_usd"] = money(
            node_hours.pools[indices, resources, number],
            node_hours.is_known[indices, number],
        )
    return pa.Table.from_arrays(
        [columns[name] for name in UNALLOCATED_COSTS.names], names=UNALLOCATED_COSTS.names
    )


def _reasons(node_hours: NodeHours, coverage: Coverage) -> pa.DictionaryArray:
    """Why something of each node-hour is left, if anything is."""
    instances = node_hours.strings["instance_id"]
    is_host = pc.starts_with(instances.dictionary, _HOST).take(instances.indices)
    codes = np.where(is_host, _REASONS.index(HOST_UNUSED).as_py(), coverage.has_pods)
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), _REASONS)


def unallocated_units(rows: pa.Table) -> NDArray[np.int64]:
    """Sum the money of such rows as written, in units of 1e-10 USD; shape (bases,)."""
    return np.array([units(rows[f"{basis}_usd"]).sum() for basis in BASES], np.int64)
