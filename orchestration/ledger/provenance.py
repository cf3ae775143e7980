"""What a month's figures were made from: deliveries, inventory, method and code.

Holds the reading of ``raw/bill_files``, ``raw/inventory_files``, ``raw/ownership``, the
policy and what was bought ahead of time, the version of the code, and the fingerprint of
all but the code: two closes with one fingerprint differ only if podledger changed what it
makes of the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import DBT_PROJECT_DIR, PROJECT_DIR
from orchestration.ledger.manifest import (
    AppliedPolicy,
    DeliveredFile,
    Delivery,
    InventoryFile,
    Manifest,
)

_CODE = (
    (PROJECT_DIR / "orchestration", {".py"}),
    (DBT_PROJECT_DIR, {".sql", ".yml", ".csv"}),
)
"""Folders and endings of the files of the program."""

_DBT_OUTPUT = {"target", "logs", "dbt_packages"}
"""Folders in which dbt writes what it made of the project."""


@dataclass(frozen=True)
class Provenance:
    """Everything that the figures of a month follow from."""

    deliveries: tuple[Delivery, ...]
    inventory: tuple[InventoryFile, ...]
    method_version: int
    code_version: str
    labels: tuple[str, ...]
    ownership_sha256: str
    reservations_sha256: str
    capacity_block_fees_sha256: str
    policy: AppliedPolicy | None

    @property
    def fingerprint(self) -> str:
        """Of this, as ``fingerprint_of`` has it."""
        return fingerprint_of(self)


def fingerprint_of(made_from: Provenance | Manifest) -> str:
    """SHA-256 in hex over contents, not places, and not over the program's text.

    A bill that was copied to another folder is the same bill, so neither roots nor paths
    of the inventory take part.

    Args:
        made_from: What a close read, or what a published revision says that it was made
            from.
    """
    return hashlib.sha256(json.dumps(_facts(made_from)).encode()).hexdigest()


def what_differs(one: Provenance | Manifest, other: Provenance | Manifest) -> list[str]:
    """In words, of which inputs two closes of a month differ."""
    ours, theirs = _facts(one), _facts(other)
    return [words for name, words in _INPUTS.items() if ours[name] != theirs[name]]


_INPUTS = {
    "deliveries": "the bill's deliveries",
    "inventory": "the pod inventory",
    "method_version": "the method",
    "labels": "PODLEDGER_LABELS",
    "ownership": "the ownership file",
    "reservations": "reservations and Dedicated Hosts",
    "capacity_block_fees": "fees of Capacity Blocks",
    "policy": "the policy",
}
"""What figures follow from, by its name in the fingerprint, and in words."""


def _facts(made_from: Provenance | Manifest) -> dict[str, Any]:
    nothing = _digest_of([])
    return {
        "deliveries": sorted(
            [
                delivery.bill_export,
                delivery.delivery_id,
                sorted(
                    [Path(file.source_file).name, file.size_bytes, file.sha256]
                    for file in delivery.files
                ),
            ]
            for delivery in made_from.deliveries
        ),
        "inventory": sorted(
            [file.kind, Path(file.source_file).name, file.size_bytes, file.sha256]
            for file in made_from.inventory
        ),
        "method_version": made_from.method_version,
        "labels": made_from.labels,
        "ownership": made_from.ownership_sha256,
        # Revisions from before these were read knew of none.
        "reservations": made_from.reservations_sha256 or nothing,
        "capacity_block_fees": made_from.capacity_block_fees_sha256 or nothing,
        "policy": made_from.policy.sha256 if made_from.policy else nothing,
    }


def read_provenance(
    lake: Lake,
    month: Month,
    *,
    method_version: int,
    code_version: str,
    labels: Sequence[str],
    name_of_root: Callable[[str], str],
) -> Provenance:
    """Gather what the month in the lake was read from.

    Args:
        lake: That holds the month.
        month: The month.
        method_version: Of the split.
        code_version: Of podledger.
        labels: That daily costs keep.
        name_of_root: How the manifest names a root of bill or pods.

    Raises:
        PodledgerError: The lake holds no bill of the month.
    """
    bill_files = _rows(lake, "raw/bill_files", month)
    if not bill_files:
        raise PodledgerError(
            f"The lake at {lake.root} has no bill files of {month}, so there is nothing to"
            f" publish. Run the whole close: podledger close {month}."
        )
    return Provenance(
        deliveries=tuple(_deliveries(bill_files, name_of_root)),
        inventory=tuple(
            InventoryFile(
                **{name: row[name] for name in InventoryFile.model_fields}
                | {"source": name_of_root(row["source"])}
            )
            for row in sorted(
                _rows(lake, "raw/inventory_files", month),
                key=lambda row: (row["source"], row["kind"], row["source_file"]),
            )
        ),
        method_version=method_version,
        code_version=code_version,
        labels=tuple(labels),
        ownership_sha256=_digest_of(_rows(lake, "raw/ownership", month)),
        reservations_sha256=_digest_of(_reserved(lake, month)),
        capacity_block_fees_sha256=_digest_of(
            _rows(lake, "raw/capacity_block_fees", month)
        ),
        policy=_policy(lake, month),
    )


def _policy(lake: Lake, month: Month) -> AppliedPolicy | None:
    for row in _rows(lake, "policy", month):
        return AppliedPolicy(**{name: row[name] for name in AppliedPolicy.model_fields})
    return None


def _reserved(lake: Lake, month: Month) -> list[dict[str, Any]]:
    """Reservations and hosts of the month, without what changes as time passes.

    EC2 calls a block active, and later expired: the figures are the same.
    """
    return [
        {name: value for name, value in row.items() if name != "state"}
        for table in ("raw/capacity_reservations", "raw/dedicated_hosts")
        for row in _rows(lake, table, month)
    ]


def _digest_of(rows: list[dict[str, Any]]) -> str:
    """SHA-256 in hex of rows in their order."""
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


@cache
def code_version() -> str:
    """Package version and a digest of the sources, like ``0.1.0+3f9c0a1b2c3d4e5f``.

    The digest tells a locally changed checkout from a released one.
    """
    digest = hashlib.sha256()
    for folder, endings in _CODE:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.suffix in endings and inside.parts[0] not in _DBT_OUTPUT:
                name = path.relative_to(PROJECT_DIR).as_posix()
                digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version('podledger')}+{digest.hexdigest()[:16]}"


def _deliveries(
    rows: list[dict[str, Any]], name_of_root: Callable[[str], str]
) -> Iterator[Delivery]:
    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return row["bill_export"], row["root"], row["layout"], row["delivery_id"]

    for (bill_export, root, layout, delivery_id), files in groupby(
        sorted(rows, key=lambda row: (key(row), row["source_file"])), key=key
    ):
        yield Delivery(
            bill_export=bill_export,
            root=name_of_root(root),
            layout=layout,
            delivery_id=delivery_id,
            files=tuple(
                DeliveredFile(**{name: row[name] for name in DeliveredFile.model_fields})
                for row in files
            ),
        )


def _rows(lake: Lake, table: str, month: Month) -> list[dict[str, Any]]:
    return [
        row
        for path in lake.files(table, month)
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
