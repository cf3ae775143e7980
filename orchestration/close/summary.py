"""A published month in figures: read back from the files of one revision, nothing else.

Holds what a summary contains and its form for machines. How it looks on a terminal is in
``terminal.py``. It needs no warehouse, so it answers wherever the published files are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from orchestration.close.bases import basis_of_breakdowns
from orchestration.close.controls import Control, in_catalogue_order
from orchestration.distribution.distribute import CHARGE_TYPES
from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BASES, UNIT_DIGITS
from orchestration.ledger.book import Revision, bring
from orchestration.ledger.manifest import BasisTotals, Manifest, Status
from orchestration.ledger.reproductions import Reproduction, reproductions
from orchestration.ledger.status import status_of
from orchestration.ledger.tables import (
    BASIS_COLUMNS,
    CHARGEBACK,
    CHARGES,
    CONTROLS,
    REMAINDER,
    UNALLOCATED,
)

_PARTS = {table.name for table in (CHARGEBACK, CHARGES, UNALLOCATED, REMAINDER, CONTROLS)}
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
class Unassigned:
    """Cost that nobody is charged for, in USD.

    Attributes:
        origin: unused, unallocated or remainder.
        detail: Its resource and reason, or its category.
        reason: Why nobody is charged.
        cost_usd: How much it is.
    """

    origin: str
    detail: str | None
    reason: str | None
    cost_usd: Decimal


@dataclass(frozen=True)
class Charged:
    """What a namespace, a workload or an owner is charged in the month.

    Attributes:
        direct_usd: For what its pods were allocated.
        idle_usd: Its part of what nobody used.
        shared_usd: Its part of what all share.
        accelerator_hours: Hours of physical devices that its pods were allocated.
    """

    direct_usd: Decimal
    idle_usd: Decimal
    shared_usd: Decimal
    accelerator_hours: Decimal

    @property
    def cost_usd(self) -> Decimal:
        """All that it is charged."""
        return self.direct_usd + self.idle_usd + self.shared_usd


@dataclass(frozen=True)
class Spender(Charged):
    """A namespace or a workload.

    Attributes:
        cluster_name: Its cluster; None if the inventory does not say.
        namespace: Its namespace.
        workload_type: Kind of the topmost controller; None for a namespace.
        workload_name: Name of the topmost controller; None for a namespace.
    """

    cluster_name: str | None
    namespace: str | None
    workload_type: str | None
    workload_name: str | None


@dataclass(frozen=True)
class Owner(Charged):
    """A team, or one value of another label; ``name`` is None for what nobody owns."""

    name: str | None


@dataclass(frozen=True)
class Change:
    """What an owner is charged, beside the month before; USD in the summary's basis.

    Attributes:
        name: The owner; None for what nobody owns.
        before_usd: What it was charged in the month before.
        now_usd: What it is charged.
        volume_usd: Part of the change that more or fewer accelerator-hours make, at the
            rate of the month before; None where one of the months has none.
    """

    name: str | None
    before_usd: Decimal
    now_usd: Decimal
    volume_usd: Decimal | None

    @property
    def change_usd(self) -> Decimal:
        """How much more it is."""
        return self.now_usd - self.before_usd

    @property
    def price_usd(self) -> Decimal | None:
        """The rest of the change: what the rate of an accelerator-hour makes."""
        return None if self.volume_usd is None else self.change_usd - self.volume_usd

    @classmethod
    def between(cls, before: Owner | None, now: Owner | None) -> Change:
        """Compare an owner's two months, of which it may miss one."""
        named = now or before
        assert named is not None, "an owner is of one of the two months"
        then_usd = before.cost_usd if before else Decimal(0)
        volume = None
        if before and now and before.accelerator_hours and now.accelerator_hours:
            more = now.accelerator_hours - before.accelerator_hours
            volume = round(then_usd * more / before.accelerator_hours, UNIT_DIGITS)
        return cls(named.name, then_usd, now.cost_usd if now else Decimal(0), volume)


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
        charges: Basis -> charge type -> USD; None where the exports do not tell it, and
            nothing in revisions from before there was a policy.
        unassigned: Most expensive first.
        compared_with: The month before, like 2026-09; None if it was not published, or in
            another basis.
        changes: By owner, the largest first.
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
    charges: dict[str, dict[str, Decimal | None]]
    unassigned: list[Unassigned]
    compared_with: str | None
    changes: list[Change]
    owner_label: str | None
    owners: list[Owner]
    owner_count: int
    namespaces: list[Spender]
    workloads: list[Spender]
    namespace_count: int
    workload_count: int

    @property
    def status(self) -> Status:
        """How far the month is today."""
        return status_of(self.manifest, dt.datetime.now(dt.UTC))

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
            "status": self.status.name,
            "status_reasons": list(self.status.reasons),
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
            "policy": manifest.policy.model_dump() if manifest.policy else None,
            "charges": {basis: _texts(sums) for basis, sums in self.charges.items()},
            "unassigned": [_texts(asdict(row)) for row in self.unassigned],
            "compared_with": self.compared_with,
            "changes": [
                _texts(
                    {
                        **asdict(row),
                        "change_usd": row.change_usd,
                        "price_usd": row.price_usd,
                    }
                )
                for row in self.changes
            ],
            "owner_label": self.owner_label,
            "owners": [_charged(row) for row in self.owners],
            "namespaces": [_charged(row) for row in self.namespaces],
            "workloads": [_charged(row) for row in self.workloads],
        }


