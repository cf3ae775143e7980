"""The lake's detail of a published month: pod-hours, what no pod claimed, bill lines.

Holds whether the lake still is what a revision was made from, and the relations that
explanations ask. DuckDB reads the lake's files as they lie; the warehouse stays closed, so
a close may run meanwhile. If it replaces the month, the explanation is refused.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from orchestration.engines.duckdb import connect
from orchestration.engines.warehouse import parquet
from orchestration.explain.lines import create_lines
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, POD_RESOURCES, RESOURCES
from orchestration.ledger.book import Revision, bring
from orchestration.ledger.provenance import (
    fingerprint_of,
    read_provenance,
    what_differs,
)
from orchestration.ledger.tables import CHARGES, REMAINDER

_TABLES = ("pod_costs", "unallocated_costs", "raw/bill_lines", "raw/bill_files")


@dataclass(frozen=True)
class Detail:
    """What can be asked of a month, in one connection.

    Views ``charges`` and ``remainder`` are the revision's. Where ``missing`` is None, there
    are ``pod_hours``, ``unallocated`` and ``lines`` of the lake, too. In each of them the
    columns of money are those of ``basis``.

    Attributes:
        connection: In memory, in UTC.
        revision: What is explained.
        basis: Cost basis of every amount.
        missing: Why there is no detail of the lake, as a sentence.
        has_earlier_fees: Whether fees on bills of earlier months are spread over hours of
            this one.
        node_days: What was read of nodes so far, by ``node_hours.py``: a day at a time.
    """

    connection: duckdb.DuckDBPyConnection
    revision: Revision
    basis: str
    missing: str | None
    has_earlier_fees: bool = False
    node_days: dict[tuple[str, dt.date], dict[str, list[dict[str, Any]]]] = field(
        default_factory=dict
    )


@contextmanager
def open_detail(
    revision: Revision,
    lake: Lake,
    month: Month,
    basis: str,
    name_of_root: Callable[[str], str],
) -> Iterator[Detail]:
    """Open a revision, and what the lake has of it.

    Args:
        revision: A published one.
        lake: Where its detail may be.
        month: Its month.
        basis: Cost basis, which the revision knows.
        name_of_root: How manifests name a root of bill or pods.

    Raises:
        PodledgerError: The revision has no charges, or the lake's month was replaced while
            it was read.
    """
    charges = [f for f in revision.manifest.files if f.part == CHARGES.name]
    if not charges:
        raise PodledgerError(
            f"Revision {revision.number} of {month} was published before there were"
            " charges, and has none to explain. Close the month again."
        )
    bring(revision, [f for f in revision.manifest.files if f.part == REMAINDER.name])
    bring(revision, charges)
    missing = _why_not_of(revision, lake, month, name_of_root)
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        for table in (CHARGES.name, REMAINDER.name):
            connection.execute(
                f"create view {table} as select *, {basis}_usd as usd"
                f" from {parquet(revision.path / f'{table}.parquet')}"
            )
        before, has_earlier_fees = None, False
        if missing is None:
            files = {table: lake.files(table, month) for table in _TABLES}
            before = _marks(files)
            _create_views(connection, files, basis)
            has_earlier_fees = _has_earlier_fees(connection, lake, month)
        yield Detail(connection, revision, basis, missing, has_earlier_fees)
        if before is not None and before != _marks(
            {table: lake.files(table, month) for table in _TABLES}
        ):
            raise PodledgerError(
                f"{month} was closed again while it was explained, and the explanation"
                " would mix two closes. Ask again."
            )


def _why_not_of(
    revision: Revision, lake: Lake, month: Month, name_of_root: Callable[[str], str]
) -> str | None:
    """Why the lake cannot tell the detail of a revision; None if it can."""
    manifest = revision.manifest
    told = f"revision {revision.number} of {month}"
    if not lake.files("raw/bill_files", month) or not lake.files("pod_costs", month):
        return (
            f"The lake at {lake.remote or lake.root} has nothing of {month}, so that pods,"
            f" node-hours and bill lines of {told} cannot be shown"
        )
    now = read_provenance(
        lake,
        month,
        method_version=manifest.method_version,
        code_version=manifest.code_version,
        labels=manifest.labels,
        name_of_root=name_of_root,
    )
    if now.fingerprint != fingerprint_of(manifest):
        differing = " and ".join(what_differs(now, manifest))
        return (
            f"The lake at {lake.remote or lake.root} has moved on from {told}: another"
            f" close changed {differing}. Pods, node-hours and bill lines of that revision"
            " are not there any more"
        )
    with duckdb.connect() as connection:
        versions = {
            version
            for (version,) in connection.execute(
                "select distinct method_version from"
                f" {parquet(*lake.files('pod_costs', month))}"
            ).fetchall()
        }
    if versions - {manifest.method_version}:
        return (
            f"The lake at {lake.remote or lake.root} has moved on from {told}: it was split"
            f" by version {', '.join(map(str, sorted(versions)))} of the method since, and"
            f" the revision by version {manifest.method_version}. Its pods and node-hours"
            " are not there any more"
        )
    return None


def _has_earlier_fees(
    connection: duckdb.DuckDBPyConnection, lake: Lake, month: Month
) -> bool:
    files = lake.files("raw/capacity_block_fees", month)
    if not files:
        return False
    found = connection.execute(
        f"select 1 from {parquet(*files)} where fee_month < date '{month.key}' limit 1"
    )
    return found.fetchone() is not None


def _marks(files: dict[str, list[Path]]) -> list[tuple[str, int, int, int]]:
    """What tells a file from the one that replaces it."""
    marks = []
    for path in (path for paths in files.values() for path in paths):
        try:
            found: os.stat_result = path.stat()
        except FileNotFoundError:
            continue
        marks.append((str(path), found.st_ino, found.st_size, found.st_mtime_ns))
    return marks


def _create_views(
    connection: duckdb.DuckDBPyConnection, files: dict[str, list[Path]], basis: str
) -> None:
    def total(part: str, resources: tuple[str, ...]) -> str:
        return " + ".join(
            f"coalesce({resource}_{basis}_{part}_usd, 0)::decimal(38, 10)"
            for resource in resources
        )

    money = ", ".join(
        f"{resource}_{other}_{part}_usd"
        for resource in RESOURCES
        for other in BASES
        for part in ("split", "unused")
    )
    storage = ", ".join(f"storage_{b}_split_usd" for b in BASES)
    parts = ", ".join(
        [
            *(
                f"{resource}_{basis}_{part}_usd as {resource}_{part}_usd"
                for resource in RESOURCES
                for part in ("split", "unused")
            ),
            f"storage_{basis}_split_usd as storage_split_usd",
        ]
    )
    connection.execute(f"""
        create view pod_hours as
        select * exclude ({money}, {storage}), usage_hour::date as usage_date, {parts},
            {total("split", POD_RESOURCES)} as split_usd,
            {total("unused", RESOURCES)} as unused_usd
        from {parquet(*files["pod_costs"])}
    """)
    others = ", ".join(f"{b}_usd" for b in BASES)
    connection.execute(f"""
        create view unallocated as
        select * exclude ({others}), usage_hour::date as usage_date,
            {basis}_usd::decimal(38, 10) as usd
        from {parquet(*files["unallocated_costs"])}
    """)
    create_lines(connection, files["raw/bill_lines"], files["raw/bill_files"], basis)
