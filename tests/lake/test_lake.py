import os
import signal
import subprocess
import sys

import pytest

from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR

TABLE = "raw/pod_hours"


def write(lake: Lake, month: Month, text: str) -> None:
    with lake.replace(TABLE, month) as folder:
        (folder / "a.parquet").write_text(text)


def test_a_month_is_replaced_as_a_whole(lake, october):
    with lake.replace(TABLE, october) as folder:
        (folder / "a.parquet").write_text("old")
        (folder / "b.parquet").write_text("old")
    write(lake, october, "new")
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["new"]


def test_a_month_keeps_what_it_had_when_writing_fails(lake, october):
    write(lake, october, "good")

    def write_half() -> None:
        with lake.replace(TABLE, october) as folder:
            (folder / "a.parquet").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["good"]


def test_replacing_a_month_leaves_the_others_and_no_litter(lake, october):
    write(lake, october.previous, "september")
    write(lake, october, "october")
    write(lake, october, "october again")
    assert [file.read_text() for file in lake.files(TABLE, october.previous)] == [
        "september"
    ]
    assert list((lake.root / ".incoming").iterdir()) == []


KILLED_BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

rename = Path.replace

def replace(path, target):
    moved = rename(path, target)
    if ".old" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    return moved

Path.replace = replace
with Lake(Path(sys.argv[1])).replace("raw/pod_hours", Month(2026, 10)) as folder:
    (folder / "a.parquet").write_text("new")
"""


def test_a_month_that_a_killed_process_had_moved_away_is_put_back(lake, october):
    write(lake, october, "good")
    command = [sys.executable, "-c", KILLED_BETWEEN_RENAMES, str(lake.home)]
    done = subprocess.run(command, cwd=PROJECT_DIR, check=False)
    assert done.returncode == -signal.SIGKILL
    assert lake.files(TABLE, october) == []
    assert lake.settle() == 1
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["good"]
    assert list((lake.root / ".incoming").iterdir()) == []
    assert lake.settle() == 0


def test_what_a_process_is_at_work_with_is_not_settled(lake, october):
    with lake.replace(TABLE, october) as folder:
        (folder / "a.parquet").write_text("new")
        assert lake.settle() == 0
    assert [file.read_text() for file in lake.files(TABLE, october)] == ["new"]


def test_what_has_no_lock_is_removed_when_it_is_a_day_old(lake):
    workshop = lake.root / ".incoming"
    for name in ("new", "old", ".old.lock"):
        (workshop / name).mkdir(parents=True)
    for name in ("old", ".old.lock"):
        os.utime(workshop / name, (0, 0))
    assert lake.settle() == 2
    assert [path.name for path in workshop.iterdir()] == ["new"]
