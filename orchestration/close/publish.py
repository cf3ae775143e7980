"""Publishing a month: what passed its controls becomes one more immutable revision.

Holds the order of events and the last looks before the rename: that the marts belong to
the lake as it is now, that the law of the month holds, and that the written files carry
the totals. Folders and renames are in ``ledger/book.py``, files in ``export.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from orchestration.close.bases import (
    Laws,
    as_law,
    read_missing_bases,
    sum_laws,
    sum_totals,
)
from orchestration.close.controls import read_controls, require_all_passed
from orchestration.close.export import EXPORTERS, Exporter, Source, Tally
from orchestration.engines.warehouse import open_warehouse, parquet
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import exact
from orchestration.lake.inputs import name_of_root
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES
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
from orchestration.ledger.manifest import Manifest, MissingBasis
from orchestration.ledger.provenance import (
    Provenance,
    code_version,
    fingerprint_of,
    read_provenance,
)
from orchestration.ledger.reproductions import note_reproduction, reproductions
from orchestration.ledger.tables import (
    BASIS_COLUMNS,
    CHARGEBACK,
    CHARGES,
    REMAINDER,
    SCAD,
    SCAD_SPLIT_COLUMNS,
    SCAD_UNUSED_COLUMNS,
    UNALLOCATED,
)

_NO_SPACE_OR_MEMORY = (OSError, duckdb.IOException, duckdb.OutOfMemoryException)
_NO_SUCH_MART = (duckdb.CatalogException, duckdb.BinderException)


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


def publish(
    settings: Settings,
    month: Month,
    progress: Callable[[str], None],
    exporters: Sequence[Exporter] = EXPORTERS,
) -> Publication:
    """Publish the month as it stands in lake and warehouse, if every control lets it.

    Args:
        settings: Where lake, warehouse and published files are, and the method.
        month: The month.
        progress: Called with one line for work that takes a while.
        exporters: The parts of a revision, in the order in which they are written.

    Raises:
        PodledgerError: A blocking control failed or did not run, marts and lake do not
            belong together, the law of the month is broken, or a file cannot be written.
            Nothing was published, and earlier revisions are untouched.
    """
    require_all_passed(read_controls(settings.warehouse, month), month, settings.method)
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
            if before and _is_known_to_follow(before, made_from):
                progress(f"Nothing changed since revision {before.number}; checking it")
                verify(before)
                return Publication.of(before, month, is_new=False)
            return _add(settings, month, made_from, before, exporters, progress)
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


def _add(
    settings: Settings,
    month: Month,
    made_from: Provenance,
    before: Revision | None,
    exporters: Sequence[Exporter],
    progress: Callable[[str], None],
) -> Publication:
    """Write the parts beside the revisions, look at them once more, and rename.

    Where only the program differs from what the revision before was made by, its figures
    are compared first: those that are the same are no revision of their own.
    """
    scratch = settings.home / "scratch"
    with (
        workspace(settings.published, month) as folder,
        open_warehouse(settings.warehouse, scratch) as connection,
    ):
        _require_this_bill(connection, Lake(settings.home, settings.remote), month)
        _require_this_method(
            connection, Lake(settings.home, settings.remote), month, settings.method
        )
        laws = _laws(connection, month)
        missing = read_missing_bases(connection, month)
        _require_nulls(laws, missing, month)
        source = Source(connection, month, progress)
        tallies = {part.name: part.export(source, folder) for part in exporters}
        _require_totals(tallies, laws, month)
        progress("Flushing the files to disk")
        manifest = Manifest(
            month=month.label,
            revision=before.number + 1 if before else 1,
            replaces=before.number if before else None,
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
            files=seal(folder),
        )
        if before and fingerprint_of(before.manifest) == made_from.fingerprint:
            progress(f"Comparing the figures with those of revision {before.number}")
            if not any(compare_with_unpublished(before, folder, manifest, progress)):
                verify(before)
                note_reproduction(before, made_from.code_version)
                return Publication.of(before, month, is_new=False, is_reproduced=True)
        revision = add_revision(
            folder, settings.published, month, manifest, settings.remote
        )
        return Publication.of(revision, month, is_new=True)


def _require_this_bill(
    connection: duckdb.DuckDBPyConnection, lake: Lake, month: Month
) -> None:
    """Refuse marts that were built before the bill in the lake was read.

    The manifest names the deliveries of the lake: the figures have to be theirs. AWS's own
    split rows are no part of the bill.
    """
    in_marts, in_lake = connection.execute(
        f"""
        select
            (
                select coalesce(sum(bill_usd), 0) from rpt_month_totals
                where billing_month = date '{month.key}' and cost_basis = 'unblended'
            ),
            (
                select coalesce(sum(line_item_unblended_cost), 0)
                from {_lake_files(lake, "raw/bill_lines", month)}
                where coalesce(split_line_item_parent_resource_id, '') = ''
            )
        """
    ).fetchall()[0]
    if in_marts != in_lake:
        raise PodledgerError(
            f"{month} is not published: the bill in the lake is {exact(in_lake)} USD"
            f" unblended, and the marts were built from one of {exact(in_marts)} USD. The"
            " bill was read again after them. Run the whole close: podledger close"
            f" {month}."
        )


def _require_this_method(
    connection: duckdb.DuckDBPyConnection, lake: Lake, month: Month, method: int
) -> None:
    """Refuse costs that were split by another version than the manifest would name.

    Raises:
        PodledgerError: They were.
    """
    found = {
        version
        for table in ("pod_costs", "unallocated_costs")
        for (version,) in connection.execute(
            f"select distinct method_version from {_lake_files(lake, table, month)}"
        ).fetchall()
    }
    if found - {method}:
        raise PodledgerError(
            f"{month} is not published: its costs were split by version"
            f" {', '.join(str(version) for version in sorted(found))} of the method, and"
            f" PODLEDGER_METHOD is {method}. Run the whole close: podledger close {month}"
            f" --method {method}."
        )


def _lake_files(lake: Lake, table: str, month: Month) -> str:
    paths = lake.files(table, month)
    if not paths:
        raise PodledgerError(
            f"{month} is not published: the lake at {lake.root} has no {table} of it. Run"
            f" the whole close: podledger close {month}."
        )
    return parquet(*paths)


def _laws(connection: duckdb.DuckDBPyConnection, month: Month) -> Laws:
    """The law of the month for each payer and basis, after it held.

    Raises:
        PodledgerError: A payer lacks a basis, or its parts do not add up to its bill.
    """
    rows = connection.execute(
        f"""
        select
            payer_account_id,
            cost_basis,
            bill_usd,
            pods_split_usd,
            pods_unused_usd,
            unallocated_usd,
            remainder_usd
        from rpt_month_totals
        where billing_month = date '{month.key}'
        order by payer_account_id, cost_basis
        """
    ).fetchall()
    laws = {(payer, basis): as_law(figures) for payer, basis, *figures in rows}
    payers = sorted({payer for payer, _ in laws})
    missing = [
        f"payer {payer}, {basis}"
        for payer in payers
        for basis in BASES
        if (payer, basis) not in laws
    ]
    if not payers or missing or len(laws) != len(rows):
        raise PodledgerError(
            f"{month} is not published: rpt_month_totals must have one row a payer and cost"
            f" basis, and does not ({', '.join(missing) or f'{len(rows)} rows'}). Run the"
            f" whole close: podledger close {month}."
        )
    for payer, basis, *figures in rows:
        if None in figures and any(usd is not None for usd in figures):
            raise PodledgerError(
                f"{month} is not published: rpt_month_totals has some {basis} amounts of"
                f" payer {payer} and not others, and what is missing is not zero. Run the"
                f" whole close: podledger close {month}. If it stays so, a model is wrong."
            )
    for (payer, basis), law in laws.items():
        if law is not None and law.difference:
            raise PodledgerError(
                f"{month} is not published: the {basis} bill of payer {payer} is"
                f" {exact(law.bill)} USD, and its parts differ from it by"
                f" {exact(law.difference)} USD (pods {exact(law.pods)}, unallocated"
                f" {exact(law.unallocated)}, remainder {exact(law.remainder)})."
                " Compare fct_bill_remainder, fct_unallocated and pod_costs with"
                " raw/bill_lines."
            )
    return laws


def _require_nulls(laws: Laws, missing: Sequence[MissingBasis], month: Month) -> None:
    """Hold what has no amounts against what the exports cannot tell.

    Raises:
        PodledgerError: A basis is null that they tell, or has amounts that they do not.
    """
    without = {key for key, law in laws.items() if law is None}
    named = {(one.payer_account_id, one.cost_basis) for one in missing}
    for payer, basis in sorted(without ^ named):
        found = "has no amounts" if (payer, basis) in without else "has amounts"
        raise PodledgerError(
            f"{month} is not published: the {basis} cost of payer {payer} {found} in"
            " rpt_month_totals, and int_bases__known says otherwise. They are of different"
            f" runs, or a model is wrong. Run the whole close: podledger close {month}."
        )


def _require_totals(tallies: Mapping[str, Tally], laws: Laws, month: Month) -> None:
    """Hold the written files against the totals that the manifest will name.

    A column of which a payer has no amounts is held against the other payers' sum.

    Raises:
        PodledgerError: A money column of a file does not add up to its total, or is null
            where its basis is known.
    """
    totals = {
        basis: sum_totals([law for (_, b), law in laws.items() if b == basis and law])
        for basis in BASES
    }
    unknown = {basis for (_, basis), law in laws.items() if law is None}
    due = {
        SCAD.name: {
            **{c: (b, totals[b].pods_split) for b, c in SCAD_SPLIT_COLUMNS.items()},
            **{c: (b, totals[b].pods_unused) for b, c in SCAD_UNUSED_COLUMNS.items()},
        },
        UNALLOCATED.name: {c: (b, totals[b].unallocated) for c, b in BASIS_COLUMNS.items()},
        REMAINDER.name: {c: (b, totals[b].remainder) for c, b in BASIS_COLUMNS.items()},
        CHARGES.name: {c: (b, totals[b].bill) for c, b in BASIS_COLUMNS.items()},
        CHARGEBACK.name: {
            f"{basis}_{part}_usd": (basis, amount)
            for basis, law in totals.items()
            for part, amount in (
                ("split", law.pods_split),
                ("unused", law.pods_unused),
                ("total", law.pods),
            )
        },
    }
    for name, columns in due.items():
        for column, (basis, expected) in columns.items():
            actual = tallies[name].sums[column]
            if actual != expected:
                raise PodledgerError(
                    f"{month} is not published: {column} of {name} adds up to"
                    f" {exact(actual)} USD, and rpt_month_totals says {exact(expected)}."
                    " Marts and pod_costs are of different runs, or a model drops rows. Run"
                    f" the whole close: podledger close {month}."
                )
            nulls = tallies[name].nulls[column]
            if nulls and basis not in unknown:
                raise PodledgerError(
                    f"{month} is not published: {column} of {name} is null in {nulls} rows,"
                    f" and the {basis} cost of every payer is known. A model loses amounts."
                    f" Run the whole close: podledger close {month}."
                )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0].rstrip(". ")
