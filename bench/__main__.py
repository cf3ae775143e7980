"""``python -m bench --size S``: measure every contender, compare outputs, print a table.

Contenders alternate: a round runs each of them once, in a process of its own. The table
holds the round with the least CPU of each. The exit code is 1 if an output differs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import Console

from bench.compare import first_difference, first_unbalanced_node_hour
from bench.contenders import CONTENDERS, OURS, Contender, Kind
from bench.measure import Measurement, measure
from bench.report import as_table, write_results
from bench.worlds import NODES, World, ensure_world
from orchestration.lake.settings import Settings

WIDTH = 118
"""Characters of the table, wherever it is printed."""


def main() -> int:
    """Run the bench; gives the exit code."""
    arguments = _arguments()
    console = Console(width=WIDTH)
    home = Settings().home
    with console.status("making the world") as status:
        world = ensure_world(home, arguments.size, status.update)
    chosen = [c for c in CONTENDERS if not arguments.only or c.name in arguments.only]
    for contender in chosen:
        if not contender.is_installed:
            console.print(f"skipped {contender.name}: {contender.needs} is not installed")
    running = [contender for contender in chosen if contender.is_installed]
    outputs = world.home / "out"
    best: dict[str, Measurement] = {}
    differences: dict[str, str] = {}
    for number in range(1, arguments.rounds + 1):
        for contender in running:
            if contender.is_slow and number > 1:
                continue
            with console.status(f"round {number}: {contender.name}"):
                out = outputs / contender.name
                taken = measure(contender, world, home, out)
                difference = _check(contender, world, outputs) if number == 1 else None
                if contender.name != OURS:
                    shutil.rmtree(out)
            if difference:
                differences[contender.name] = difference
            if contender.name not in best or taken.cpu_s < best[contender.name].cpu_s:
                best[contender.name] = taken
    shutil.rmtree(outputs)
    results = list(best.values())
    console.print(as_table(world, results, differences))
    for name, difference in differences.items():
        console.print(f"[bold red]{name} differs:[/] {difference}")
    written = write_results(home / "bench", world, results, differences)
    console.print(f"written to {written}", soft_wrap=True)
    return 1 if differences else 0


def _check(contender: Contender, world: World, outputs: Path) -> str | None:
    """Hold an exact output against ours, and ours against the bill."""
    if contender.name == OURS:
        return first_unbalanced_node_hour(world)
    ours = outputs / OURS
    if contender.kind is not Kind.EXACT or not ours.exists():
        return None
    return first_difference(ours, outputs / contender.name, contender.is_sampled)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", choices=sorted(NODES), default="S")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", choices=[contender.name for contender in CONTENDERS]
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
