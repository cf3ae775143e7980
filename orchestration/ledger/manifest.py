"""``manifest.json``: what a published revision says of itself.

Holds the manifest's fields, its exact text and its reading. Where revisions lie is in
``book.py``; what is put into a manifest is gathered by ``provenance.py`` and
``close/publish.py``.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from orchestration.lake.errors import PodledgerError

MANIFEST_NAME = "manifest.json"

Money = Annotated[Decimal, PlainSerializer(lambda usd: f"{usd:f}", return_type=str)]
"""Exact USD; in JSON a string without an exponent, because a JSON number is a double."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeliveredFile(_Record):
    """One file of a bill delivery, as it was read."""

    source_file: str
    size_bytes: int
    sha256: str
    row_count: int


class Delivery(_Record):
    """One delivery of a bill export: all files that its own manifest names.

    ``root`` is as configured, or the path from the home on where it lies in there, as the
    sample's does. ``delivery_id`` is AWS's assembly id (legacy) or execution id (CUR 2.0).
    """

    bill_export: str
    root: str
    layout: str
    delivery_id: str
    files: tuple[DeliveredFile, ...]


class InventoryFile(_Record):
    """One file of a pod inventory; ``kind`` is ``pod_hours``, ``node_hours``
    or ``quota_hours``.

    ``source`` is as configured, or the path from the home on; ``source_file`` the path
    below it.
    """

    source: str
    source_file: str
    kind: str
    size_bytes: int
    sha256: str
    row_count: int


class PublishedFile(_Record):
    """One file of the revision; ``path`` is relative to the revision's folder."""

    path: str
    size_bytes: int
    sha256: str

    @property
    def part(self) -> str:
        """The published table that it belongs to."""
        return self.path.partition("/")[0].removesuffix(".parquet")


class BasisTotals(_Record):
    """The law of the month in one cost basis, in USD."""

    bill: Money
    pods_split: Money
    pods_unused: Money
    unallocated: Money
    remainder: Money

    @property
    def pods(self) -> Decimal:
        """What the pods cost, split and unused together."""
        return self.pods_split + self.pods_unused

    @property
    def difference(self) -> Decimal:
        """Bill less its parts; zero in every published month."""
        return self.bill - self.pods - self.unallocated - self.remainder


class MissingBasis(_Record):
    """A cost basis of a payer that its exports do not tell, and what they lack for it."""

    payer_account_id: str
    cost_basis: str
    exports: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def lacking(self) -> str:
        """What is missing where, in words."""
        return f"{', '.join(self.exports)} has no {', '.join(self.columns)}"


class AppliedPolicy(_Record):
    """The policy that the month was distributed by; ``sha256`` is of its rules."""

    name: str
    sha256: str
    text: str


class Status(_Record):
    """How far a month is, and what it waits for (``status.py``)."""

    name: Literal["open", "provisional", "final", "restated"]
    reasons: tuple[str, ...] = ()


class Manifest(_Record):
    """One revision of one month: what it was made from, and what it holds.

    ``fingerprint`` is the digest of everything that the figures follow from but the code.
    Revisions that were published before it was so have one that covers the code too.
    ``ownership_sha256`` is that of the entries in force, whatever their file looks like;
    ``reservations_sha256`` that of the reservations and Dedicated Hosts, and
    ``capacity_block_fees_sha256`` that of the fees of Capacity Blocks, those of earlier
    months included. Revisions that were published before these were known have neither, and
    those from before there was a policy have none.
    ``status`` is that of the day of publication, and ``warnings`` names the controls that
    did not pass and let the month be published; older revisions have neither.
    ``totals`` is over all payers, by cost basis: null where a payer's exports do not tell
    the basis, which ``missing_bases`` then names.
    """

    schema_version: Literal[1] = 1
    month: str
    revision: int
    replaces: int | None
    status: Status | None = None
    fingerprint: str
    method_version: int
    code_version: str
    labels: tuple[str, ...]
    ownership_sha256: str
    reservations_sha256: str | None = None
    capacity_block_fees_sha256: str | None = None
    policy: AppliedPolicy | None = None
    deliveries: tuple[Delivery, ...]
    inventory: tuple[InventoryFile, ...]
    row_counts: dict[str, int]
    totals: dict[str, BasisTotals | None]
    missing_bases: tuple[MissingBasis, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[PublishedFile, ...]

    def to_text(self) -> str:
        """The manifest as it is written: the same text for the same contents."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


_ADVICE = (
    "A published revision never changes: restore its folder from a backup, or move it"
    " out of the published folder and close the month again."
)


def read_manifest(revision: Path) -> Manifest:
    """Read the manifest of one revision's folder.

    Raises:
        PodledgerError: It is missing, is not valid JSON or lacks a field.
    """
    path = revision / MANIFEST_NAME
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise PodledgerError(
            f"{path} cannot be read ({error.strerror}). {_ADVICE}"
        ) from error


def parse_manifest(text: bytes, place: str) -> Manifest:
    """Read a manifest that lies at ``place``.

    Raises:
        PodledgerError: It is not valid JSON or lacks a field.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PodledgerError(
            f"{place} is damaged: {where}: {first['msg']}. {_ADVICE}"
        ) from error
