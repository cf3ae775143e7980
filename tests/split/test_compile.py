"""What ``make setup`` compiles is all that a month calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.lake.settings import PROJECT_DIR
from orchestration.split import kernel, pod_hours
from orchestration.split.compile import compile_split

PROGRAM = """
from orchestration.split import kernel, pod_hours
from orchestration.split.compile import compile_split

assert compile_split() == 2 * (pod_hours.SHORT_DICTIONARY + 1)
print(sum(f.stats.cache_misses.total() for f in %s))
"""
FUNCTIONS = (
    "(kernel.fill_claims, kernel.first_bad_claim, kernel.apportion,"
    " kernel.first_residual, pod_hours._mark_segments, pod_hours._renumber)"
)


def test_a_second_process_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiled = [
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM % FUNCTIONS],
                cwd=PROJECT_DIR,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert compiled[0] >= 6
    assert compiled[1] == 0


def test_a_month_calls_nothing_that_was_not_compiled_ahead(
    world, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = (
        kernel.fill_claims,
        kernel.first_bad_claim,
        kernel.apportion,
        kernel.first_residual,
        pod_hours._mark_segments,
        pod_hours._renumber,
    )
    compile_split()
    before = [set(function.signatures) for function in functions]
    monkeypatch.setattr(pod_hours, "SHORT_DICTIONARY", 1)
    pods = [
        make.pod_hour("a", vcpu_used=1.0),
        make.pod_hour("b", accelerators_requested=make.gpus(1)),
        make.pod_hour("c", "i-unknown", cluster_name=None),
    ]
    world.write([make.node_hour(), make.node_hour(instance_id="i-1")], pods).split()
    assert [set(function.signatures) for function in functions] == before
    assert all(before)
