"""The split in two processes: days side by side, the same bytes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.contenders import podledger
from bench.worlds import World
from orchestration.split.engines import local


def run(world: World, out: Path) -> int:
    """As ``podledger``, two days at a time."""
    return podledger.run(world, out, partial(local.split_month, processes=2))
