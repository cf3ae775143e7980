"""Measurements as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from bench.contenders import FLOOR, Kind
from bench.measure import Measurement
from bench.worlds import NODES, World


def as_table(
    world: World, results: Sequence[Measurement], differences: Mapping[str, str]
) -> Table:
    """One row a contender; extrapolated figures are marked with ~."""
    table = Table(
        title=f"{world.size}: {NODES[world.size]:,} nodes, a month,"
        f" {world.rows:,} pod-hours",
        caption="~ extrapolated from a sample",
    )
    table.add_column("contender", no_wrap=True)
    table.add_column("what it is")
    for name in ("CPU s", "x floor", "µs a row", "wall s", "peak RSS", "written"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("exact")
    floor = next((r.cpu_s for r in results if r.contender.name == FLOOR), None)
    for result in results:
        mark = "~" if result.contender.is_sampled else ""
        table.add_row(
            result.contender.name,
            result.contender.summary,
            f"{mark}{result.cpu_s:,.2f}",
            f"{mark}{result.cpu_s / floor:,.2f}" if floor else "",
            f"{mark}{1e6 * result.cpu_s / result.rows:,.2f}",
            f"{mark}{result.wall_s:,.1f}",
            f"{result.peak_rss_bytes / 2**20:,.0f} MiB",
            f"{mark}{result.out_bytes / 1e6:,.0f} MB",
            _exactness(result, differences),
        )
    return table


def write_results(
    folder: Path,
    world: World,
    results: Sequence[Measurement],
    differences: Mapping[str, str],
) -> Path:
    """Write ``results-<SIZE>.json``: a list, one object a contender.

    ``exact`` is null for a pass-through, which splits nothing.
    """
    floor = next((r.cpu_s for r in results if r.contender.name == FLOOR), None)
    rows = [
        {
            "contender": result.contender.name,
            "cpu_s": round(result.cpu_s, 3),
            "wall_s": round(result.wall_s, 3),
            "peak_rss_bytes": result.peak_rss_bytes,
            "rows": result.rows,
            "exact": None
            if result.contender.kind is Kind.PASS
            else result.contender.kind is Kind.EXACT
            and result.contender.name not in differences,
            "ratio_to_floor": round(result.cpu_s / floor, 3) if floor else None,
            "written_bytes": result.out_bytes,
            "is_extrapolated": result.contender.is_sampled,
        }
        for result in results
    ]
    path = folder / f"results-{world.size}.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def _exactness(result: Measurement, differences: Mapping[str, str]) -> str:
    if result.contender.kind is Kind.PASS:
        return "-"
    if result.contender.name in differences:
        return "[bold red]differs[/]"
    return "yes" if result.contender.kind is Kind.EXACT else "no"
