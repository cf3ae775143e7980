"""One contender in one process, measured by what the kernel counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender
from bench.worlds import World


@dataclass(frozen=True)
class Measurement:
    """What one run took.

    Attributes:
        contender: Who ran.
        cpu_s: User and system time of the process and what it waited for, seconds.
        wall_s: Seconds.
        peak_rss_bytes: Largest resident set of one process.
        rows: Pod-hours that it stands for: of the month.
        out_bytes: What it wrote.
    """

    contender: Contender
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    rows: int
    out_bytes: int


def measure(contender: Contender, world: World, home: Path, out: Path) -> Measurement:
    """Run a contender once, into a fresh folder.

    Raises:
        subprocess.CalledProcessError: It failed; what it said is on standard error.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "bench.contenders"),
        *(contender.name, world.size, str(home), str(out)),
    ]
    with tempfile.TemporaryFile("w+") as log:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.stderr.write(log.read())
            raise subprocess.CalledProcessError(process.returncode, command)
    told = json.loads(answer.splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    written = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    scale = 1.0
    if contender.is_sampled:
        scale = world.rows / told["rows"]
        startup = told["startup_cpu_s"]
        cpu, wall = (startup + (taken - startup) * scale for taken in (cpu, wall))
    return Measurement(
        contender=contender,
        cpu_s=cpu,
        wall_s=wall,
        peak_rss_bytes=told["peak_rss_bytes"],
        rows=round(told["rows"] * scale),
        out_bytes=round(written * scale),
    )
