"""The sample month: the same for the same code, whole or not there, cheap to import."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration import sample as sample_room
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.sample import Sample, ensure_sample, write_sample

OCTOBER = Month(2026, 10)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _folder(sample: Sample) -> Path:
    return sample.bill_roots[0].parent.parent


def test_another_process_writes_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    """Closing a month again is told from a new revision by digests of its input."""
    code = (
        "import sys; from pathlib import Path;"
        "from orchestration.lake.months import Month;"
        "from orchestration.sample import write_sample;"
        "write_sample(Path(sys.argv[1]), Month(2026, 10))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again")], check=True)
    mine = _digests(_folder(sample))
    assert len(mine) > 60
    assert _digests(tmp_path / "again") == mine


def test_a_month_that_is_there_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Month] = []

    def write(folder: Path, month: Month) -> Sample:
        made.append(month)
        folder.mkdir(parents=True)
        (folder / "whole").touch()
        return sample_room._sample(folder)

    monkeypatch.setattr(sample_room, "write_sample", write)
    first = ensure_sample(tmp_path, OCTOBER)
    assert ensure_sample(tmp_path, OCTOBER) == first
    assert made == [OCTOBER]

    monkeypatch.setattr(sample_room, "_digest", lambda: "of other code")
    ensure_sample(tmp_path, OCTOBER)
    assert made == [OCTOBER, OCTOBER]
    assert [path.name for path in (tmp_path / "sample").iterdir()] == ["2026-10"]


def test_a_run_that_dies_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sample" / "2026-10"
    folder.mkdir(parents=True)
    (folder / "of an older version").touch()

    def write(folder: Path, month: Month) -> Sample:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_room, "write_sample", write)
    with pytest.raises(KeyboardInterrupt):
        ensure_sample(tmp_path, OCTOBER)
    assert [path.name for path in folder.parent.iterdir()] == ["2026-10"]
    assert [path.name for path in folder.iterdir()] == ["of an older version"]


def test_the_month_is_made_below_the_home(tmp_path: Path) -> None:
    sample = ensure_sample(tmp_path, Month(2026, 9))
    roots = [*sample.bill_roots, *sample.pod_roots]
    assert len(roots) == 5
    assert all(root.is_dir() for root in roots)
    assert all(root.is_relative_to(tmp_path / "sample" / "2026-09") for root in roots)


def test_what_a_capacity_block_holds_lies_beside_bill_and_pods(sample: Sample) -> None:
    """In the form of a user's own file; the bill tells the fee and what ran."""
    assert sample.capacity_blocks.read_text().splitlines() == [
        "capacity_reservation_id,account_id,region,instance_type,instance_count,"
        "starts_at,ends_at",
        "cr-0d7e68a8294c18dae,111122223333,us-east-1,p5.48xlarge,2,"
        "2026-10-20T11:30:00Z,2026-10-23T11:30:00Z",
    ]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(PodledgerError, match="is not empty"):
        write_sample(tmp_path, OCTOBER)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written_to_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PodledgerError, match="choose another folder"):
        write_sample(tmp_path / "file", OCTOBER)


def test_importing_the_room_loads_nothing_heavy() -> None:
    """Every command imports it, also those that make no sample."""
    code = (
        "import sys, orchestration.sample;"
        "print(sorted({'numpy', 'pyarrow', 'duckdb', 'boto3'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert answer.stdout.strip() == "[]"
