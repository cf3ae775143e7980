"""The order of the rooms, held by import-linter as ``make check`` runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestration.lake.settings import PROJECT_DIR


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of a copy of the program."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    shutil.copytree(
        PROJECT_DIR / "orchestration",
        tmp_path / "orchestration",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(PROJECT_DIR / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_room_uses_one_after_it(program: Path) -> None:
    said = linted(program)
    assert said.returncode == 0, said.stdout
    assert "Contracts: 2 kept, 0 broken." in said.stdout


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        (
            "bill/lines.py",
            "from orchestration.close.publish import publish",
            "orchestration.bill.lines -> orchestration.close.publish",
        ),
        (
            "split/kernel.py",
            "import dagster",
            "orchestration.split.kernel -> dagster",
        ),
        (
            "lake/figures.py",
            "from orchestration.engines.metadata import table",
            "orchestration.lake.figures -> orchestration.engines.metadata",
        ),
    ],
    ids=["a later room", "Dagster in the domain", "above the ground"],
)
def test_an_arrow_that_is_turned_is_named(
    program: Path, module: str, line: str, said: str
) -> None:
    path = program / "orchestration" / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    broken = linted(program)
    assert broken.returncode == 1
    assert said in " ".join(broken.stdout.split())


def test_the_page_on_the_architecture_has_the_rooms_in_their_order() -> None:
    settings = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (PROJECT_DIR / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, flags=re.M)
    rooms = PROJECT_DIR / "orchestration"
    # In brackets stands a room that a checkout may lack.
    assert [re.findall(r"\w+", row) for row in rows] == [
        layer.strip("()").split(" | ")
        for layer in layers
        if layer[0] != "(" or (rooms / layer.strip("()")).exists()
    ]
