"""Node-hours as the split needs them: compact arrays of one day, read from the warehouse.

Holds the reading of ``int_node_hours__weighed`` and the lookup by instance and hour. How
a pool comes about is that model's business; how it is apportioned is the kernel's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.engines.duckdb import quote
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, RESOURCES
from orchestration.split.kernel import POOL_LIMIT
from orchestration.split.money import units
from orchestration.split.warehouse import open_warehouse

HOUR_US = 3_600_000_000
"""Microseconds of an hour: the grain of ``usage_hour``."""

STRING_COLUMNS = (
    "payer_account_id",
    "usage_account_id",
    "region_code",
    "usage_type_prefix",
    "instance_id",
    "instance_type",
    "cluster_name",
    "node_name",
    "sharing_labels",
)

CAPACITY_COLUMNS = tuple(f"{resource}_capacity_hours" for resource in RESOURCES)

POOL_COLUMNS = tuple(f"{resource}_{basis}_usd" for resource in RESOURCES for basis in BASES)
"""What each resource of a node-hour costs, in the order of ``NodeHours.pools``."""

NULLABLE_COLUMNS = frozenset(
    {
        "region_code",
        "usage_type_prefix",
        "cluster_name",
        "node_name",
        *(name for name in POOL_COLUMNS if "_unblended_" not in name),
    }
)
"""What the bill may not tell. A null elsewhere is no zero and no blank, but an error."""

COLUMNS = (
    *STRING_COLUMNS,
    "usage_hour",
    "method_version",
    "accelerators",
    "accelerator_weight",
    *CAPACITY_COLUMNS,
    *POOL_COLUMNS,
)
"""Columns of ``int_node_hours__weighed`` that the split reads."""


@dataclass(frozen=True)
class NodeHours:
    """Node-hours in the order of (``instance_id``, ``usage_hour``), as n-long arrays.

    Attributes:
        strings: The string columns, dictionary-encoded.
        hours: Hours since 1970; shape (n,).
        method_version: The version asked for; shape (n,).
        is_accelerated: Whether the split weighs the node's accelerators; shape (n,).
        capacity_hours: Resource-hours; shape (n, resources).
        pools: Units of 1e-10 USD, 0 where unknown; shape (n, resources, bases).
        is_known: Whether the bill tells the cost in a basis; shape (n, bases).
    """

    strings: dict[str, pa.DictionaryArray]
    hours: NDArray[np.int64]
    method_version: NDArray[np.int8]
    is_accelerated: NDArray[np.bool_]
    capacity_hours: NDArray[np.float64]
    pools: NDArray[np.int64]
    is_known: NDArray[np.bool_]

    @classmethod
    def from_table(cls, table: pa.Table) -> NodeHours:
        """Take the columns named in ``COLUMNS``, in any order of rows.

        Raises:
            PodledgerError: A node-hour stands twice, a value is missing or no number, a
                basis is known of some resources only, or a pool is beyond what the kernel
                can apportion exactly.
        """
        for name in COLUMNS:
            if table[name].null_count and name not in NULLABLE_COLUMNS:
                raise PodledgerError(
                    f"{name} of int_node_hours__weighed is null for"
                    f" {table[name].null_count} node-hours, and what is missing is neither"
                    " zero nor blank. Nothing was written. Build the warehouse of the month"
                    " again (podledger close); if it stays, the model is at fault."
                )
        table = table.sort_by([("instance_id", "ascending"), ("usage_hour", "ascending")])
        node_hours = cls(
            strings={name: _encoded(table[name]) for name in STRING_COLUMNS},
            hours=_hours(table["usage_hour"]),
            method_version=_numbers(table["method_version"]).astype(np.int8),
            is_accelerated=_numbers(table["accelerators"])
            * _numbers(table["accelerator_weight"])
            > 0,
            capacity_hours=np.column_stack(
                [_numbers(table[name]) for name in CAPACITY_COLUMNS]
            ).astype(np.float64),
            pools=np.column_stack([units(table[name]) for name in POOL_COLUMNS])
            .reshape(len(table), len(RESOURCES), len(BASES))
            .copy(),
            is_known=_known_bases(table),
        )
        node_hours.check()
        return node_hours

    def __len__(self) -> int:
        return len(self.hours)

    @property
    def codes(self) -> NDArray[np.int32]:
        """Position of each node-hour's instance in ``instances``; shape (n,)."""
        return np.asarray(self.strings["instance_id"].indices, dtype=np.int32)

    @property
    def instances(self) -> pa.StringArray:
        """Every instance once, in order."""
        return self.strings["instance_id"].dictionary

    @cached_property
    def is_weighed(self) -> NDArray[np.bool_]:
        """Resources that carry cost: accelerators only where the split weighs them."""
        is_weighed: NDArray[np.bool_] = (self.pools != 0).any(axis=2)
        is_weighed |= np.array([resource != "accelerator" for resource in RESOURCES])
        is_weighed[:, RESOURCES.index("accelerator")] |= self.is_accelerated
        return is_weighed

    @cached_property
    def first_hour(self) -> int:
        """Hour that the lookup begins with."""
        return int(self.hours.min()) if len(self) else 0

    @cached_property
    def lookup(self) -> NDArray[np.int32]:
        """Node-hour by (instance, hours after ``first_hour``); -1 where there is none."""
        spread = int(self.hours.max()) - self.first_hour + 1 if len(self) else 0
        lookup = np.full((len(self.instances), spread), -1, np.int32)
        lookup[self.codes, self.hours - self.first_hour] = np.arange(len(self))
        return lookup

    @cached_property
    def kinds(self) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
        """Kind of each node-hour, and the (instance type, sharing labels) of each kind."""
        types, labels = self.strings["instance_type"], self.strings["sharing_labels"]
        pairs = np.asarray(types.indices, dtype=np.int64) * len(labels.dictionary)
        pairs = pairs + np.asarray(labels.indices, dtype=np.int64)
        present, kinds = np.unique(pairs, return_inverse=True)
        return kinds, [
            (
                types.dictionary[int(pair) // len(labels.dictionary)].as_py(),
                labels.dictionary[int(pair) % len(labels.dictionary)].as_py(),
            )
            for pair in present
        ]

    def usage_hours(self, indices: NDArray[np.int64]) -> pa.TimestampArray:
        """Start of the hour of these node-hours, UTC."""
        return pa.array(self.hours[indices] * HOUR_US).cast(pa.timestamp("us"))

    def name(self, index: int) -> str:
        """A node-hour as an error message names it."""
        hour = dt.datetime.fromtimestamp(int(self.hours[index]) * 3600, dt.UTC)
        return f"{self.strings['instance_id'][index].as_py()} at {hour:%Y-%m-%d %H:%M} UTC"

    def check(self) -> None:
        """Hold the node-hours against what the kernel takes for granted.

        Raises:
            PodledgerError: See ``from_table``.
        """
        key = self.codes.astype(np.int64) * (1 << 32) + self.hours
        repeated = np.flatnonzero(key[1:] == key[:-1])
        if repeated.size:
            raise PodledgerError(
                f"int_node_hours__weighed holds {self.name(int(repeated[0]))} twice, so its"
                " cost would be split twice. Nothing was written. Build the warehouse of"
                " the month again (podledger close); if it stays, the model is at fault."
            )
        too_large = np.argwhere(np.abs(self.pools) > POOL_LIMIT)
        if too_large.size:
            index, resource, basis = (int(position) for position in too_large[0])
            raise PodledgerError(
                f"The {BASES[basis]} cost of the {RESOURCES[resource]} of"
                f" {self.name(index)} is {self.pools[index, resource, basis]} units of"
                f" 1e-10 USD, beyond the {POOL_LIMIT} that can be split exactly. Nothing"
                " was written. Look for a cost of the wrong scale on the bill's lines of"
                " that instance and hour."
            )
        no_capacity = np.argwhere(
            ~((self.capacity_hours >= 0) & np.isfinite(self.capacity_hours))
        )
        if no_capacity.size:
            index = int(no_capacity[0][0])
            raise PodledgerError(
                f"A capacity of {self.name(index)} is negative or no number in"
                " int_node_hours__weighed. Nothing was written. Check the row of its"
                " instance type in the catalogue (podledger catalogue refresh)."
            )


class NodeHoursReader:
    """Node-hours of one month and version of the method, a day at a time."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, month: Month, method_version: int
    ) -> None:
        self._connection = connection
        self._month = month
        self._view = f"int_node_hours__weighed_v{method_version}"

    def days(self) -> list[dt.date]:
        """Days that the month's bill has node-hours of; usage may precede the month."""
        rows = self._connection.execute(
            f"select distinct usage_hour::date as day from {self._view}"
            " where billing_month = $month order by day",
            {"month": self._month.start.date()},
        ).fetchall()
        return [day for (day,) in rows]

    def read(self, day: dt.date) -> NodeHours:
        """Read the node-hours of one day.

        Raises:
            PodledgerError: They break the contract; see ``NodeHours.from_table``.
        """
        return NodeHours.from_table(
            self._connection.execute(
                f"select {', '.join(COLUMNS)} from {self._view}"
                " where billing_month = $month"
                " and usage_hour >= $day and usage_hour < $day + interval 1 day",
                {"month": self._month.start.date(), "day": day},
            ).to_arrow_table()
        )

    def copy(self, path: Path) -> int:
        """Write the node-hours of the month to a Parquet file, and count them."""
        (rows,) = self._connection.execute(
            f"copy (select {', '.join(COLUMNS)} from {self._view}"
            f" where billing_month = date '{self._month.key}') to {quote(str(path))}"
            " (format parquet)"
        ).fetchall()
        return int(rows[0])


@contextmanager
def open_node_hours(
    warehouse: Path, month: Month, method_version: int
) -> Iterator[NodeHoursReader]:
    """Open the warehouse at the node-hours of a month.

    Raises:
        PodledgerError: The warehouse cannot be read, or lacks that version of the method.
    """
    with open_warehouse(warehouse) as connection:
        yield NodeHoursReader(connection, month, method_version)


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks().cast(pa.string()).dictionary_encode()


def _known_bases(table: pa.Table) -> NDArray[np.bool_]:
    """Whether each node-hour's cost is known in each basis: of all resources, or of none.

    Raises:
        PodledgerError: It is known of some.
    """
    is_known = np.ones((len(table), len(BASES)), np.bool_)
    for number, basis in enumerate(BASES):
        of_resources = [table[f"{resource}_{basis}_usd"] for resource in RESOURCES]
        if not any(column.null_count for column in of_resources):
            continue
        known = np.column_stack([column.is_valid().to_numpy() for column in of_resources])
        is_known[:, number] = known[:, 0]
        partial = np.flatnonzero(known.any(axis=1) & ~known.all(axis=1))
        if partial.size:
            resource = RESOURCES[int(np.argmin(known[partial[0]]))]
            raise PodledgerError(
                f"{resource}_{basis}_usd of int_node_hours__weighed is null for"
                f" {partial.size} node-hours that have a cost of other resources, and what"
                " is missing is not zero. Nothing was written. Build the warehouse of the"
                " month again (podledger close); if it stays, the model is at fault."
            )
    return is_known


def _hours(column: pa.ChunkedArray) -> NDArray[np.int64]:
    microseconds = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    hours: NDArray[np.int64] = microseconds // HOUR_US
    return hours


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return numbers
