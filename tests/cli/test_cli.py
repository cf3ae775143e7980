"""The command line as a user meets it: what it prints, where, and its exit code."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from orchestration import cli
from orchestration.bill import catalogue
from orchestration.cli import console
from orchestration.close.catalogue import controls_of
from orchestration.close.publish import publish
from orchestration.lake.months import Month
from orchestration.lake.settings import METHODS, PROJECT_DIR, Settings
from orchestration.ledger.provenance import code_version
from tests.close.conftest import BILL, ClosedWorld, build_world
from tests.ec2_server import CLOSED_ROLE, OWN, Ec2, running_ec2
from tests.worlds import make_world, write_cur2, write_pods

COMMANDS = ("close", "summary", "explain", "diff", "sample", "collect", "doctor")
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


def test_the_version_is_that_of_the_code(podledger: Run) -> None:
    answer = podledger("--version")
    assert (answer.code, answer.out) == (0, f"podledger {code_version()}\n")


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in COMMANDS),
        ["catalogue", "refresh"],
        ["reservations", "refresh"],
    ],
    ids=" ".join,
)
def test_the_help_of_every_command_ends_in_an_example(
    podledger: Run, command: list[str]
) -> None:
    words = " ".join(podledger(*command, "--help").out.split())
    assert f"Example: podledger {' '.join(command)}" in words


def test_the_help_of_the_close_names_every_version_of_the_split(podledger: Run) -> None:
    assert f"--method {'|'.join(map(str, METHODS))}" in " ".join(
        podledger("close", "--help").out.replace("│", " ").split()
    )


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


def test_months_show_status_and_revisions(podledger: Run, published: ClosedWorld) -> None:
    answer = podledger("months")
    assert answer.code == 0
    assert "2026-10 is provisional: payer 111122223333 has 1 bill lines" in answer.out
    answer = podledger("months", "2026-10")
    assert "Newest delivery: execution-444455556666." in answer.out
    told = json.loads(podledger("months", "--json").out)
    assert [(row["month"], row["status"]) for row in told["months"]] == [
        ("2026-10", "provisional")
    ]
    assert told["months"][0]["bill_usd"] == f"{2 * BILL:f}"


def test_no_months_are_no_error(podledger: Run) -> None:
    assert podledger("months").code == 0
    assert podledger("verify").out == "No month is published yet.\n"


def test_verify_ends_well_only_if_nothing_changed(
    podledger: Run, published: ClosedWorld
) -> None:
    assert podledger("verify").code == 0
    (path,) = published.settings.published.glob("*/revision=001/remainder.parquet")
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    answer = podledger("verify", "2026-10")
    assert (answer.code, answer.out.count("\n")) == (1, 1)
    assert "remainder.parquet is missing, or is not the file" in answer.out


@pytest.fixture
def own_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small bill and its pods, set as a user would set them. Gives their folder."""
    world = make_world(3, instances=2, hours=2, pods=2)
    write_cur2(world, tmp_path / "bill")
    write_pods(world, tmp_path / "pods")
    monkeypatch.setenv("PODLEDGER_BILL", str(tmp_path / "bill"))
    monkeypatch.setenv("PODLEDGER_PODS", str(tmp_path / "pods"))
    return tmp_path


class TestClose:
    def test_a_published_month_is_exit_code_0_and_one_object_on_stdout(
        self, podledger: Run, own_month: Path
    ) -> None:
        answer = podledger("close", "2026-10", "--method", "1", "--json")
        assert answer.code == 0, answer.err
        told = json.loads(answer.out)
        assert (told["month"], told["revision"], told["is_new"]) == ("2026-10", 1, True)
        assert told["method_version"] == 1
        assert (Path(told["path"]) / "manifest.json").is_file()
        assert "Loading" in answer.err.splitlines()

    def test_a_month_without_a_bill_is_exit_code_1_and_leaves_what_was_published(
        self, podledger: Run, own_month: Path, published: ClosedWorld
    ) -> None:
        shutil.rmtree(own_month / "bill")
        (own_month / "bill").mkdir()
        answer = podledger("close", "2026-10", "--json")
        assert (answer.code, answer.out) == (1, "")
        last = answer.err.splitlines()[-1]
        assert last.startswith("podledger: There is no bill for 2026-10")
        assert "Traceback" not in answer.err
        assert json.loads(podledger("summary", "2026-10", "--json").out)["revision"] == 1

    def test_without_a_month_it_is_the_last_that_has_ended(
        self, podledger: Run, own_month: Path
    ) -> None:
        shutil.rmtree(own_month / "bill")
        (own_month / "bill").mkdir()
        today = dt.datetime.now(dt.UTC)
        ended = Month(today.year, today.month).previous
        answer = podledger("close")
        assert answer.code == 1
        assert f"There is no bill for {ended}" in answer.err.splitlines()[-1]


