"""What ``make check`` holds of imports: their order, their declaration, and their use."""

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
    return checked(root, "lint-imports", "--no-cache")


def checked(root: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a tool says of a copy of the program."""
    return subprocess.run(
        [Path(sys.executable).with_name(tool), *arguments],
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
    shutil.copytree(
        PROJECT_DIR / "bench",
        tmp_path / "bench",
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


def test_what_is_imported_is_declared_and_what_is_declared_is_used(program: Path) -> None:
    assert checked(program, "deptry", "--no-ansi", ".").returncode == 0
    path = program / "orchestration" / "lake" / "months.py"
    path.write_text(f"{path.read_text()}\nimport jinja2\n")
    settings = program / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"altair>=6"', '"altair>=6", "moto"'))
    said = checked(program, "deptry", "--no-ansi", ".")
    assert said.returncode == 1
    assert re.search(r"lake/months.py:\d+:8: DEP003 'jinja2' imported but", said.stderr)
    assert "DEP002 'moto' defined as a dependency but not used" in said.stderr


def test_a_function_that_nobody_calls_is_named(program: Path) -> None:
    assert checked(program, "vulture").returncode == 0
    path = program / "orchestration" / "lake" / "months.py"
    dead = "\n\ndef fortnight() -> int:\n    return 14\n"
    path.write_text(f"{path.read_text()}{dead}")
    said = checked(program, "vulture")
    assert said.returncode == 3
    assert re.search(r"lake/months.py:\d+: unused function 'fortnight'", said.stdout)


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
