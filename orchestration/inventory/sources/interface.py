"""What every inventory source gives: files in the pod-hours contract, on this machine.

Holds the seam between where clusters keep their facts and the one reading of them. A source
that asks a server writes its answers as files below ``landing`` too, so that a month that
is closed again reads what it read before, whatever the server still knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from orchestration.lake.months import Month

Kind = Literal["pod_hours", "node_hours", "quota_hours"]
FileFormat = Literal["parquet", "csv", "ndjson"]

Progress = Callable[[str], object]
"""Called with one line for a person after each step of long work, and for each warning."""


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of an inventory, ready to be read.

    Attributes:
        source: URI of the source that gave it, as configured.
        name: Its path below the source's root, with ``/``.
        kind: Whose contract its rows follow.
        file_format: How its rows are written.
        is_gzipped: Whether the whole file is a gzip stream.
        path: Where it lies on this machine.
    """

    source: str
    name: str
    kind: Kind
    file_format: FileFormat
    is_gzipped: bool
    path: Path

    def __str__(self) -> str:
        return f"{self.name} of {self.source}"


class Source(Protocol):
    """Where pod-hours, node-hours and quota-hours come from."""

    @property
    def uri(self) -> str:
        """The source as configured."""

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Bring a month of the inventory here.

        Args:
            month: The month that is wanted.
            landing: Folder for copies of what lies elsewhere; kept, and used again. Each
                source keeps to a folder of its own below it.
            progress: Told each step that takes long, and each gap in what was found.

        Returns:
            The files, ordered by name; all that the source has of the month is in them.
            Rows of other months may be in them too, and are left out by who reads.

        Raises:
            PodledgerError: The source cannot be reached or read.
        """
