"""AWS's own split rows as a source: pods of a bill, with nothing installed in a cluster.

Holds the step from split cost allocation rows (two or three a pod-hour) to pod-hours. The
bill is read by the bill's own room, into a lake of its own that is left behind empty: what
AWS allocated is kept, and what it charged is not looked at.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.bill.exports import Delivery, find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.bill.remedies import remedy
from orchestration.engines.duckdb import connect
from orchestration.inventory.casts import SECONDS_AN_HOUR
from orchestration.inventory.gaps import Gap, stretches
from orchestration.inventory.sources.days import (
    DAY_NODE_HOURS,
    DAY_POD_HOURS,
    DayFolder,
    day_start,
)
from orchestration.inventory.sources.interface import Progress, SourceFile
from orchestration.kubernetes.accelerators import PHYSICAL_DEVICE
from orchestration.kubernetes.workloads import topmost
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month

_HOUR = dt.timedelta(hours=1)
_BATCH_ROWS = 65_536
_LABEL_PREFIX = "user_"
"""How AWS writes a Kubernetes label that became a cost allocation tag."""

_LINES = """
create table lines as
select
    line_item_resource_id as resource_id,
    regexp_extract(
        line_item_resource_id,
        '^arn:[^:]*:eks:([^:]*):([^:]*):pod/([^/]*)/([^/]*)/([^/]*)/([^/]+)$',
        ['region', 'account', 'cluster', 'namespace', 'pod', 'uid']
    ) as pod,
    regexp_extract(split_line_item_parent_resource_id, 'i-[0-9a-f]+$') as instance_id,
    split_line_item_parent_resource_id as parent,
    line_item_usage_type as usage_type,
    case regexp_extract(line_item_usage_type, 'EKS-EC2-(vCPU|GB|Accelerator)-Hours$', 1)
        when 'vCPU' then 'vcpu'
        when 'GB' then 'memory'
        when 'Accelerator' then 'accelerator'
    end as resource,
    line_item_usage_start_date as usage_hour,
    line_item_usage_end_date as ended_at,
    split_line_item_reserved_usage as reserved,
    split_line_item_actual_usage as used,
    coalesce(to_json(resource_tags), '{}')::varchar as tags,
    source_file
from read_parquet($files, hive_partitioning = false)
where
    split_line_item_parent_resource_id is not null
    and line_item_operation = 'EKSPod-EC2'
"""

_PROBLEMS = {
    "pod.uid = ''": ("line_item_resource_id", "resource_id", "no pod's ARN"),
    "instance_id = ''": ("split_line_item_parent_resource_id", "parent", "no EC2 instance"),
    "resource is null": ("line_item_usage_type", "usage_type", "no resource of a pod"),
    "ended_at <> usage_hour + interval 1 hour": (
        "line_item_usage_end_date",
        "ended_at",
        "not one hour after the start, and only hourly exports can be split",
    ),
    "reserved is null or not isfinite(reserved) or reserved < 0": (
        "split_line_item_reserved_usage",
        "reserved",
        "no quantity",
    ),
    "used is not null and (not isfinite(used) or used < 0)": (
        "split_line_item_actual_usage",
        "used",
        "no quantity",
    ),
}
"""What a split row may not be: the column, what it is called here, and what is wrong."""

_POD_HOURS = """
select
    instance_id,
    usage_hour,
    pod.uid as pod_uid,
    max(pod.region) as region,
    max(pod.account) as account_id,
    max(pod.cluster) as cluster_name,
    max(pod.namespace) as namespace,
    max(pod.pod) as pod_name,
    max(tags) as tags,
    -- An instance-hour that is billed in parts may be split in parts.
    sum(reserved order by reserved) filter (resource = 'vcpu') as vcpu_requested,
    sum(used order by used) filter (resource = 'vcpu') as vcpu_used,
    sum(reserved order by reserved) filter (resource = 'memory') as memory_requested_gib,
    sum(used order by used) filter (resource = 'memory') as memory_used_gib,
    sum(reserved order by reserved) filter (resource = 'accelerator') as devices,
    sum(used order by used) filter (resource = 'accelerator') as accelerators_used
