"""The billing month: the one unit of time that everything is keyed by.

Holds the value object only; Dagster's partitions are in ``engines/partitions.py``.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from orchestration.lake.errors import PodledgerError


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month in UTC, half-open: ``[start, end)``."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2026-10`` or a partition key, ``2026-10-01``.

        Raises:
            PodledgerError: The text is no month.
        """
        match = re.fullmatch(r"(\d{4})-(\d{2})(-01)?", text.strip())
        if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) < 2000:
            raise PodledgerError(
                f"{text!r} is not a billing month. Write it as YYYY-MM, like 2026-10."
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def key(self) -> str:
        """Partition key, the first day: ``2026-10-01``."""
        return f"{self.year:04d}-{self.month:02d}-01"

    @property
    def label(self) -> str:
        """As AWS and people write it: ``2026-10``."""
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def start(self) -> dt.datetime:
        """First instant of the month, UTC."""
        return dt.datetime(self.year, self.month, 1, tzinfo=dt.UTC)

    @property
    def end(self) -> dt.datetime:
        """First instant after the month, UTC."""
        return self.next.start

    @property
    def next(self) -> Month:
        """The month after."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Month:
        """The month before."""
        return Month(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    @property
    def days(self) -> list[dt.date]:
        """Every day of the month, in order."""
        first = self.start.date()
        return [first + dt.timedelta(days=n) for n in range((self.end - self.start).days)]

    def __str__(self) -> str:
        return self.label