def summarize(revision: Revision, before: Revision | None = None) -> Summary:
    """Read the summary of a revision from its files.

    Args:
        revision: One of the ledger's.
        before: One of the month before, to compare with.

    Raises:
        PodledgerError: A file is missing, or is not the one that was published.
    """
    for one in (revision, before) if before else (revision,):
        bring(one, [file for file in one.manifest.files if file.part in _PARTS])
    try:
        with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
            return _summarize(connection, revision, before)
    except duckdb.Error as error:
        raise PodledgerError(
            f"The files of {revision.address} cannot be read"
            f" ({str(error).splitlines()[0].rstrip('. ')}). A published revision never"
            " changes: restore its folder from a backup, or move it away and close the"
            " month again."
        ) from error


def _summarize(
    connection: duckdb.DuckDBPyConnection, revision: Revision, before: Revision | None
) -> Summary:
    basis = basis_of_breakdowns(revision.manifest.totals)
    _read_charges(connection, revision)
    workloads = _workloads(connection, basis)
    namespaces = _by_namespace(workloads)
    label = next(iter(revision.manifest.labels), None)
    owners = _owners(connection, label, basis) if label else []
    charges = _charges(connection) if revision.manifest.policy else {}
    unassigned = _unassigned(connection, basis)
    changes: list[Change] = []
    if before and label and before.manifest.totals[basis] is not None:
        _read_charges(connection, before)
        changes = _changes(_owners(connection, label, basis), owners)
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
        charges=charges,
        unassigned=unassigned,
        compared_with=before.manifest.month if before and changes else None,
        changes=changes,
        owner_label=label,
        owners=owners[:TOP],
        owner_count=len(owners),
        namespaces=namespaces[:TOP],
        workloads=workloads[:TOP],
        namespace_count=len(namespaces),
        workload_count=len(workloads),
    )


def _read_charges(connection: duckdb.DuckDBPyConnection, revision: Revision) -> None:
    """Make ``charged``: charges, and in rows of their own the hours of the pods.

    Before there was a policy, pods were charged what AWS's rule puts on them.
    """
    pods = parquet(revision.path / "chargeback.parquet")
    whom = "cluster_name, namespace, workload_type, workload_name, labels"
    nothing = "null as origin, null as origin_detail, null as reason"
    if revision.manifest.policy:
        money = ", ".join(BASIS_COLUMNS)
        charges = (
            f"select {whom}, charge_type, origin, origin_detail, reason, {money},"
            f" 0 as device_hours from {parquet(revision.path / 'charges.parquet')}"
        )
    else:
        charges = " union all ".join(
            f"select {whom}, '{charge_type}' as charge_type, {nothing},"
            f" {', '.join(f'{basis}_{part}_usd as {basis}_usd' for basis in BASES)},"
            f" 0 as device_hours from {pods}"
            for charge_type, part in (("direct", "split"), ("idle", "unused"))
        )
    nulls = ", ".join(f"null::decimal(38, 10) as {column}" for column in BASIS_COLUMNS)
    connection.execute(
        f"create or replace temp table charged as {charges} union all"
        f" select {whom}, 'direct', {nothing}, {nulls},"
        f" accelerator_allocated_hours::decimal(28, 6) from {pods}"
    )


