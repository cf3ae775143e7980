"""Which other versions of podledger made a revision's figures again, to the last digit.

Holds the notes of it, one file a version, beside the revisions, which never change:
``reproduced/revision=001/<version>.json``.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.ledger.book import Revision

if TYPE_CHECKING:
    from orchestration.lake.s3 import S3Home


@dataclass(frozen=True, order=True)
class Reproduction:
    """A revision's figures made again.

    Attributes:
        on: Day of it, UTC.
        code_version: Of podledger that made them.
    """

    on: dt.date
    code_version: str


def reproductions(revision: Revision) -> list[Reproduction]:
    """Who made the figures of a revision again, the first of them first."""
    if revision.origin:
        notes = _prefix(revision.origin)
        texts = [notes.read(key) for key in notes.listing("") if key.endswith(".json")]
    else:
        texts = [path.read_bytes() for path in _folder(revision).glob("*.json")]
    return sorted(_read(text) for text in texts if text is not None)


def note_reproduction(revision: Revision, code_version: str) -> None:
    """Note that a version made a revision's figures again; once is enough."""
    today = dt.datetime.now(dt.UTC).date()
    note = {"code_version": code_version, "reproduced_on": today.isoformat()}
    text = json.dumps(note).encode() + b"\n"
    name = f"{code_version}.json"
    if revision.origin:
        _prefix(revision.origin).write_once(name, text)
        return
    folder = _folder(revision)
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f"{name}.incoming"
    incoming.write_bytes(text)
    incoming.replace(folder / name)


def _folder(revision: Revision) -> Path:
    return revision.path.parent / "reproduced" / revision.path.name


def _prefix(origin: S3Home) -> S3Home:
    month, _, name = origin.root.rpartition("/")
    return type(origin)(month).below(f"reproduced/{name}")


def _read(text: bytes) -> Reproduction:
    note = json.loads(text)
    on = dt.date.fromisoformat(note["reproduced_on"])
    return Reproduction(on, note["code_version"])
