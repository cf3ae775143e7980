"""Proof that what was published is still what lies there.

Holds the checks of a month's folder: every file against its manifest, every manifest
against the journal, and the journal's entries against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.ledger.book import Revision, revisions, strangers, verify
from orchestration.ledger.journal import Entry, manifest_digest, read_journal


def problems(published: Path, month: Month, remote: str | None = None) -> Iterator[str]:
    """What is wrong with a month's revisions and journal, a sentence each; none if all is
    as it was published.

    A revision that was published before the month had a journal has no entry.
    """
    try:
        found = revisions(published, month, remote)
        journal = read_journal(published, month, remote)
    except PodledgerError as error:
        yield str(error)
        return
    for revision in found:
        try:
            verify(revision)
        except PodledgerError as error:
            yield str(error)
        for name in strangers(revision):
            yield (
                f"{revision.address}/{name} is not a file of revision {revision.number} of"
                f" {month}. Move it elsewhere: nobody vouches for it."
            )
    yield from _journal_problems(month, found, journal)


def _journal_problems(
    month: Month, found: list[Revision], journal: list[Entry]
) -> Iterator[str]:
    known = {revision.number: revision for revision in found}
    noted = {entry.revision for entry in journal}
    for number in sorted(noted - known.keys()):
        yield (
            f"Revision {number} of {month} is in the journal, and its folder is not there."
            " Restore it from a backup."
        )
    if journal:
        for number in sorted(known.keys() - noted):
            if number > journal[0].revision:
                yield (
                    f"Revision {number} of {month} has no entry in the journal. Restore the"
                    " entry from a backup. If it is the newest and its run was killed, the"
                    f" next close writes it: podledger close {month}."
                )
    previous = None
    for entry in journal:
        revision = known.get(entry.revision)
        if entry.month != month.label or entry.previous_sha256 != previous:
            yield (
                f"The journal of {month} is broken at revision {entry.revision}: an entry"
                " before it was changed or removed. Restore the journal from a backup."
            )
        if revision and manifest_digest(revision) != entry.manifest_sha256:
            yield (
                f"The manifest of revision {entry.revision} of {month} is not the one that"
                f" the journal knows ({revision.address}). Restore the revision from a"
                " backup."
            )
        previous = entry.sha256
