"""Publishing a month: what passed its controls becomes one more immutable revision.

Holds the order of events. The last looks before the rename are in ``gate.py``, folders and
renames in ``ledger/book.py``, files in ``export.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from orchestration.close.bases import read_missing_bases, sum_laws
from orchestration.close.controls import Control, read_controls, require_all_passed
from orchestration.close.export import EXPORTERS, Exporter, Source
from orchestration.close.finality import read_facts, warnings_of
from orchestration.close.gate import (
    lake_files,
    read_laws,
    require_nulls,
    require_this_bill,
    require_this_method,
    require_totals,
)
from orchestration.engines.warehouse import open_warehouse
from orchestration.lake.errors import PodledgerError
from orchestration.lake.inputs import name_of_root
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import (
    Revision,
    add_revision,
    latest,
    only_writer,
    place,
    seal,
    verify,
    workspace,
)
from orchestration.ledger.diff import compare_with_unpublished
from orchestration.ledger.journal import Signature, add_entry
from orchestration.ledger.manifest import Manifest
from orchestration.ledger.provenance import (
    Provenance,
    code_version,
    fingerprint_of,
    read_provenance,
    what_differs,
)
from orchestration.ledger.reproductions import note_reproduction, reproductions
from orchestration.ledger.status import decide, is_settled

_NO_SPACE_OR_MEMORY = (OSError, duckdb.IOException, duckdb.OutOfMemoryException)
_NO_SUCH_MART = (duckdb.CatalogException, duckdb.BinderException)

UNSIGNED = Signature("podledger")
"""Of those who publish without a run, as tests do."""

_KILLED = Signature("unknown: the run ended before it wrote this entry")


@dataclass(frozen=True)
class Publication:
    """What publishing a month came to.

    Attributes:
        month: The month.
        revision: Number of the revision that now holds its figures.
        path: Folder of that revision, or that of its copy.
        address: Where it was published, for people.
        is_new: False if the latest revision has the same figures, and stays.
        is_reproduced: True if they were made again, by another version of podledger.
        replaces: The revision before it, None for the first.
        manifest: The revision's manifest.
    """

    month: Month
    revision: int
    path: Path
    address: str
    is_new: bool
    is_reproduced: bool
    replaces: int | None
    manifest: Manifest

    @classmethod
    def of(
        cls,
        revision: Revision,
        month: Month,
        *,
        is_new: bool,
        is_reproduced: bool = False,
    ) -> Publication:
        """Tell of a revision in the ledger."""
        return cls(
            month=month,
            revision=revision.number,
            path=revision.path,
            address=revision.address,
            is_new=is_new,
            is_reproduced=is_reproduced,
            replaces=revision.manifest.replaces,
            manifest=revision.manifest,
        )


@dataclass(frozen=True)
class _Work:
    """What a revision is about to be made of, for whom, and why."""

    settings: Settings
    month: Month
    made_from: Provenance
    controls: Sequence[Control]
    signature: Signature
    progress: Callable[[str], None]


def publish(
    settings: Settings,
    month: Month,
    progress: Callable[[str], None],
    exporters: Sequence[Exporter] = EXPORTERS,
    signature: Signature = UNSIGNED,
) -> Publication:
    """Publish the month as it stands in lake and warehouse, if every control lets it.

    Args:
        settings: Where lake, warehouse and published files are, and the method.
        month: The month.
        progress: Called with one line for work that takes a while.
        exporters: The parts of a revision, in the order in which they are written.
        signature: Who publishes, and why a month that is final changes.

    Raises:
        PodledgerError: A blocking control failed or did not run, marts and lake do not
            belong together, the law of the month is broken, the month is final and nobody
            gave a reason to change it, or a file cannot be written. Nothing was published,
            and earlier revisions are untouched.
    """
    found = read_controls(settings.warehouse, month)
    require_all_passed(found, month, settings.method)
    made_from = read_provenance(
        Lake(settings.home, settings.remote),
        month,
        method_version=settings.method,
        code_version=code_version(),
        labels=settings.labels,
        name_of_root=partial(name_of_root, settings),
    )
    try:
        with only_writer(settings.published, month, progress):
            before = latest(settings.published, month, settings.remote)
            if before:
                # A run that was killed may owe the entry of the revision that it published.
                add_entry(settings.published, month, before, _KILLED, settings.remote)
            if before and _is_known_to_follow(before, made_from):
                progress(f"Nothing changed since revision {before.number}; checking it")
                verify(before)
                return Publication.of(before, month, is_new=False)
            work = _Work(settings, month, made_from, found, signature, progress)
            if before and fingerprint_of(before.manifest) != made_from.fingerprint:
                _require_reason(work, before)
            return _add(work, before, exporters)
    except _NO_SPACE_OR_MEMORY as error:
        raise PodledgerError(
            f"{month} was not published below"
            f" {place(settings.published, settings.remote)}: {_reason(error)}. Earlier"
            " revisions are unchanged. Free disk space or memory, or allow writing, and"
            " close the month again."
        ) from error
    except _NO_SUCH_MART as error:
        raise PodledgerError(
            f"{month} was not published: the warehouse {settings.warehouse} does not hold"
            f" what a revision is made of ({_reason(error)}). Run the whole close:"
            f" podledger close {month}."
        ) from error


def _is_known_to_follow(before: Revision, made_from: Provenance) -> bool:
    """Whether this very program is known to make a revision's figures of these inputs."""
    if fingerprint_of(before.manifest) != made_from.fingerprint:
        return False
    versions = {one.code_version for one in reproductions(before)}
    return made_from.code_version in {before.manifest.code_version, *versions}


