"""The journal of a month: who published each revision, when and why.

Holds its entries, one file a revision beside the revisions: ``journal/revision=001.json``.
An entry has the digest of its revision's manifest, which has the digests of the files, and
the digest of the entry before it: so no file, revision or entry can be changed or removed
without the journal showing it. Entries are written once, after their revision; one that a
killed run still owes is written by the next.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.ledger.book import Revision, month_folder
from orchestration.ledger.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from orchestration.lake.s3 import S3Home

FOLDER = "journal"


@dataclass(frozen=True)
class Signature:
    """Who publishes, and why.

    Attributes:
        by: A person, or what started the run.
        reason: Why a settled month is published again; None where nobody said.
    """

    by: str
    reason: str | None = None


class Entry(BaseModel):
    """One entry: a revision was published.

    ``published_at`` is UTC, in ISO 8601. ``previous_sha256`` is null for the first entry of
    a month; ``sha256`` is of the entry itself, without that field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    month: str
    revision: int
    replaces: int | None
    status: str | None
    published_at: str
    by: str
    reason: str | None
    manifest_sha256: str
    previous_sha256: str | None
    sha256: str = ""

    def sealed(self) -> Entry:
        """The entry with its digest."""
        fields = self.model_dump(exclude={"sha256"})
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        return self.model_copy(update={"sha256": digest})

    def to_bytes(self) -> bytes:
        """The entry as it is written."""
        fields = self.model_dump(mode="json")
        return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def read_journal(published: Path, month: Month, remote: str | None = None) -> list[Entry]:
    """Every entry of a month, oldest first.

    Raises:
        PodledgerError: One is damaged.
    """
    place = _place(published, month, remote)
    return sorted(
        (_parse(text, place.address(name)) for name, text in place.read_all()),
        key=lambda entry: entry.revision,
    )


def add_entry(
    published: Path,
    month: Month,
    revision: Revision,
    signature: Signature,
    remote: str | None = None,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> Entry:
    """Note a published revision, once: an entry that is there stays as it is.

    Raises:
        PodledgerError: An earlier entry is damaged.
    """
    entries = read_journal(published, month, remote)
    for entry in entries:
        if entry.revision == revision.number:
            return entry
    status = revision.manifest.status
    last = max(
        (entry for entry in entries if entry.revision < revision.number),
        key=lambda entry: entry.revision,
        default=None,
    )
    entry = Entry(
        month=month.label,
        revision=revision.number,
        replaces=revision.manifest.replaces,
        status=status.name if status else None,
        published_at=now().astimezone(dt.UTC).isoformat(timespec="seconds"),
        by=signature.by,
        reason=signature.reason,
        manifest_sha256=manifest_digest(revision),
        previous_sha256=last.sha256 if last else None,
    ).sealed()
    _place(published, month, remote).write(f"revision={revision.number:03d}.json", entry)
    return entry


def manifest_digest(revision: Revision) -> str:
    """SHA-256 of a revision's manifest, as it was written."""
    return hashlib.sha256((revision.path / MANIFEST_NAME).read_bytes()).hexdigest()


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def address(self, name: str) -> str:
        return str(self.folder / name)

    def read_all(self) -> list[tuple[str, bytes]]:
        return [(path.name, path.read_bytes()) for path in self.folder.glob("*.json")]

    def write(self, name: str, entry: Entry) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        incoming = self.folder / f".{name}.incoming"
        incoming.write_bytes(entry.to_bytes())
        incoming.chmod(0o444)
        incoming.replace(self.folder / name)


class _Prefix:
    def __init__(self, prefix: S3Home) -> None:
        self.prefix = prefix

    def address(self, name: str) -> str:
        return self.prefix.address(name)

    def read_all(self) -> list[tuple[str, bytes]]:
        found = ((name, self.prefix.read(name)) for name in self.prefix.listing(""))
        return [(name, text) for name, text in found if text is not None]

    def write(self, name: str, entry: Entry) -> None:
        self.prefix.write_once(name, entry.to_bytes())


def _place(published: Path, month: Month, remote: str | None) -> _Folder | _Prefix:
    if remote is None:
        return _Folder(month_folder(published, month) / FOLDER)
    from orchestration.lake.s3 import S3Home

    folder = f"published/billing_month={month.label}/{FOLDER}"
    return _Prefix(S3Home(remote).below(folder))


def _parse(text: bytes, address: str) -> Entry:
    try:
        entry = Entry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(address, f"{where}: {first['msg']}") from error
    if entry.sealed() != entry or entry.to_bytes() != text:
        raise _damaged(address, "it is not what its own digest says")
    return entry


def _damaged(address: str, how: str) -> PodledgerError:
    return PodledgerError(
        f"The journal entry {address} was changed or is damaged ({how}). Restore it from a"
        " backup."
    )
