"""The split itself, as the close runs it; it also writes ``unallocated_costs``."""

from __future__ import annotations

from pathlib import Path

from bench.worlds import MONTH, World
from orchestration.split.engines import SplitMonth, local


def run(world: World, out: Path, split_month: SplitMonth = local.split_month) -> int:
    """Split the month in the world's own lake, and hand its files out."""
    result = split_month(world.warehouse, world.lake, MONTH, 2, progress=lambda _: None)
    for path in world.lake.files("pod_costs", MONTH):
        (out / path.name).hardlink_to(path)
    return result.pod_hours + result.unknown_pod_hours
