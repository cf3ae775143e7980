"""What runs against the split, one module each.

A module has ``run(world, out) -> int``: read the world's ``raw/pod_hours`` and node-hours,
write ``pod_costs``' columns into the folder ``out``, and give the pod-hours that were
read. Exact ones write files whose names begin with the day, so that they can be compared.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a contender's output is worth."""

    PASS = "pass-through"
    EXACT = "exact"
    DOUBLES = "in doubles"


@dataclass(frozen=True)
class Contender:
    """One way to do it.

    Attributes:
        name: Its module, too.
        kind: Exact ones must write what the split writes, to the last unit.
        summary: What it is, for the table.
        needs: A module that must be installed.
        is_sampled: Whether it reads a part of the month, so that its figures are
            extrapolated.
        is_slow: Whether one round is enough.
    """

    name: str
    kind: Kind
    summary: str
    needs: str | None = None
    is_sampled: bool = False
    is_slow: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether its library is there."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


FLOOR = "floor"
OURS = "podledger"

CONTENDERS = (
    Contender(FLOOR, Kind.PASS, "pyarrow, tuned, the split's own writer"),
    Contender("duckdb_pass", Kind.PASS, "DuckDB's COPY with its defaults"),
    Contender("polars_pass", Kind.PASS, "Polars' sink with its defaults", "polars"),
    Contender(OURS, Kind.EXACT, "the split"),
    Contender("podledger_2", Kind.EXACT, "the split, two days at a time"),
    Contender("duckdb_exact", Kind.EXACT, "SQL, HUGEINT, a day at a time", is_slow=True),
    Contender(
        "polars_exact", Kind.EXACT, "Int128, a day at a time", "polars", is_slow=True
    ),
    Contender(
        "pandas_vectorised",
        Kind.DOUBLES,
        "merge and transform, a day at a time",
        "pandas",
        is_slow=True,
    ),
    Contender(
        "pandas_naive",
        Kind.EXACT,
        "a Python function a node-hour",
        "pandas",
        is_sampled=True,
        is_slow=True,
    ),
    Contender(
        "spark", Kind.EXACT, "the split on Spark, in one JVM", "pyspark", is_slow=True
    ),
)
