"""The files of one hour, as the file source reads them.

Holds their names, their bytes, and where their gaps are told:

    <root>/cluster=<name>/day=2026-10-01/pod_hours_2026-10-01T05.parquet
                                         node_hours_2026-10-01T05.parquet
                                         quota_hours_2026-10-01T05.parquet if watched

An hour without pods has a file without rows: the collector was there. Gaps are told in
the Parquet metadata, as ``inventory/gaps.py`` says.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.collector.hours import Hour
from orchestration.collector.quantities import utc
from orchestration.inventory.gaps import Gap, gap_metadata
from orchestration.inventory.sources.interface import Kind


def hour_files(cluster: str, hour: int, content: Hour) -> Iterator[tuple[str, bytes]]:
    """The names and the bytes of an hour's files; the same hour gives the same bytes."""
    tables: dict[Kind, pa.Table] = {
        "node_hours": content.node_hours,
        "pod_hours": content.pod_hours,
    }
    if content.quota_hours is not None:
        tables["quota_hours"] = content.quota_hours
    for kind, table in tables.items():
        yield file_name(cluster, kind, hour), _parquet(table, cluster, content.gaps)


def file_name(cluster: str, kind: Kind, hour: int) -> str:
    """Name of an hour's file below the root."""
    start = utc(hour)
    return (
        f"{cluster_folder(cluster)}/day={start:%Y-%m-%d}/{kind}_{start:%Y-%m-%dT%H}.parquet"
    )


def cluster_folder(cluster: str) -> str:
    """Folder of a cluster below the root."""
    return f"cluster={quote(cluster, safe='')}"


def _parquet(table: pa.Table, cluster: str, gaps: Sequence[Gap]) -> bytes:
    named = [replace(gap, cluster_name=cluster) for gap in gaps]
    described = table.replace_schema_metadata(gap_metadata(named))
    buffer = io.BytesIO()
    pq.write_table(described, buffer, compression="zstd")
    return buffer.getvalue()
