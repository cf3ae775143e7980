"""Columns of ``pod_costs`` by where they come from, for contenders in expressions."""

from __future__ import annotations

from orchestration.lake.schemas import BASES, POD_COSTS, RESOURCES

FROM_NODE_HOUR = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "usage_type_prefix",
    "instance_type",
)
REQUESTED = {"vcpu": "vcpu_requested", "memory": "memory_requested_gib"}
"""Accelerators are requested as text; see ``accelerator_equivalents``."""

USED = {
    "accelerator": "accelerators_used",
    "vcpu": "vcpu_used",
    "memory": "memory_used_gib",
}

MONEY = [
    f"{resource}_{basis}_{part}_usd"
    for resource in RESOURCES
    for basis in BASES
    for part in ("split", "unused")
]
ALL = [name for name in POD_COSTS.names if not name.startswith("storage_")]
"""Those of a node's pods: storage is of pods on Fargate alone."""

UNITS = 10**10
