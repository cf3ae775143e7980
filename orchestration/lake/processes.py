"""The same work for many jobs, on some of this machine's cores.

Holds only how jobs are dealt to processes. Results come in the order of the jobs, so that
who asks does not see how many processes there were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from orchestration.lake.errors import PodledgerError

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Job], Result], jobs: Iterable[Job], processes: int
) -> Iterator[Result]:
    """Do every job, and yield results in the order of jobs.

    Jobs are taken when there is room for them: no more than one waits for each process.

    Args:
        work: What to do; with more than one process, it is pickled with each job.
        jobs: What to do it with.
        processes: How many at once; with 1, all is done in this process.

    Raises:
        PodledgerError: A process was killed.
        Exception: The first, in the order of jobs, that ``work`` raised.
    """
    if processes == 1:
        yield from map(work, jobs)
        return
    # A fork would copy the locks that Arrow's and DuckDB's threads hold just then.
    pool = ProcessPoolExecutor(processes, get_context("spawn"))
    running: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            running.append(pool.submit(work, job))
            if len(running) == 2 * processes:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool as error:
        raise PodledgerError(
            f"One of {processes} processes that worked side by side was killed, most likely"
            " for want of memory. Nothing was written. Lower PODLEDGER_PROCESSES, or give"
            " the machine more memory, and close the month again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
