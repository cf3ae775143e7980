"""Work side by side: real processes, in the order of the jobs, and one that is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.lake.errors import PodledgerError
from orchestration.lake.processes import side_by_side

LAST = 3
"""The last job; so many are taken before the first must have ended."""


def first_ends_last(job: tuple[int, Path]) -> tuple[int, int]:
    """Answers with the number and the process; the first waits for all others."""
    number, folder = job
    if number:
        (folder / str(number)).touch()
    for _ in range(600):
        if number or len(list(folder.iterdir())) == LAST:
            return number, os.getpid()
        # Processes that were spawned share a folder, and no event.
        time.sleep(0.1)
    raise AssertionError("no other process did the other jobs within a minute")


def in_process(job: int) -> tuple[int, int]:
    return job, os.getpid()


def refuse(job: int) -> int:
    if job == 2:
        raise PodledgerError("job 2 is wrong")
    return job


def be_killed(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def test_results_come_in_the_order_of_jobs_from_several_processes(tmp_path: Path) -> None:
    jobs = [(number, tmp_path) for number in range(LAST + 1)]
    numbers, processes = zip(*side_by_side(first_ends_last, jobs, 2), strict=True)
    assert numbers == tuple(range(LAST + 1))
    assert len(set(processes)) == 2
    assert os.getpid() not in processes


def test_one_process_is_this_one_and_takes_a_job_when_its_turn_comes() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for job in range(3):
            taken.append(job)
            yield job

    results = side_by_side(in_process, jobs(), 1)
    assert next(results) == (0, os.getpid())
    assert taken == [0]


def test_no_more_jobs_are_taken_than_there_is_room_for() -> None:
    """A job may hold a day's node-hours, and a month of them must not wait in memory."""
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for job in range(20):
            taken.append(job)
            yield job

    results = side_by_side(in_process, jobs(), 2)
    next(results)
    assert len(taken) == 4
    results.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_job_raises_is_raised(processes: int) -> None:
    results = side_by_side(refuse, range(5), processes)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(PodledgerError, match="job 2 is wrong"):
        next(results)


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(PodledgerError, match="PODLEDGER_PROCESSES"):
        list(side_by_side(be_killed, range(3), 2))
