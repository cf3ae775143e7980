"""The columns that an inventory file may have, and what may stand in them.

Holds the contracts of pod-hours, node-hours and quota-hours, derived from the lake's
schemas. It says nothing about file formats, and nothing about months.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import pyarrow as pa

from orchestration.inventory.sources.interface import Kind
from orchestration.lake.schemas import HOUR, NODE_HOURS, POD_HOURS, QUOTA_HOURS


class Content(Enum):
    """What the values of a column are."""

    TEXT = auto()
    """Text; an empty one is null, as CSV cannot tell them apart."""
    HOUR = auto()
    """A timestamp; one without a zone is UTC."""
    SECONDS = auto()
    """A whole number from 0 to 3600."""
    QUANTITY = auto()
    """A finite number, not negative."""
    DEVICES = auto()
    """A map from resource to quantity."""
    LABELS = auto()
    """A map from label to text."""
    CAPACITIES = auto()
    """A map from resource to quantity, numbers or Kubernetes' spelling like ``512Mi``."""


MAPS = frozenset({Content.DEVICES, Content.LABELS, Content.CAPACITIES})
"""Contents that are maps; they come as maps, structs or JSON objects, null for empty."""

_MAP_COLUMNS = {
    "accelerators_requested": Content.DEVICES,
    "accelerators_hard": Content.DEVICES,
    "labels": Content.LABELS,
    "allocatable": Content.CAPACITIES,
}


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        name: Its name in files and in the lake.
        content: What its values are.
        is_required: Whether a file must have it.
        is_nullable: Whether a value may be null; a null map is an empty one.
    """

    name: str
    content: Content
    is_required: bool
    is_nullable: bool


@dataclass(frozen=True)
class Contract:
    """What a row of an inventory is.

    Attributes:
        kind: Its name.
        key: Columns that identify a row, in the lake's order.
        columns: Columns that files may have.
        schema: The table in the lake; columns that no file has are derived.
    """

    kind: Kind
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    schema: pa.Schema


def _contract(
    kind: Kind,
    schema: pa.Schema,
    *,
    key: tuple[str, ...],
    required: frozenset[str],
    derived: frozenset[str] = frozenset(),
) -> Contract:
    columns = tuple(
        Column(
            name=field.name,
            content=_content(field),
            is_required=field.name in required,
            is_nullable=field.nullable or field.name in _MAP_COLUMNS,
        )
        for field in schema
        if field.name not in derived
    )
    return Contract(kind, key, columns, schema)


def _content(field: pa.Field) -> Content:
    if field.name in _MAP_COLUMNS:
        return _MAP_COLUMNS[field.name]
    if field.type == HOUR:
        return Content.HOUR
    if pa.types.is_integer(field.type):
        return Content.SECONDS
    return Content.QUANTITY if pa.types.is_floating(field.type) else Content.TEXT


CONTRACTS: dict[Kind, Contract] = {
    "pod_hours": _contract(
        "pod_hours",
        POD_HOURS,
        key=("instance_id", "usage_hour", "pod_uid"),
        required=frozenset(
            {
                "instance_id",
                "usage_hour",
                "namespace",
                "pod_name",
                "pod_uid",
                "bound_seconds",
                "vcpu_requested",
                "memory_requested_gib",
            }
        ),
    ),
    "node_hours": _contract(
        "node_hours",
        NODE_HOURS,
        key=("instance_id", "usage_hour"),
        required=frozenset({"instance_id", "usage_hour"}),
        derived=frozenset({"sharing_labels"}),
    ),
    "quota_hours": _contract(
        "quota_hours",
        QUOTA_HOURS,
        key=("cluster_name", "usage_hour", "namespace"),
        required=frozenset({"cluster_name", "usage_hour", "namespace"}),
        derived=frozenset({"devices_hard"}),
    ),
}
"""The contract of each kind of file."""
