"""The month's pods and nodes, from the sources into the lake.

Holds the order of things: read every file once, check and cast its rows, part them by day
on disk, then fold and write a day at a time. No table of the month is replaced before all
are written. What a row may hold is in ``contract.py``; devices of pods are not resolved
here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestration.engines.duckdb import connect
from orchestration.inventory.casts import MICROSECONDS_AN_HOUR
from orchestration.inventory.contract import CONTRACTS, Content, Contract
from orchestration.inventory.fold import fold
from orchestration.inventory.gaps import Gap, joined, read_gaps
from orchestration.inventory.maps import EMPTY_MAP, canonical_json
from orchestration.inventory.readers import read_batches
from orchestration.inventory.rows import rows_in_month
from orchestration.inventory.sources.interface import Kind, Progress, Source, SourceFile
from orchestration.inventory.spool import Spool
from orchestration.inventory.tables import codes_of, sorted_codes, write_table
from orchestration.kubernetes.accelerators import NodeProfile, devices
from orchestration.kubernetes.sharing import sharing_labels
from orchestration.lake.cells import CODED
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import HOUR, INVENTORY_FILES, INVENTORY_GAPS, STRING

_MICROSECONDS_A_DAY = 24 * MICROSECONDS_AN_HOUR

_FILES_TOLD = 100
"""Of more files, as collectors write them by the hour, only each 100th is told."""


@dataclass(frozen=True)
class InventoryRead:
    """What was read of a month's inventory.

    Attributes:
        pod_hours: Rows of ``raw/pod_hours``; 0 for a month without pods.
        node_hours: Rows of ``raw/node_hours``.
        quota_hours: Rows of ``raw/quota_hours``.
        file_count: Files read.
        days_with_pods: Days of the month that have pods.
        repeated_rows: Rows that repeated another word for word, and were folded.
        rows_of_other_months: Rows that were left out because their hour is not the month's.
        gaps: Rows of ``raw/inventory_gaps``.
    """

    pod_hours: int
    node_hours: int
    quota_hours: int
    file_count: int
    days_with_pods: int
    repeated_rows: int
    rows_of_other_months: int
    gaps: int


@dataclass(frozen=True)
class _FileRead:
    """What was read of one file."""

    sha256: str
    row_count: int
    rows_in_month: int
    clusters: frozenset[str]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class _Written:
    """What became of one kind of rows."""

    rows: int
    days: int
    repeated_rows: int


def ingest_inventory(
    sources: Iterable[Source],
    month: Month,
    lake: Lake,
    scratch: Path,
    progress: Progress = lambda _: None,
) -> InventoryRead:
    """Read the inventory of a month into the lake.

    Writes ``raw/pod_hours``, ``raw/node_hours``, ``raw/quota_hours``,
    ``raw/inventory_files`` and ``raw/inventory_gaps``. The same rows give the same bytes of
    the first three, whatever files, formats and order they come in.

    Args:
        sources: Where the rows come from; rows of other months are left out.
        month: The month to read.
        lake: The lake to write to; its ``landing`` keeps copies of remote files.
        scratch: Folder for about the size of the inventory while it is read.
        progress: Told each file read, each table written, and a month without pods.

    Raises:
        PodledgerError: A source cannot be read, a value is not what the contract allows, or
            two rows of one key differ. The month keeps what it had.
    """
    landing = lake.home / "landing" / "inventory"
    files = sorted(
        file for source in sources for file in source.fetch(month, landing, progress)
    )
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="inventory-") as folder:
        work = Path(folder)
        with (
            Spool(work / "pod_hours") as pods,
            Spool(work / "node_hours") as nodes,
            Spool(work / "quota_hours") as quotas,
            connect(work / "duckdb") as connection,
        ):
            spools: dict[Kind, Spool] = {
                "pod_hours": pods,
                "node_hours": nodes,
                "quota_hours": quotas,
            }
            reads = []
            for position, file in enumerate(files):
                rows = read_batches(file, CONTRACTS[file.kind], work, connection)
                read = _read_file(file, position, rows, month, spools[file.kind])
                reads.append(read)
                if len(files) <= _FILES_TOLD or (position + 1) % _FILES_TOLD == 0:
                    progress(
                        f"{position + 1} of {len(files)} files: {file},"
                        f" {read.row_count:,} rows, {read.rows_in_month:,} of {month}"
                    )
        with ExitStack() as replaced:
            folders = {
                table: replaced.enter_context(lake.replace(f"raw/{table}", month))
                for table in (*CONTRACTS, "inventory_files", "inventory_gaps")
            }
            written = {
                kind: _write_days(CONTRACTS[kind], spool, month, files, folders[kind])
                for kind, spool in spools.items()
            }
            unknown = _unknown_quotas(folders["quota_hours"])
            write_table(
                _file_table(files, reads),
                folders["inventory_files"] / "inventory_files.parquet",
            )
            gaps = _gap_table(files, reads, month)
            write_table(gaps, folders["inventory_gaps"] / "inventory_gaps.parquet")
    for kind, result in written.items():
        # Quotas are an option: a month without any is told nothing of them.
        if result.rows or kind != "quota_hours":
            progress(f"raw/{kind}: {result.rows:,} rows")
    if unknown:
        progress(
            "Warning: how many devices these quotas are only a node could tell, so they are"
            f" left out: {', '.join(unknown[:3])}"
        )
    inventory = InventoryRead(
        pod_hours=written["pod_hours"].rows,
        node_hours=written["node_hours"].rows,
        quota_hours=written["quota_hours"].rows,
        file_count=len(files),
        days_with_pods=written["pod_hours"].days,
        repeated_rows=sum(result.repeated_rows for result in written.values()),
        rows_of_other_months=sum(read.row_count - read.rows_in_month for read in reads),
        gaps=len(gaps),
    )
    if not inventory.pod_hours:
        progress(_no_pods(inventory, month))
    return inventory


def _no_pods(inventory: InventoryRead, month: Month) -> str:
    """A month without pods is legal, and more often a wrong path or a wrong month."""
    return (
        f"Warning: the inventory holds no pod of {month}, so all its node cost will be"
        f" unallocated. Files read: {inventory.file_count:,}; rows of other months:"
        f" {inventory.rows_of_other_months:,}. If pods did run, check"
        " PODLEDGER_PODS and the month."
    )


def _read_file(
    file: SourceFile,
    position: int,
    batches: Iterable[pa.RecordBatch],
    month: Month,
    spool: Spool,
) -> _FileRead:
    """Check and cast one file's rows of the month, and part them by day."""
    row_count = kept_count = 0
    clusters: set[str] = set()
    for batch in batches:
        numbers = np.arange(row_count, row_count + len(batch)) + 1
        row_count += len(batch)
        rows = rows_in_month(batch, numbers, file, position, month)
        if len(rows):
            kept_count += len(rows)
            clusters.update(filter(None, pc.unique(rows["cluster_name"]).to_pylist()))
            spool.append(rows, _days(rows["usage_hour"], month))
    with file.path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    gaps: list[Gap] = []
    if file.file_format == "parquet":
        gaps = read_gaps(pq.read_schema(file.path).metadata, str(file))
    return _FileRead(sha256, row_count, kept_count, frozenset(clusters), tuple(gaps))


