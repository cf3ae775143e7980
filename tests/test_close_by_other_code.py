"""A comment in a module and a word in a description are no restatement of any month."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.lake.settings import PROJECT_DIR
from tests.worlds import World, a_pod_hour, an_instance_hour, write_cur2, write_pods

INSTANCE = "i-0123456789abcdef0"
_COMMAND = "from orchestration.cli import main; main()"
HOUR = dt.datetime(2026, 10, 5, 3, tzinfo=dt.UTC)


def checkout(folder: Path) -> Path:
    """A copy of the program, with what set-up made of it, that a developer may change."""
    for name in ("orchestration", "dbt_project", "config"):
        shutil.copytree(
            PROJECT_DIR / name,
            folder / name,
            ignore=shutil.ignore_patterns("logs", "*_models-*"),
        )
    shutil.copy(PROJECT_DIR / "dagster.yaml", folder)
    return folder


def close(program: Path, world: Path) -> str:
    """Close the month with a program, and return what it prints."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PODLEDGER_", "DAGSTER_"))
    } | {
        "PYTHONPATH": str(program),
        "PODLEDGER_HOME": str(world / "home"),
        "PODLEDGER_BILL": str(world / "bill"),
        "PODLEDGER_PODS": str(world / "pods"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "close", "2026-10"],
        cwd=program,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.slow
def test_other_words_make_no_revision_and_the_old_one_says_that_it_was_reproduced(
    tmp_path: Path,
) -> None:
    made = World(
        lines=[an_instance_hour(INSTANCE, "m5.large", "0.096", HOUR)],
        pods=[a_pod_hour(INSTANCE, HOUR, "a")],
    )
    write_cur2(made, tmp_path / "bill")
    write_pods(made, tmp_path / "pods")
    program = checkout(tmp_path / "program")
    assert "2026-10 is published as revision 1" in close(program, tmp_path)
    warehouse = tmp_path / "home" / "warehouse" / "podledger.duckdb"
    built = warehouse.stat().st_ino

    module = program / "orchestration" / "lake" / "months.py"
    module.write_text(module.read_text() + "\n# A remark.\n")
    descriptions = program / "dbt_project" / "models" / "columns.md"
    text = descriptions.read_text()
    descriptions.write_text(text.replace("End of the line", "The end of the line", 1))
    assert descriptions.read_text() != text

    told = close(program, tmp_path)
    assert "made the figures of revision 1 again, and they are the same" in told
    assert "Reproduced by podledger " in told
    assert warehouse.stat().st_ino == built
    published = tmp_path / "home" / "published" / "billing_month=2026-10"
    assert [path.name for path in published.glob("revision=*")] == ["revision=001"]