class TestDoctor:
    def test_a_month_that_could_be_closed_is_exit_code_0(
        self, podledger: Run, own_month: Path
    ) -> None:
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert answer.code == 0, told
        assert "not ok" not in told
        assert "export of 2026-10, delivered" in told
        assert "cluster-0 has pods in all 2 hours from 2026-10-" in told
        assert "2026-10 is not published yet" in told

    def test_a_month_without_bill_or_pods_says_so_and_what_there_is(
        self, podledger: Run, own_month: Path
    ) -> None:
        answer = podledger("doctor", "--month", "2026-09")
        told = " ".join(answer.out.split())
        assert answer.code == 1
        assert "not ok bill No root has a bill for 2026-09" in told
        assert "2026-10 to 2026-10, nothing of 2026-09" in told
        assert "no pods for 2026-09 in 1 files" in told

    def test_hours_without_pods_are_named(self, podledger: Run, own_month: Path) -> None:
        world = make_world(3, instances=1, hours=5, pods=2)
        first, last = (of(pod["usage_hour"] for pod in world.pods) for of in (min, max))
        world.pods[:] = [pod for pod in world.pods if pod["usage_hour"] in (first, last)]
        hole = int((last - first) / dt.timedelta(hours=1)) - 1
        assert hole > 0
        shutil.rmtree(own_month / "pods")
        write_pods(world, own_month / "pods", "csv")
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert answer.code == 1
        assert f"in {hole} hours of it none, first at" in told
        assert f"{first + dt.timedelta(hours=1):%Y-%m-%d %H:%M}: nodes of" in told

    def test_one_question_that_fails_does_not_keep_the_others_from_being_asked(
        self, podledger: Run, own_month: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PODLEDGER_BILL", str(own_month / "nowhere"))
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert answer.code == 1
        assert "not ok bill" in told
        assert "ok inventory" in told
        assert "ok catalogue" in told

    def test_half_of_the_settings_is_told(
        self, podledger: Run, own_month: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PODLEDGER_PODS")
        answer = podledger("doctor", "--month", "2026-10")
        assert answer.code == 1
        assert "PODLEDGER_BILL is set and PODLEDGER_PODS is not" in " ".join(
            answer.out.split()
        )

    @pytest.mark.parametrize("has_own_month", [True, False], ids=["own", "sample"])
    def test_it_only_looks(
        self,
        podledger: Run,
        published: ClosedWorld,
        has_own_month: bool,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if has_own_month:
            request.getfixturevalue("own_month")
        before = contents(published.settings.home)
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert "2026-10 has revision 1" in told
        assert ("the sample month, which the close makes" in told) is not has_own_month
        assert contents(published.settings.home) == before
        monkeypatch.setenv("PODLEDGER_HOME", str(published.settings.home / "no" / "home"))
        podledger("doctor", "--month", "2026-10")
        assert contents(published.settings.home) == before


def contents(home: Path) -> dict[str, tuple[int, float]]:
    """Every file and folder below a home, with size and time of the last change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime) for path in home.rglob("*")
    }


class TestSample:
    def test_it_makes_the_month_where_it_is_told_to_and_says_how_to_use_it(
        self, podledger: Run, tmp_path: Path
    ) -> None:
        answer = podledger("sample", "--out", str(tmp_path / "made"), "--month", "2027-02")
        assert answer.code == 0
        lines = dict(line.split("=", 1) for line in answer.out.splitlines())
        assert set(lines) == {
            *("PODLEDGER_BILL", "PODLEDGER_PODS", "PODLEDGER_CAPACITY_BLOCKS")
        }
        blocks = Path(lines.pop("PODLEDGER_CAPACITY_BLOCKS"))
        assert blocks.is_relative_to(tmp_path / "made")
        assert blocks.is_file()
        roots = [Path(root) for line in lines.values() for root in line.split(",")]
        assert all(root.is_relative_to(tmp_path / "made") for root in roots)
        assert all(any(root.rglob("*")) for root in roots)


def test_a_log_gets_a_line_now_and_then_and_every_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell = console.plain_lines()
    for number in range(50):
        tell(f"{number} of 50 files")
    tell("Warning: no pods at all")
    assert capsys.readouterr().err.splitlines() == [
        "0 of 50 files",
        "Warning: no pods at all",
    ]


class TestSummary:
    def test_it_is_read_from_published_files_alone(
        self, podledger: Run, published: ClosedWorld
    ) -> None:
        shutil.rmtree(published.settings.warehouse.parent)
        shutil.rmtree(published.lake.root)
        answer = podledger("summary", "2026-10")
        assert answer.code == 0
        count = len(controls_of(method=2))
        passed = f"{count} of {count} passed"
        for part in ("Reconciliation", "ml / serving", passed, "tax"):
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


class TestHomeInS3:
    @pytest.fixture
    def home(self, aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
        monkeypatch.setenv("PODLEDGER_HOME", "s3://ledger/finops")
        monkeypatch.setenv("PODLEDGER_WORK", str(tmp_path / "work"))
        return "s3://ledger/finops"

    def test_doctor_says_whether_the_bucket_is_there(
        self, podledger: Run, home: str, own_month: Path
    ) -> None:
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert answer.code == 1
        assert (
            "not ok home s3://ledger/finops/published/_doctor cannot be read: there is no"
            in told
        )
        assert "not ok published" in told
        boto3.client("s3").create_bucket(Bucket="ledger")
        answer = podledger("doctor", "--month", "2026-10")
        told = " ".join(answer.out.split())
        assert answer.code == 0, told
        assert f"ok home {home} can be read; this machine works in" in told

    def test_a_month_that_was_never_published_there_is_told_with_its_address(
        self, podledger: Run, home: str
    ) -> None:
        boto3.client("s3").create_bucket(Bucket="ledger")
        answer = podledger("summary", "2026-10")
        assert answer.code == 1
        assert f"never published below {home}/published. Close it first" in answer.err


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


class TestReservations:
    @pytest.fixture
    def ec2(
        self, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Ec2]:
        with running_ec2(aws) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
            monkeypatch.setenv("PODLEDGER_RESERVATIONS", str(tmp_path / "config"))
            server.reservations[OWN, "us-east-1"] = [
                {
                    "capacityReservationId": "cr-0a",
                    "ownerId": OWN,
                    "instanceType": "p5.48xlarge",
                    "totalInstanceCount": 4,
                    "reservationType": "capacity-block",
                    "startDate": "2026-10-05T11:30:00.000Z",
                    "endDate": "2026-10-07T11:30:00.000Z",
                    "state": "active",
                }
            ]
            yield server

    def test_refresh_keeps_what_ec2_says_and_tells_what_is_new(
        self, podledger: Run, ec2: Ec2, tmp_path: Path
    ) -> None:
        answer = podledger("reservations", "refresh", "--region", "us-east-1")
        assert answer.code == 0, answer.err
        assert "has 1 capacity reservations: 1 new" in answer.out
        assert "new: cr-0a" in answer.out
        assert "cr-0a" in (tmp_path / "config/capacity_reservations.csv").read_text()

    def test_who_refuses_is_named_and_is_exit_code_1_and_the_rest_is_kept(
        self, podledger: Run, ec2: Ec2, tmp_path: Path
    ) -> None:
        ec2.refused.add((OWN, "us-east-1", "DescribeHosts"))
        answer = podledger(
            "reservations",
            "refresh",
            "--region=us-east-1",
            "--region=eu-west-1",
            f"--role-arn={CLOSED_ROLE}",
        )
        assert answer.code == 1
        assert f"{OWN} in us-east-1: ec2:DescribeHosts" in answer.err
        assert f"{CLOSED_ROLE}: sts:AssumeRole" in answer.err
        assert "Traceback" not in answer.err
        assert "cr-0a" in (tmp_path / "config/capacity_reservations.csv").read_text()
