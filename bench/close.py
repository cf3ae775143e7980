"""``python -m bench.close --size S``: measure a whole close, step by step.

Makes a delivery once (``bills.py``), closes it with the command ``podledger close`` in a
process and a home of its own, looks at the process and its children ten times a second,
and lays that over the times that Dagster recorded of each step. Linux only: it reads
``/proc``. What it prints it also writes as JSON beneath the home.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.table import Table

from bench.bills import Delivery, ensure_delivery
from bench.worlds import MONTH, NODES
from orchestration.lake.settings import Settings

_PODLEDGER = Path(sys.executable).with_name("podledger")
_SECONDS_BETWEEN_LOOKS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Look:
    """The process and its children at one moment.

    Attributes:
        at: Seconds since the epoch.
        cpu_s: User and system time so far, of children that ended too.
        rss_bytes: Resident sets added up: pages that two share count twice.
    """

    at: float
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True)
class Step:
    """What one step of the close took; peak memory is of all its processes together."""

    step: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


def main() -> int:
    """Measure one close, print it, and keep it as JSON; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.close", description=__doc__)
    parser.add_argument("--size", choices=sorted(NODES), default="S")
    size = parser.parse_args().size
    console = Console(width=100)
    home = Settings().home
    with console.status("making the delivery") as status:
        delivery = ensure_delivery(home, size, status.update)
        status.update("closing")
        steps = measure_close(delivery, status.update)
    console.print(as_table(delivery, steps))
    written = home / "bench" / f"close-{size}.json"
    written.write_text(json.dumps([asdict(step) for step in steps], indent=2) + "\n")
    console.print(f"written to {written}", soft_wrap=True)
    return 0


def measure_close(delivery: Delivery, progress: Callable[[str], None]) -> list[Step]:
    """Close the delivery's month for the first time; the last step is the whole.

    Raises:
        subprocess.CalledProcessError: It was not closed; its reason is on standard error.
    """
    home = delivery.folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    environment = os.environ | {
        "PODLEDGER_HOME": str(home),
        "PODLEDGER_BILL": str(delivery.bill),
        "PODLEDGER_PODS": str(delivery.pods),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    command = [str(_PODLEDGER), "close", MONTH.label, "--json"]
    looks = []
    with (home / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        started = time.time()
        while process.poll() is None:
            looks.append(_look(process.pid))
            progress(f"closing {delivery.size}: {time.time() - started:,.0f} s")
            # The kernel keeps no peak of a family of processes, so it is looked at.
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if process.returncode:
            said.seek(0)
            sys.stderr.write(said.read())
            raise subprocess.CalledProcessError(process.returncode, command)
    spans = list(_spans(home / "dagster"))
    first, last = spans[0][1], spans[-1][2]
    return [
        _step("loading", started, first, looks),
        *(_step(name, begun, ended, looks) for name, begun, ended in spans),
        _step("reading the published files back", last, looks[-1].at, looks),
        _step("the whole close", started, looks[-1].at, looks),
    ]


def as_table(delivery: Delivery, steps: Sequence[Step]) -> Table:
    """One row a step."""
    table = Table(
        title=f"{delivery.size}: {NODES[delivery.size]:,} nodes, a month,"
        f" {delivery.line_count:,} lines, {delivery.pod_hour_count:,} pod-hours"
    )
    table.add_column("step", no_wrap=True)
    for name in ("wall s", "CPU s", "peak RSS"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, step in enumerate(steps, start=1):
        if number == len(steps):
            table.add_section()
        table.add_row(
            step.step,
            f"{step.wall_s:,.1f}",
            f"{step.cpu_s:,.1f}",
            f"{step.peak_rss_bytes / 2**20:,.0f} MiB",
        )
    return table


def _spans(dagster_home: Path) -> Iterator[tuple[str, float, float]]:
    """Steps of the one run that is recorded there, in their order, with begin and end."""
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        (run,) = instance.get_runs()
        taken = instance.get_run_step_stats(run.run_id)
    ordered = sorted(
        (step.start_time, step.end_time, step.step_key)
        for step in taken
        if step.start_time is not None and step.end_time is not None
    )
    for begun, ended, key in ordered:
        yield key.replace("__", " ").replace("_", " "), begun, ended


def _step(name: str, begun: float, ended: float, looks: Sequence[Look]) -> Step:
    during = [look.rss_bytes for look in looks if begun <= look.at <= ended]
    nearest = [min(looks, key=lambda look: abs(look.at - at)) for at in (begun, ended)]
    return Step(
        step=name,
        wall_s=round(ended - begun, 2),
        cpu_s=round(nearest[1].cpu_s - nearest[0].cpu_s, 2),
        peak_rss_bytes=max(during, default=nearest[1].rss_bytes),
    )


def _look(root: int) -> Look:
    """Add up a process and those below it; one that ends meanwhile is in its parent."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        # From ppid on, as proc(5) lists them; the name may hold parentheses itself.
        stats[int(folder.name)] = [int(field) for field in fields[1:22]]
    family, found = {root}, -1
    while found != len(family):
        found = len(family)
        family |= {pid for pid, stat in stats.items() if stat[0] in family}
    mine = [stats[pid] for pid in family if pid in stats]
    return Look(
        at=time.time(),
        cpu_s=sum(sum(stat[10:14]) for stat in mine) / _TICKS,
        rss_bytes=sum(stat[20] for stat in mine) * _PAGE,
    )


if __name__ == "__main__":
    sys.exit(main())
