"""What reads the files of a month's bill, each by the one reader of ``files.py``.

One module an engine, each with the function ``read_files``. None of them knows what a line
means, so that every engine keeps the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from orchestration.bill.engines import local
from orchestration.bill.files import FileRead, FileTask
from orchestration.lake.lake import Lake
from orchestration.lake.settings import Settings


class ReadFiles(Protocol):
    """Makes each task's target of its file, and tells in their order what was read."""

    def __call__(
        self, tasks: Sequence[FileTask], lake: Lake, progress: Callable[[str], None]
    ) -> Iterable[FileRead]:
        """Read the files.

        Args:
            tasks: The files; every target is in the same folder of the lake.
            lake: Where the targets lie.
            progress: Told what is read.

        Raises:
            PodledgerError: A file cannot be read; the first such in the order of tasks.
        """


def engine_of(settings: Settings) -> ReadFiles:
    """The engine that was chosen, imported only now: a laptop needs no Spark."""
    if settings.engine == "spark":
        from orchestration.bill.engines import spark

        return spark.read_files
    return partial(local.read_files, processes=settings.processes)
