"""``python -m bench.sources``: how fetching pods from Prometheus grows with the cluster.

Holds the table of two clusters, each in a real Prometheus on loopback: what a few hours of
each take in queries, time and memory, and what one more pod adds. The exit code is 1 if a
larger cluster takes more queries, or if a day of the promised size would not fit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.inventory.sources.prometheus.growth import (
    HOURS,
    Measured,
    cluster_lines,
    measure,
)
from tests.inventory.sources.prometheus.server import missing_programs, serving

PODS = (500, 2000)
"""Pods at a time of the two clusters."""

PROMISED_PODS = 20_000
PROMISED_MIB = 1536
"""What a fetch of the promised size may take, and that is by day."""


def main() -> int:
    """Run the bench; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sources", description=__doc__)
    parser.add_argument("--pods", nargs=2, type=int, default=PODS, metavar="N")
    small, large = sorted(parser.parse_args().pods)
    console = Console(width=100)
    if missing := missing_programs():
        console.print(f"nothing is measured: {missing}")
        return 1
    few, many = (_measured(pods, console) for pods in (small, large))
    console.print(_table({small: few, large: many}))
    each_kib = (many.peak_mib - few.peak_mib) / (large - small) * 1024
    promised = few.peak_mib + each_kib / 1024 * (PROMISED_PODS - small)
    console.print(
        f"each pod more: {each_kib:.1f} KiB; {PROMISED_PODS:,} pods at a time by that:"
        f" {promised:,.0f} of {PROMISED_MIB:,} MiB (a day full of pods has longer answers)"
    )
    return int(many.queries > few.queries or promised > PROMISED_MIB)


def _measured(pods: int, console: Console) -> Measured:
    with tempfile.TemporaryDirectory() as work, console.status(f"{pods:,} pods"):
        server, landing = Path(work) / "server", Path(work) / "landing"
        server.mkdir()
        with serving(cluster_lines(pods), server) as address:
            return measure(address, landing)


def _table(measured: dict[int, Measured]) -> Table:
    table = Table(title=f"Prometheus: a day of which {HOURS} hours have pods")
    for name in ("pods at a time", "pod-hours", "queries", "seconds", "pod-hours/s", "MiB"):
        table.add_column(name, justify="right")
    for pods, taken in measured.items():
        table.add_row(
            f"{pods:,}",
            f"{taken.pod_hours:,}",
            str(taken.queries),
            f"{taken.seconds:.1f}",
            f"{taken.pod_hours / taken.seconds:,.0f}",
            f"{taken.peak_mib:,.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
