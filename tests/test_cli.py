"""The command line as a user meets it: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from orchestration import cli
from orchestration.close.publish import publish
from orchestration.inventory import catalogue
from orchestration.months import Month
from orchestration.settings import PROJECT_DIR, Settings
from tests.close.conftest import BILL, ClosedWorld, build_world

HEAVY = {"dagster", "dbt", "duckdb", "pyarrow", "boto3", "numba", "moto"}


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def is_one_paragraph(self) -> bool:
        """An error as a user should see it: one line, no traceback."""
        return self.err.count("\n") == 1 and self.err.startswith("podledger: ")


Run = Callable[..., Answer]


@pytest.fixture
def podledger(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs the command line in this process, with an empty home."""
    monkeypatch.setenv("PODLEDGER_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["podledger", *arguments])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def published_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = build_world(tmp_path_factory.mktemp("published") / "home", Month(2026, 10))
    publish(world.settings, world.month, world.progress.append)
    return world.settings.home


@pytest.fixture
def published(published_home: Path, tmp_path: Path) -> ClosedWorld:
    """The home of ``podledger``, with one published month."""
    home = shutil.copytree(published_home, tmp_path / "home")
    return ClosedWorld(Settings(home=home), Month(2026, 10))


def test_help_answers_without_loading_what_works() -> None:
    """Loading Dagster takes seconds; asking what commands there are must not."""
    script = (
        "import sys\n"
        "from orchestration import cli\n"
        "sys.argv = ['podledger', '--help']\n"
        "try:\n"
        "    cli.main()\n"
        "except SystemExit:\n"
        "    print(sorted(name for name in sys.modules if '.' not in name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    for command in ("close", "summary", "diff", "sample", "doctor", "catalogue"):
        assert command in done.stdout
    assert "typer" in loaded
    assert not loaded & HEAVY


class TestRefusals:
    @pytest.mark.parametrize("month", ["2026-13", "october", "2026-10-02", "26-10", ""])
    @pytest.mark.parametrize("command", ["close", "summary"])
    def test_a_month_that_is_no_month(
        self, podledger: Run, command: str, month: str
    ) -> None:
        answer = podledger(command, month)
        assert (answer.code, answer.out) == (1, "")
        assert answer.is_one_paragraph
        assert "YYYY-MM" in answer.err

    def test_a_method_that_is_none(self, podledger: Run) -> None:
        answer = podledger("close", "2026-10", "--method", "4")
        assert (answer.code, answer.out) == (1, "")
        assert answer.is_one_paragraph
        assert "PODLEDGER_METHOD is 4: Input should be 1, 2 or 3" in answer.err

    def test_a_setting_that_is_wrong(
        self, podledger: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PODLEDGER_ENGINE", "abacus")
        answer = podledger("summary", "2026-10", "--json")
        assert (answer.code, answer.out) == (1, "")
        assert answer.is_one_paragraph
        assert "PODLEDGER_ENGINE is 'abacus'" in answer.err
        assert ".env.example" in answer.err

    def test_a_month_that_was_never_published(self, podledger: Run) -> None:
        answer = podledger("summary", "2026-10")
        assert answer.code == 1
        assert answer.is_one_paragraph
        assert "podledger close 2026-10" in answer.err


class TestSummary:
    def test_it_is_read_from_published_files_alone(
        self, podledger: Run, published: ClosedWorld
    ) -> None:
        shutil.rmtree(published.settings.warehouse.parent)
        shutil.rmtree(published.lake.root)
        answer = podledger("summary", "2026-10")
        assert answer.code == 0
        for part in ("The law of the month", "ml / serving", "13 of 13 passed", "tax"):
            assert part in answer.out
        assert str(published.settings.published) in answer.out

    def test_json_is_one_object_on_stdout_with_exact_money(
        self, podledger: Run, published: ClosedWorld
    ) -> None:
        answer = podledger("summary", "2026-10", "--json")
        told = json.loads(answer.out)
        assert told["totals"]["amortized"]["bill"] == f"{2 * BILL:f}"
        assert answer.out.count("\n") == 1

    def test_an_earlier_revision_can_be_asked_for_and_one_that_is_not_there_cannot(
        self, podledger: Run, published: ClosedWorld
    ) -> None:
        publish(published.with_settings(labels=()), published.month, lambda line: None)
        newest = json.loads(podledger("summary", "2026-10", "--json").out)
        first = json.loads(podledger("summary", "2026-10", "--revision", "1", "--json").out)
        assert (newest["revision"], newest["replaces"], first["revision"]) == (2, 1, 1)
        answer = podledger("summary", "2026-10", "--revision", "9")
        assert answer.code == 1
        assert "no revision 9. It has 1, 2" in answer.err


class TestDiff:
    def test_the_same_is_told_and_is_exit_code_0(
        self, podledger: Run, published: ClosedWorld
    ) -> None:
        folder = str(
            published.settings.published / "billing_month=2026-10" / "revision=001"
        )
        answer = podledger("diff", folder, folder)
        assert (answer.code, answer.out) == (0, "The same: every file, row and amount.\n")

    def test_any_difference_is_exit_code_1(
        self, podledger: Run, published: ClosedWorld, tmp_path: Path
    ) -> None:
        a = published.settings.published / "billing_month=2026-10" / "revision=001"
        b = shutil.copytree(a, tmp_path / "b")
        b.chmod(0o755)
        (b / "remainder.parquet").unlink()
        answer = podledger("diff", str(a), str(b))
        assert answer.code == 1
        assert answer.out == f"remainder.parquet: is not in {b}\n"


class TestCatalogue:
    def test_refresh_rewrites_the_seed_from_ec2_and_says_what_changed(
        self,
        podledger: Run,
        aws: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seed = Path(shutil.copy(catalogue.SEED, tmp_path / "seed.csv"))
        monkeypatch.setattr(catalogue, "SEED", seed)
        before = set(catalogue.load_catalogue(seed))
        answer = podledger("catalogue", "refresh")
        assert answer.code == 0, answer.err
        added = set(catalogue.load_catalogue(seed)) - before
        assert f"{len(added):,} new" in answer.out
        assert all(name in answer.out for name in added)

    def test_without_a_region_it_says_what_to_do(
        self, podledger: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        answer = podledger("catalogue", "refresh")
        assert answer.code == 1
        assert "Check the AWS credentials, the Region" in answer.err
        assert "Traceback" not in answer.err
