"""The local engine: one file after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestration.bill.files import FileRead, FileTask, read_file
from orchestration.lake import Lake


def read_files(
    tasks: Sequence[FileTask],
    lake: Lake,
    progress: Callable[[str], None],
) -> Iterator[FileRead]:
    """Read each file when its turn comes; as of ``ReadFiles``."""
    for task in tasks:
        progress(f"{task.delivery.root}: reading {task.file.name}")
        yield read_file(task)
