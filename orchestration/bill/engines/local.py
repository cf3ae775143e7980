"""The local engine: each file when its turn comes, on one core or on some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestration.bill.files import FileRead, FileTask, read_file
from orchestration.lake.lake import Lake
from orchestration.lake.processes import side_by_side


def read_files(
    tasks: Sequence[FileTask],
    lake: Lake,
    progress: Callable[[str], None],
    *,
    processes: int = 1,
) -> Iterator[FileRead]:
    """Read every file, as of ``ReadFiles``, in so many processes."""

    def told() -> Iterator[FileTask]:
        for task in tasks:
            progress(f"{task.delivery.root}: reading {task.file.name}")
            yield task

    return side_by_side(read_file, told(), processes)
