"""The story of the sample month: the same month always the same.

Holds how nodes and workloads become a world. Which pod landed on which node is in
``placement.py``, what AWS bills for it in ``bill.py``, what Kubernetes knew of it in
``inventories.py``; ``docs/sample.md`` tells the story in prose.
"""

from __future__ import annotations

from orchestration.lake.months import Month
from orchestration.sample.nodes import node_groups
from orchestration.sample.spans import Calendar
from orchestration.sample.workloads import workloads
from orchestration.sample.world import (
    Node,
    NodeGroup,
    World,
    hex_id,
)


def make_world(month: Month) -> World:
    """Tell the story for a month."""
    calendar = Calendar(month)
    groups = node_groups(calendar)
    nodes = tuple(
        _node(month, group, number)
        for group in groups
        for number in range(len(group.lives))
    )
    return World(month, calendar.end, nodes, tuple(workloads(calendar)))


def _node(month: Month, group: NodeGroup, number: int) -> Node:
    name = f"{group.cluster.name} {group.name} {number}"
    address = int(hex_id(month, f"address {name}", 4), 16)
    host = f"{group.cluster.network}.{address >> 8}.{address & 255}".replace(".", "-")
    zones = group.cluster.zones
    return Node(
        group=group,
        instance_id=f"i-0{hex_id(month, f'instance {name}', 16)}",
        name=f"ip-{host}.{group.cluster.domain}",
        zone=zones[number % len(zones)],
        spans=group.lives[number],
    )