def _require_reason(work: _Work, before: Revision) -> None:
    """Refuse to change a month that is final, unless somebody says why.

    Raises:
        PodledgerError: It is, and nobody does.
    """
    if work.signature.reason or not is_settled(before.manifest):
        return
    assert before.manifest.status is not None, "what is settled has a status"
    month, made_from = work.month, work.made_from
    differs = what_differs(before.manifest, made_from)
    raise PodledgerError(
        f"{month} is {before.manifest.status.name} (revision {before.number}), and this"
        f" close would change it: {', '.join(differs) or 'podledger itself'} differ from"
        " what that revision was made of. Nothing was published. To restate the month, say"
        f" why: podledger close {month} --restate 'reason'. In Dagster, give the run the"
        " tag podledger/restate."
    )


def _add(
    work: _Work, before: Revision | None, exporters: Sequence[Exporter]
) -> Publication:
    """Write the parts beside the revisions, look at them once more, and rename.

    Where only the program differs from what the revision before was made by, its figures
    are compared first: those that are the same are no revision of their own.
    """
    settings, month, made_from = work.settings, work.month, work.made_from
    published, remote = settings.published, settings.remote
    lake = Lake(settings.home, remote)
    with (
        workspace(published, month) as folder,
        open_warehouse(settings.warehouse, settings.home / "scratch") as connection,
    ):
        require_this_bill(connection, lake, month)
        require_this_method(connection, lake, month, settings.method)
        laws = read_laws(connection, month)
        missing = read_missing_bases(connection, month)
        require_nulls(laws, missing, month)
        source = Source(connection, month, work.progress)
        tallies = {part.name: part.export(source, folder) for part in exporters}
        require_totals(tallies, laws, month)
        lines = lake_files(lake, "raw/bill_lines", month)
        work.progress("Flushing the files to disk")
        manifest = Manifest(
            month=month.label,
            revision=before.number + 1 if before else 1,
            replaces=before.number if before else None,
            status=decide(
                month,
                read_facts(connection, lines, laws, work.controls),
                limit_percent=settings.at_risk_percent,
                before=before.manifest if before else None,
                now=dt.datetime.now(dt.UTC),
            ),
            fingerprint=made_from.fingerprint,
            method_version=made_from.method_version,
            code_version=made_from.code_version,
            labels=made_from.labels,
            ownership_sha256=made_from.ownership_sha256,
            reservations_sha256=made_from.reservations_sha256,
            capacity_block_fees_sha256=made_from.capacity_block_fees_sha256,
            policy=made_from.policy,
            deliveries=made_from.deliveries,
            inventory=made_from.inventory,
            row_counts={name: tally.row_count for name, tally in tallies.items()},
            totals=sum_laws(laws),
            missing_bases=missing,
            warnings=warnings_of(work.controls),
            files=seal(folder),
        )
        if before and fingerprint_of(before.manifest) == made_from.fingerprint:
            work.progress(f"Comparing the figures with those of revision {before.number}")
            if not any(compare_with_unpublished(before, folder, manifest, work.progress)):
                verify(before)
                note_reproduction(before, made_from.code_version)
                return Publication.of(before, month, is_new=False, is_reproduced=True)
            _require_reason(work, before)
        revision = add_revision(folder, published, month, manifest, remote)
        add_entry(published, month, revision, work.signature, remote)
        return Publication.of(revision, month, is_new=True)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0].rstrip(". ")