from lines
where usage_hour >= $start and usage_hour < $end
group by instance_id, usage_hour, pod.uid
order by instance_id, usage_hour, pod_uid
"""


@dataclass(frozen=True)
class ScadSource:
    """The split rows of a bill.

    Attributes:
        uri: As configured.
        root: Root of bill exports, as in ``PODLEDGER_BILL``.
        now: The present, UTC.
    """

    uri: str
    root: str
    now: Callable[[], dt.datetime] = field(
        default=lambda: dt.datetime.now(dt.UTC), compare=False
    )

    @classmethod
    def from_uri(cls, uri: str) -> ScadSource:
        """``scad+file:///folder`` or ``scad+s3://bucket/prefix/export``.

        Raises:
            ValueError: A bucket is missing, or a folder has a host.
        """
        parts = urlsplit(uri)
        if parts.scheme == "scad+s3":
            if not parts.netloc:
                raise ValueError("it names no bucket")
            return cls(uri, uri.removeprefix("scad+"))
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a folder has no host: write scad+file:///folder")
        return cls(uri, unquote(parts.path))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Read the month's deliveries, unless they were read before."""
        deliveries = find_deliveries(
            [self.root],
            month,
            landing=landing / "scad-bill",
            progress=lambda line: _tell(progress, line),
        )
        named = DayFolder.of(self.uri, month, landing)
        days = DayFolder(self.uri, month, named.folder / _state(deliveries))
        now = self.now()
        missing = days.missing_days(now)
        if missing:
            landing.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=landing, prefix=".scad-") as work:
                self._read(deliveries, days, missing, now, Path(work), progress)
        return days.told(progress)

    def _read(
        self,
        deliveries: Sequence[Delivery],
        days: DayFolder,
        missing: Sequence[dt.date],
        now: dt.datetime,
        work: Path,
        progress: Progress,
    ) -> None:
        """Read deliveries, and write the days that are missing."""
        lake = Lake(work)
        read_bill(deliveries, days.month, lake, progress=lambda line: _tell(progress, line))
        files = [str(path) for path in lake.files("raw/bill_lines", days.month)]
        with connect(work / "spilled") as connection:
            connection.execute(_LINES, {"files": files})
            self._require_sound(connection, days.month, deliveries)
            for day in missing:
                start = day_start(day)
                batches = connection.execute(
                    _POD_HOURS,
                    {
                        "start": start.replace(tzinfo=None),
                        "end": start.replace(tzinfo=None) + 24 * _HOUR,
                    },
                ).to_arrow_reader(_BATCH_ROWS)
                tables = [
                    pa.Table.from_pylist([_pod_hour(row) for row in rows], DAY_POD_HOURS)
                    for batch in batches
                    if (rows := batch.to_pylist())
                ]
                table = pa.concat_tables([DAY_POD_HOURS.empty_table(), *tables])
                gaps = _gaps(table, start, min(start + 24 * _HOUR, now))
                days.write(
                    day, [table], [DAY_NODE_HOURS.empty_table()], gaps, is_complete=True
                )
                progress(f"{self.uri}: {day}: {len(table):,} pod-hours")

    def _require_sound(
        self, connection: Any, month: Month, deliveries: Sequence[Delivery]
    ) -> None:
        """Refuse a bill without split rows, and split rows that tell of no pod-hour."""
        (count,) = connection.execute("select count(*) from lines").fetchone()
        if not count:
            remedies = {remedy("split", one.layout): None for one in deliveries}
            raise PodledgerError(
                f"The bill at {self.root} has no split rows of EKS pods (operation"
                f" EKSPod-EC2) for {month}. Take another source of pods for it: AWS does"
                " not fill in the past. To have them from now on, switch on split cost"
                " allocation data for Amazon EKS in the payer's cost management"
                f" preferences, and then: {' '.join(remedies)}"
            )
        for condition, (column, name, problem) in _PROBLEMS.items():
            found = connection.execute(
                f"select {name}, resource_id, source_file from lines where {condition}"
                " order by all limit 1"
            ).fetchone()
            if found:
                raise PodledgerError(
                    f"The bill at {self.root} has a split row in {found[2]} for"
                    f" {found[1]!r} whose {column} is {found[0]!s}: {problem}. Ask AWS"
                    " Support to deliver the month again, or take another source of pods."
                )


def _pod_hour(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the contract.

    SCAD tells resource-hours and no times: they are the means of a whole hour, of which
    the split makes the same resource-hours again.
    """
    tags = json.loads(row["tags"])
    labels = {
        tag.removeprefix(_LABEL_PREFIX): value
        for tag, value in sorted(tags.items())
        if tag.startswith(_LABEL_PREFIX) and value is not None
    }
    kind = tags.get("aws_eks_workload_type")
    name = tags.get("aws_eks_workload_name")
    deployment = tags.get("aws_eks_deployment")
    if deployment and kind in (None, "ReplicaSet"):
        kind, name = "Deployment", deployment
    # AWS names the Deployment where there is one.
    workload = topmost(kind, name, labels, guess_deployment=False)
    devices = row["devices"]
    return {
        **{name: row[name] for name in DAY_POD_HOURS.names if name in row},
        "cluster_name": tags.get("aws_eks_cluster_name") or row["cluster_name"],
        "namespace": tags.get("aws_eks_namespace") or row["namespace"],
        "node_name": tags.get("aws_eks_node"),
        "workload_type": workload.kind,
        "workload_name": workload.name,
        "deployment": workload.deployment,
        "bound_seconds": SECONDS_AN_HOUR,
        "vcpu_requested": row["vcpu_requested"] or 0.0,
        "memory_requested_gib": row["memory_requested_gib"] or 0.0,
        "accelerators_requested": json.dumps({PHYSICAL_DEVICE: devices} if devices else {}),
        "labels": json.dumps(labels),
    }


def _gaps(table: pa.Table, start: dt.datetime, end: dt.datetime) -> list[Gap]:
    known = {
        hour.replace(tzinfo=dt.UTC) for hour in pc.unique(table["usage_hour"]).to_pylist()
    }
    hours = [start + n * _HOUR for n in range((end - start) // _HOUR)]
    return stretches(
        [hour for hour in hours if hour not in known],
        "split row of any pod",
        "no pod is known, and what nodes cost then stays unallocated",
    )


def _state(deliveries: Sequence[Delivery]) -> str:
    """A digest of what was delivered."""
    states = [
        f"{delivery.export} {delivery.delivery_id} {file.name} {file.size}"
        for delivery in deliveries
        for file in delivery.files
    ]
    return hashlib.sha256("\n".join(states).encode()).hexdigest()[:32]


def _tell(progress: Progress, line: str) -> None:
    progress(line)
