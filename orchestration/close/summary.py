"""A published month in figures: read back from the files of one revision, nothing else.

Holds what a summary contains and its form for machines. How it looks on a terminal is in
``terminal.py``. It needs no warehouse, so it answers wherever the published files are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from orchestration.close.bases import basis_of_breakdowns
from orchestration.close.controls import Control, in_catalogue_order
from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.ledger.book import Revision, bring
from orchestration.ledger.manifest import BasisTotals, Manifest
from orchestration.ledger.reproductions import Reproduction, reproductions
from orchestration.ledger.tables import CHARGEBACK, CONTROLS, REMAINDER, UNALLOCATED

_PARTS = {table.name for table in (CHARGEBACK, UNALLOCATED, REMAINDER, CONTROLS)}
"""What a summary reads: a few small files, not the split lines of every pod."""

TOP = 10
"""Namespaces and workloads that a summary names; the rest is told as one."""


@dataclass(frozen=True)
class Unallocated:
    """Node cost that no pod claimed, in USD."""

    reason: str
    resource: str
    cost_usd: Decimal


@dataclass(frozen=True)
class Remainder:
    """A category of the rest of the bill, in USD."""

    category: str
    unblended_usd: Decimal
    cost_usd: Decimal


@dataclass(frozen=True)
class Spender:
    """What a namespace or a workload cost in the month.

    Attributes:
        cluster_name: Its cluster; None if the inventory does not say.
        namespace: Its namespace.
        workload_type: Kind of the topmost controller; None for a namespace.
        workload_name: Name of the topmost controller; None for a namespace.
        split_usd: For what its pods were allocated.
        unused_usd: Its share of what nobody used.
        accelerator_hours: Hours of physical devices that its pods were allocated.
    """

    cluster_name: str | None
    namespace: str | None
    workload_type: str | None
    workload_name: str | None
    split_usd: Decimal
    unused_usd: Decimal
    accelerator_hours: Decimal

    @property
    def cost_usd(self) -> Decimal:
        """Split and unused together."""
        return self.split_usd + self.unused_usd


@dataclass(frozen=True)
class Owner:
    """What the pods of one team, or of one value of another label, cost in the month.

    Attributes:
        name: The value; None for pods that nobody owns.
        split_usd: For what its pods were allocated.
        unused_usd: Its share of what nobody used.
        accelerator_hours: Hours of physical devices that its pods were allocated.
    """

    name: str | None
    split_usd: Decimal
    unused_usd: Decimal
    accelerator_hours: Decimal

    @property
    def cost_usd(self) -> Decimal:
        """Split and unused together."""
        return self.split_usd + self.unused_usd


@dataclass(frozen=True)
class Summary:
    """One revision of a month, as a person asks for it; breakdowns in ``basis``.

    Attributes:
        path: Folder of the revision, or of its copy.
        address: Where it was published.
        manifest: What the revision says of itself.
        reproduced: Which other versions of podledger made the same figures again.
        unallocated: By reason and resource, most expensive first.
        remainder: By category, most expensive first.
        controls: Every control's row.
        owner_label: The label that owners go by, the first of the chosen ones.
        owners: Most expensive first; at most ``TOP``.
        owner_count: How many there are.
        namespaces: Most expensive first; at most ``TOP``.
        workloads: Most expensive first; at most ``TOP``.
        namespace_count: How many there are.
        workload_count: How many there are.
    """

    path: Path
    address: str
    manifest: Manifest
    reproduced: list[Reproduction]
    unallocated: list[Unallocated]
    remainder: list[Remainder]
    controls: list[Control]
    owner_label: str | None
    owners: list[Owner]
    owner_count: int
    namespaces: list[Spender]
    workloads: list[Spender]
    namespace_count: int
    workload_count: int

    @property
    def basis(self) -> str:
        """The cost basis of the breakdowns: amortized where the exports tell it."""
        return basis_of_breakdowns(self.manifest.totals)

    @property
    def totals(self) -> BasisTotals:
        """The law of the month in ``basis``."""
        totals = self.manifest.totals[self.basis]
        assert totals is not None, "every bill tells the basis of its invoice"
        return totals

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON's own types; money as strings, exact."""
        manifest = self.manifest
        return {
            "month": manifest.month,
            "revision": manifest.revision,
            "replaces": manifest.replaces,
            "path": self.address,
            "method_version": manifest.method_version,
            "code_version": manifest.code_version,
            "reproduced": [
                {"code_version": one.code_version, "on": one.on.isoformat()}
                for one in self.reproduced
            ],
            "row_counts": manifest.row_counts,
            "totals": {
                basis: None if totals is None else totals.model_dump(mode="json")
                for basis, totals in manifest.totals.items()
            },
            "missing_bases": [
                one.model_dump(mode="json") for one in manifest.missing_bases
            ],
            "basis": self.basis,
            "unallocated": [_texts(asdict(row)) for row in self.unallocated],
            "remainder": [_texts(asdict(row)) for row in self.remainder],
            "controls": [_texts(asdict(row)) for row in self.controls],
            "owner_label": self.owner_label,
            "owners": [_texts(asdict(row)) for row in self.owners],
            "namespaces": [_texts(asdict(row)) for row in self.namespaces],
            "workloads": [_texts(asdict(row)) for row in self.workloads],
        }


