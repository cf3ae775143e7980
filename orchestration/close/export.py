"""Writing published tables as Parquet, and reading them back to compare.

Holds the exporters: things that write one part of a revision into its folder. Today they
are the tables of ``ledger/tables.py``; a further format is a further exporter. What makes a
revision of the parts is in ``publish.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import duckdb

from orchestration.engines.duckdb import quote
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.ledger.tables import TABLES, PublishedTable


@dataclass(frozen=True)
class Source:
    """What an exporter reads: the marts, of one month.

    Attributes:
        connection: Read-only, in UTC, with the marts in its default schema.
        month: The month to export.
        progress: Called with one line for work that takes a while.
    """

    connection: duckdb.DuckDBPyConnection
    month: Month
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Tally:
    """Rows, and of every money column its sum in USD and how often it is null."""

    row_count: int = 0
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        names = {**self.sums, **other.sums}
        zero = Decimal(0)
        return Tally(
            self.row_count + other.row_count,
            {n: self.sums.get(n, zero) + other.sums.get(n, zero) for n in names},
            {n: self.nulls.get(n, 0) + other.nulls.get(n, 0) for n in names},
        )


class Exporter(Protocol):
    """Writes one part of a revision."""

    @property
    def name(self) -> str:
        """What the manifest calls the part."""

    def export(self, source: Source, folder: Path) -> Tally:
        """Write the part below ``folder`` and say what was written.

        Raises:
            PodledgerError: What was written is not what was to be written.
            OSError: The disk did not take it.
        """


@dataclass(frozen=True)
class TableExporter:
    """Copies one mart to Parquet: the same rows give the same bytes."""

    table: PublishedTable

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def export(self, source: Source, folder: Path) -> Tally:
        """Write the month of the mart, a file a day if the table is kept by day.

        A month without rows is one empty file, so that its schema can be read.
        """
        self._require_types(source)
        if self.table.day_column is None:
            expected = self._tally(source, self._rows(source.month))
            return self._write(source, folder / f"{self.name}.parquet", expected)
        (folder / self.name).mkdir()
        days = self._days(source)
        if not days:
            nothing = self._as_tally(
                [
                    0,
                    *(
                        figure
                        for _ in self.table.money_columns
                        for figure in (Decimal(0), 0)
                    ),
                ]
            )
            return self._write(source, folder / self.name / "empty.parquet", nothing)
        total = Tally()
        for day, expected in days.items():
            source.progress(f"Writing {self.name} of {day}")
            path = folder / self.name / f"{day}.parquet"
            total += self._write(source, path, expected, day)
        return total

    def _write(
        self, source: Source, path: Path, expected: Tally, day: dt.date | None = None
    ) -> Tally:
        """Copy one file and count it again, from the disk and by its money columns."""
        source.connection.execute(
            f"copy (select {', '.join(self.table.columns)}"
            f" {self._rows(source.month, day)} order by {', '.join(self.table.order_by)})"
            f" to {quote(str(path))} (format parquet, compression zstd)"
        )
        written = self._tally(source, f"from {parquet(path)}")
        if written != expected:
            raise PodledgerError(
                f"{path.name} of {self.name} was written with {written}, but"
                f" {self.table.mart} has {expected} for {day or source.month}. Nothing was"
                " published. Close the month again; if it stays so, the disk or its"
                " filesystem does not keep what is written to it."
            )
        return written

    def _rows(self, month: Month, day: dt.date | None = None) -> str:
        rows = f"from {self.table.mart} where billing_month = date '{month.key}'"
        if day is None:
            return rows
        # The date leads through the mart's joins, the timestamp prunes what is read.
        column = self.table.day_column
        return (
            f"{rows} and usage_date = date '{day}'"
            f" and {column} >= date '{day}' and {column} < date '{day}' + 1"
        )

    def _days(self, source: Source) -> dict[dt.date, Tally]:
        """What the mart has of each day; one pass over the money columns of the month."""
        rows = source.connection.execute(
            f"select usage_date, {self._aggregates()} {self._rows(source.month)}"
            " group by usage_date order by usage_date"
        ).fetchall()
        return {day: self._as_tally(figures) for day, *figures in rows}

    def _tally(self, source: Source, rows: str) -> Tally:
        row = source.connection.execute(f"select {self._aggregates()} {rows}").fetchone()
        assert row is not None, "an aggregate without groups has one row"
        return self._as_tally(row)

    def _aggregates(self) -> str:
        figures = (
            f"coalesce(sum({column}), 0), count(*) - count({column})"
            for column in self.table.money_columns
        )
        return ", ".join(["count(*)", *figures])

    def _as_tally(self, figures: Sequence[Any]) -> Tally:
        row_count, *of_columns = figures
        names = self.table.money_columns
        return Tally(
            row_count,
            dict(zip(names, of_columns[::2], strict=True)),
            dict(zip(names, of_columns[1::2], strict=True)),
        )

    def _require_types(self, source: Source) -> None:
        """Refuse a mart whose types are not the contract's: a cast could round money."""
        described = source.connection.execute(f"describe {self.table.mart}").fetchall()
        types = {name: type_ for name, type_, *_ in described}
        for name, type_ in self.table.columns.items():
            if types.get(name) != type_:
                raise PodledgerError(
                    f"{self.table.mart}.{name} is {types.get(name, 'missing')}, but it is"
                    f" published as {type_}. Nothing was published. Correct the model, or"
                    " change the published contract in orchestration/ledger/tables.py."
                )


EXPORTERS: tuple[Exporter, ...] = tuple(TableExporter(table) for table in TABLES)
"""The parts of a revision, in the order in which they are written."""