def _days(hours: pa.TimestampArray, month: Month) -> NDArray[np.int64]:
    """Days since the month's first."""
    start = pa.scalar(month.start.replace(tzinfo=None), HOUR).cast(pa.int64()).as_py()
    since = np.asarray(hours.cast(pa.int64())) - start
    return cast("NDArray[np.int64]", since // _MICROSECONDS_A_DAY)


def _write_days(
    contract: Contract,
    spool: Spool,
    month: Month,
    files: Sequence[SourceFile],
    folder: Path,
) -> _Written:
    """Write one file a day that has rows; if none has, an empty one, for SQL to bind to."""
    days = spool.close()
    rows = repeated_rows = 0
    for day in days:
        folded = fold(spool.read(day), contract, files)
        rows += len(folded.table)
        repeated_rows += folded.repeated_rows
        write_table(_as_in_lake(folded.table, contract), folder / _file_of(month, day))
    if not days:
        write_table(contract.schema.empty_table(), folder / _file_of(month, 0))
    return _Written(rows, len(days), repeated_rows)


def _file_of(month: Month, day: int) -> str:
    return f"{month.days[day].isoformat()}.parquet"


def _as_in_lake(table: pa.Table, contract: Contract) -> pa.Table:
    """The lake's columns, text still coded; columns that no file has are derived."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    if contract.kind == "node_hours":
        columns["sharing_labels"] = _sharing_labels(
            *(columns[name].combine_chunks() for name in ("labels", "allocatable"))
        )
    if contract.kind == "quota_hours":
        columns["devices_hard"] = _devices_hard(
            columns["accelerators_hard"].combine_chunks()
        )
    return pa.table(
        [columns[field.name] for field in contract.schema],
        schema=pa.schema(
            field.with_type(CODED) if field.type == STRING else field
            for field in contract.schema
        ),
    )


def _sharing_labels(
    labels: pa.DictionaryArray, allocatable: pa.DictionaryArray
) -> pa.DictionaryArray:
    """Of each node-hour's maps, what decides how a device request on it counts."""
    pairs, of_row = np.unique(
        codes_of(labels).astype(np.int64) * len(allocatable.dictionary)
        + codes_of(allocatable),
        return_inverse=True,
    )
    texts = []
    for pair in pairs:
        label_code, allocatable_code = divmod(int(pair), len(allocatable.dictionary))
        kept = sharing_labels(
            json.loads(labels.dictionary[label_code].as_py()),
            json.loads(allocatable.dictionary[allocatable_code].as_py()),
        )
        texts.append(canonical_json(json.dumps(kept), Content.LABELS))
    distinct = pa.array(texts, STRING).dictionary_encode()
    return sorted_codes(
        pa.DictionaryArray.from_arrays(
            distinct.indices.take(pa.array(of_row)), distinct.dictionary
        )
    )


def _devices_hard(accelerators: pa.DictionaryArray) -> pa.DoubleArray:
    """Each quota on accelerators in physical devices; null without, or if unknown."""
    counted = [
        devices(json.loads(text), NodeProfile())
        for text in accelerators.dictionary.to_pylist()
    ]
    known = [
        one.devices if one.is_recognized and text != EMPTY_MAP else None
        for one, text in zip(counted, accelerators.dictionary.to_pylist(), strict=True)
    ]
    return pa.array(known, pa.float64()).take(accelerators.indices)


def _unknown_quotas(folder: Path) -> list[str]:
    """Quotas on accelerators that only the node could tell the devices of."""
    texts: set[str] = set()
    for path in sorted(folder.iterdir()):
        table = pq.read_table(path, columns=["accelerators_hard", "devices_hard"])
        unknown = table.filter(table["devices_hard"].is_null())["accelerators_hard"]
        texts.update(pc.unique(unknown).to_pylist())
    return sorted(texts - {EMPTY_MAP})


def _file_table(files: Sequence[SourceFile], reads: Sequence[_FileRead]) -> pa.Table:
    """``raw/inventory_files``."""
    return pa.Table.from_pylist(
        [
            {
                "source": file.source,
                "source_file": file.name,
                "kind": file.kind,
                "size_bytes": file.path.stat().st_size,
                "sha256": read.sha256,
                "row_count": read.row_count,
                "rows_in_month": read.rows_in_month,
            }
            for file, read in zip(files, reads, strict=True)
        ],
        schema=INVENTORY_FILES,
    )


def _gap_table(
    files: Sequence[SourceFile], reads: Sequence[_FileRead], month: Month
) -> pa.Table:
    """``raw/inventory_gaps``: a gap of no named cluster is every one's of its source."""
    clusters: defaultdict[str, set[str]] = defaultdict(set)
    gaps: defaultdict[str, set[Gap]] = defaultdict(set)
    for file, read in zip(files, reads, strict=True):
        clusters[file.source] |= read.clusters
        gaps[file.source].update(read.gaps)
    rows = [
        {
            "source": source,
            "cluster_name": gap.cluster_name or None,
            "instance_id": gap.instance_id or None,
            "gap_start": gap.start.replace(tzinfo=None),
            "gap_end": gap.end.replace(tzinfo=None),
            "subject": gap.subject,
            "consequence": gap.consequence,
        }
        for source, told in sorted(gaps.items())
        for gap in joined(
            replace(
                gap,
                start=max(gap.start, month.start),
                end=min(gap.end, month.end),
                cluster_name=cluster,
            )
            for gap in told
            if gap.start < month.end and gap.end > month.start
            for cluster in ([gap.cluster_name] if gap.cluster_name else clusters[source])
            or [""]
        )
    ]
    return pa.Table.from_pylist(rows, schema=INVENTORY_GAPS)