def _figures(basis: str) -> str:
    """Columns of ``Charged``, in its order."""
    money = ", ".join(
        f"coalesce(sum({basis}_usd) filter (where charge_type = '{name}'), 0)"
        for name in ("direct", "idle", "shared")
    )
    return f"{money}, coalesce(sum(device_hours), 0)"


def _charges(
    connection: duckdb.DuckDBPyConnection,
) -> dict[str, dict[str, Decimal | None]]:
    """Sums by basis and charge type."""
    sums = ", ".join(f"sum({column})" for column in BASIS_COLUMNS)
    rows = connection.execute(
        f"select charge_type, {sums} from charged group by charge_type"
    ).fetchall()
    by_type = {name: dict(zip(BASES, money, strict=True)) for name, *money in rows}
    return {
        basis: {name: by_type.get(name, {}).get(basis) for name in CHARGE_TYPES}
        for basis in BASES
    }


def _unassigned(connection: duckdb.DuckDBPyConnection, basis: str) -> list[Unassigned]:
    rows = connection.execute(
        f"select origin, origin_detail, reason, sum({basis}_usd) as usd from charged"
        " where charge_type = 'unassigned' group by all having usd <> 0"
        " order by usd desc, origin, origin_detail, reason"
    ).fetchall()
    return [Unassigned(*row) for row in rows]


def _workloads(connection: duckdb.DuckDBPyConnection, basis: str) -> list[Spender]:
    """Every workload, most expensive first."""
    rows = connection.execute(
        f"select {_figures(basis)}, cluster_name, namespace, workload_type, workload_name"
        " from charged where charge_type = 'direct' or namespace is not null"
        " or workload_name is not null"
        " group by cluster_name, namespace, workload_type, workload_name"
    ).fetchall()
    return _most_expensive_first(Spender(*row) for row in rows)


def _owners(connection: duckdb.DuckDBPyConnection, label: str, basis: str) -> list[Owner]:
    """What each value of a label is charged, highest first; None has no label."""
    rows = connection.execute(
        f"select {_figures(basis)}, labels[$label] as name from charged"
        " where charge_type <> 'unassigned' group by name",
        {"label": label},
    ).fetchall()
    owners = [Owner(*row) for row in rows]
    return sorted(owners, key=lambda one: (-one.cost_usd, one.name or ""))


def _changes(before: Iterable[Owner], now: Iterable[Owner]) -> list[Change]:
    then, today = ({one.name: one for one in owners} for owners in (before, now))
    found = [
        Change.between(then.get(name), today.get(name))
        for name in then.keys() | today.keys()
    ]
    return sorted(found, key=lambda one: (-abs(one.change_usd), one.name or ""))


def _by_namespace(workloads: Iterable[Spender]) -> list[Spender]:
    """The same money by namespace, most expensive first."""
    found: dict[tuple[str | None, str | None], Spender] = {}
    for one in workloads:
        key = one.cluster_name, one.namespace
        zero = Decimal(0)
        nothing = Spender(zero, zero, zero, zero, *key, None, None)
        so_far = found.get(key, nothing)
        found[key] = replace(
            so_far,
            direct_usd=so_far.direct_usd + one.direct_usd,
            idle_usd=so_far.idle_usd + one.idle_usd,
            shared_usd=so_far.shared_usd + one.shared_usd,
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


def _charged(row: Charged) -> dict[str, Any]:
    return _texts({**asdict(row), "cost_usd": row.cost_usd})


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals as exact text, for JSON has doubles only."""
    return {
        name: f"{value:f}" if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