def summarize(revision: Revision) -> Summary:
    """Read the summary of a revision from its files.

    Args:
        revision: One of the ledger's.

    Raises:
        PodledgerError: A file is missing, or is not the one that was published.
    """
    bring(revision, [file for file in revision.manifest.files if file.part in _PARTS])
    try:
        with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
            return _summarize(connection, revision)
    except duckdb.Error as error:
        raise PodledgerError(
            f"The files of {revision.address} cannot be read"
            f" ({str(error).splitlines()[0].rstrip('. ')}). A published revision never"
            " changes: restore its folder from a backup, or move it away and close the"
            " month again."
        ) from error


def _summarize(connection: duckdb.DuckDBPyConnection, revision: Revision) -> Summary:
    basis = basis_of_breakdowns(revision.manifest.totals)
    workloads = _workloads(connection, revision.path, basis)
    namespaces = _by_namespace(workloads)
    label = next(iter(revision.manifest.labels), None)
    owners = _owners(connection, revision.path, label, basis) if label else []
    return Summary(
        path=revision.path,
        address=revision.address,
        manifest=revision.manifest,
        reproduced=reproductions(revision),
        unallocated=[
            Unallocated(*row)
            for row in connection.execute(
                f"select reason, resource, sum({basis}_usd) as usd"
                f" from {parquet(revision.path / 'unallocated' / '*.parquet')}"
                " group by reason, resource order by usd desc, reason, resource"
            ).fetchall()
        ],
        remainder=[
            Remainder(*row)
            for row in connection.execute(
                f"select category, sum(unblended_usd), sum({basis}_usd) as usd"
                f" from {parquet(revision.path / 'remainder.parquet')}"
                " group by category order by usd desc, category"
            ).fetchall()
        ],
        controls=_controls(connection, revision.path),
        owner_label=label,
        owners=owners[:TOP],
        owner_count=len(owners),
        namespaces=namespaces[:TOP],
        workloads=workloads[:TOP],
        namespace_count=len(namespaces),
        workload_count=len(workloads),
    )


def _workloads(
    connection: duckdb.DuckDBPyConnection, folder: Path, basis: str
) -> list[Spender]:
    """Every workload, most expensive first."""
    rows = connection.execute(
        f"""
        select
            cluster_name, namespace, workload_type, workload_name,
            sum({basis}_split_usd),
            sum({basis}_unused_usd),
            coalesce(sum(accelerator_allocated_hours::decimal(28, 6)), 0)
        from {parquet(folder / "chargeback.parquet")}
        group by 1, 2, 3, 4
        """
    ).fetchall()
    return _most_expensive_first(Spender(*row) for row in rows)


def _owners(
    connection: duckdb.DuckDBPyConnection, folder: Path, label: str, basis: str
) -> list[Owner]:
    """What the pods of each value of a label cost, highest first; None has no label."""
    rows = connection.execute(
        f"""
        select
            labels[$label] as name,
            sum({basis}_split_usd),
            sum({basis}_unused_usd),
            coalesce(sum(accelerator_allocated_hours::decimal(28, 6)), 0)
        from {parquet(folder / "chargeback.parquet")}
        group by 1
        order by sum({basis}_total_usd) desc, name
        """,
        {"label": label},
    ).fetchall()
    return [Owner(*row) for row in rows]


def _by_namespace(workloads: Iterable[Spender]) -> list[Spender]:
    """The same money by namespace, most expensive first."""
    found: dict[tuple[str | None, str | None], Spender] = {}
    for one in workloads:
        key = one.cluster_name, one.namespace
        so_far = found.get(
            key, Spender(*key, None, None, Decimal(0), Decimal(0), Decimal(0))
        )
        found[key] = replace(
            so_far,
            split_usd=so_far.split_usd + one.split_usd,
            unused_usd=so_far.unused_usd + one.unused_usd,
            accelerator_hours=so_far.accelerator_hours + one.accelerator_hours,
        )
    return _most_expensive_first(found.values())


def _most_expensive_first(spenders: Iterable[Spender]) -> list[Spender]:
    return sorted(
        spenders,
        key=lambda one: (
            -one.cost_usd,
            one.cluster_name or "",
            one.namespace or "",
            one.workload_type or "",
            one.workload_name or "",
        ),
    )


def _controls(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Control]:
    rows = connection.execute(
        f"select {', '.join(CONTROLS.columns)} from {parquet(folder / 'controls.parquet')}"
        f" order by {', '.join(CONTROLS.order_by)}"
    ).fetchall()
    return in_catalogue_order(Control(*row) for row in rows)


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals as exact text, for JSON has doubles only."""
    return {
        name: f"{value:f}" if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
