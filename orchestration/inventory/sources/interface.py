"""What every inventory source gives: files in the pod-hours contract, on this machine.

Holds the seam between where clusters keep their facts and the one reading of them. A source
that asks a server writes its answers as files below ``landing`` too, so that a month that
is closed again reads what it read before, whatever the server still knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Kind = Literal["pod_hours", "node_hours"]
FileFormat = Literal["parquet", "csv", "ndjson"]


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
    """Where pod-hours and node-hours come from."""

    @property
    def uri(self) -> str:
        """The source as configured."""

    def fetch(self, landing: Path) -> list[SourceFile]:
        """Bring the inventory here.

        Args:
            landing: Folder for copies of what lies elsewhere; kept, and used again.

        Returns:
            The files, ordered by name. Rows of any month may be in any of them.

        Raises:
            PodledgerError: The source cannot be reached or read.
        """
