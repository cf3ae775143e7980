"""OpenCost and Kubecost: requests and use from their ``/allocation`` API, or copies of it.

Holds the asking, a few hours at a time, and what an allocation becomes: one pod-hour. Their
prices are not read; what a node costs is the bill's to say. What an allocation cannot know
(uids, init containers, the resource that a GPU was requested as) is in ``docs/sources.md``.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import urllib3

from orchestration.inventory.casts import SECONDS_AN_HOUR
from orchestration.inventory.gaps import Gap, stretches
from orchestration.inventory.sources.days import (
    DAY_NODE_HOURS,
    DAY_POD_HOURS,
    DayFolder,
    day_start,
)
from orchestration.inventory.sources.fields import Fields
from orchestration.inventory.sources.interface import Progress, SourceFile
from orchestration.kubernetes.workloads import topmost
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

GPU_RESOURCE = "nvidia.com/gpu"
"""What a GPU of an allocation counts as: the API gives a number and no resource name."""

HOURS_A_REQUEST = 6
"""Some 100 MB of JSON from a cluster of 20,000 pods; OpenCost works on each for seconds."""

_HOUR = dt.timedelta(hours=1)
_MINUTES_AN_HOUR = 60
_BYTES_A_GIB = 2**30
_TIMEOUT = urllib3.Timeout(connect=10, read=600)
_RETRY = urllib3.Retry(
    total=3,
    backoff_factor=0.2,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
)

_INSTANCE = re.compile(r"\bi-(?:[0-9a-f]{17}|[0-9a-f]{8})\b")
_UID_NAMES = uuid.UUID("5b0a4a5c-3f0e-5c49-9d0e-6d4f1f2c7a11")
"""Names the uids that are derived; another value would make every pod another one."""

_KINDS = {
    kind.lower(): kind
    for kind in (
        "Deployment",
        "DaemonSet",
        "StatefulSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
        "Rollout",
    )
}
"""OpenCost writes kinds in lower case."""

_REMEDY = (
    "podledger reads the answers of OpenCost's and Kubecost's /allocation API, of one hour"
    " each: check that the address leads to it, and its version."
)


@dataclass(frozen=True)
class OpenCostSource:
    """An OpenCost or Kubecost server, asked for each hour of the month.

    Attributes:
        uri: As configured.
        address: Of the API, up to and without ``/allocation``.
        cluster: Name that rows get; None for the server's own.
        now: The present, UTC.
    """

    uri: str
    address: str
    cluster: str | None
    now: Callable[[], dt.datetime] = field(
        default=lambda: dt.datetime.now(dt.UTC), compare=False
    )

    @classmethod
    def from_uri(cls, uri: str) -> OpenCostSource:
        """``opencost+http(s)://host:port[/path][?cluster=name]``.

        Raises:
            ValueError: There is no host, or an option that is not known.
        """
        parts = urlsplit(uri)
        if not parts.hostname:
            raise ValueError("it names no host: write opencost+http://host:port")
        if parts.username is not None:
            raise ValueError("it has a user name: a URI must not hold credentials")
        address = f"{parts.scheme.removeprefix('opencost+')}://{parts.netloc}"
        return cls(uri, address + parts.path.rstrip("/"), _cluster(parts.query))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Ask for the days that are not here yet."""
        days = DayFolder.of(self.uri, month, landing)
        now = self.now()
        pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=_RETRY)
        missing = days.missing_days(now)
        for day in missing:
            rows = _Rows(self.cluster)
            start, end = day_start(day), day_start(day) + 24 * _HOUR
            hours = _hours(start, min(end, now.replace(minute=0, second=0, microsecond=0)))
            tables = []
            for first in range(0, len(hours), HOURS_A_REQUEST):
                asked = hours[first : first + HOURS_A_REQUEST]
                tables.append(rows.table(*self._ask(pool, asked[0], asked[-1] + _HOUR)))
            rows.tell(f"{self.uri}: {day}", progress)
            days.write(
                day,
                tables,
                [DAY_NODE_HOURS.empty_table()],
                _gaps(hours, rows.hours),
                is_complete=end <= now and bool(rows.hours),
            )
        if missing:
            progress(_what_is_derived(self.uri))
        return days.told(progress)

    def _ask(
        self, pool: urllib3.PoolManager, start: dt.datetime, end: dt.datetime
    ) -> tuple[object, str]:
        """The answer for some hours, and where it comes from."""
        window = f"{start:%Y-%m-%dT%H:%M:%SZ},{end:%Y-%m-%dT%H:%M:%SZ}"
        address = f"{self.address}/allocation"
        place = f"{address} for {window}"
        try:
            response = pool.request(
                "GET",
                address,
                fields={
                    "window": window,
                    "step": "1h",
                    "resolution": "1m",
                    "aggregate": "cluster,node,namespace,controllerKind,controller,pod",
                    "includeAggregatedMetadata": "true",
                },
            )
        except urllib3.exceptions.HTTPError as error:
            raise PodledgerError(
                f"{place} cannot be read ({error}). Check that OpenCost runs and can be"
                " reached from here; days that were read are kept, so run again."
            ) from error
        if response.status != 200:
            raise PodledgerError(
                f"{place} was answered with HTTP {response.status}:"
                f" {_beginning(response.data)}. Check the address, and OpenCost's own log;"
                " days that were read are kept, so run again."
            )
        return _parsed(response.data, place), place


@dataclass(frozen=True)
class OpenCostFiles:
    """A folder of answers of the API, ``*.json`` or ``*.json.gz``, at any depth.

    Attributes:
        uri: As configured.
        root: The folder, or one such file.
        cluster: Name that rows get; None for the answers' own.
    """

    uri: str
    root: Path
    cluster: str | None

    @classmethod
    def from_uri(cls, uri: str) -> OpenCostFiles:
        """``opencost+file:///folder[?cluster=name]``.

        Raises:
            ValueError: It names another machine, or an option that is not known.
        """
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a file has no host: write opencost+file:///folder")
        return cls(uri, Path(unquote(parts.path)), _cluster(parts.query))

    def fetch(self, month: Month, landing: Path, progress: Progress) -> list[SourceFile]:
        """Read all answers; the files stay the truth, so the days are written again."""
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.json*"))
        if not files:
            raise PodledgerError(
                f"The inventory {self.uri} holds no .json or .json.gz files. Check the path"
                " in PODLEDGER_PODS."
            )
        rows = _Rows(self.cluster)
        tables = [rows.table(_parsed(_read(path), str(path)), str(path)) for path in files]
        rows.tell(self.uri, progress)
        table = pa.concat_tables(tables)
        days = DayFolder.of(self.uri, month, landing)
        for day in month.days:
            hours = _hours(day_start(day), day_start(day) + 24 * _HOUR)
            days.write(
                day,
                [_of_hours(table, hours)],
                [DAY_NODE_HOURS.empty_table()],
                _gaps(hours, rows.hours),
                is_complete=True,
            )
        progress(_what_is_derived(self.uri))
        return days.told(progress)


@dataclass
class _Rows:
    """Pod-hours of answers, and what was seen on the way.

    Attributes:
        cluster: Name that rows get; None for the answers' own.
        hours: Hours that have a pod.
        count: Pod-hours.
        skipped: Allocations that are no pod: idle, unmounted, unallocated.
        unplaced: Allocations of pods on no EC2 instance, by their provider id.
    """

    cluster: str | None
    hours: set[dt.datetime] = field(default_factory=set)
    count: int = 0
    skipped: int = 0
    unplaced: dict[str, int] = field(default_factory=dict)

    def table(self, answer: object, place: str) -> pa.Table:
        """Rows of one answer.

        Raises:
            PodledgerError: It is no answer of the API, or not by the hour.
        """
        pods: dict[tuple[str, dt.datetime, str], _PodHour] = {}
        for allocation in _allocations(answer, place):
            properties = allocation.object("properties")
            pod = properties.text("pod")
            if pod is None or pod.startswith("__") or not allocation.quantity("minutes"):
                self.skipped += 1
                continue
            provider = properties.text("providerID") or "no providerID"
            found = _INSTANCE.search(provider)
            if found is None:
                self.unplaced[provider] = self.unplaced.get(provider, 0) + 1
                continue
            part = _pod_hour(allocation, properties, found[0], self.cluster)
            pods.setdefault(part.key, part).parts.append(allocation)
        self.hours.update(pod.hour for pod in pods.values())
        self.count += len(pods)
        return pa.Table.from_pylist(
            [pods[key].row() for key in sorted(pods)], schema=DAY_POD_HOURS
        )

    def tell(self, what: str, progress: Progress) -> None:
        """Say what was read and what was left out."""
        progress(
            f"{what}: {self.count:,} pod-hours; {self.skipped:,} allocations belong to no"
            " pod and were left out"
        )
        if self.unplaced:
            progress(
                f"{what}: {sum(self.unplaced.values()):,} pod-hours run on no EC2 instance"
                f" ({', '.join(sorted(self.unplaced)[:3])}) and were left out"
            )


@dataclass(frozen=True)
class _PodHour:
    """A pod in an hour; containers of one pod come apart where nobody aggregated them."""

    instance_id: str
    hour: dt.datetime
    pod_uid: str
    pod_name: str
    cluster: str | None
    properties: Fields
    parts: list[Fields] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, dt.datetime, str]:
        """As the contract's."""
        return self.instance_id, self.hour, self.pod_uid

    def row(self) -> dict[str, object]:
        """One row: averages are weighed by their minutes within the pod's."""
        seconds = max(_seconds(part) for part in self.parts)
        kind = self.properties.text("controllerKind")
        labels = self.properties.texts("labels")
        workload = topmost(
            _KINDS.get(kind, kind) if kind else None,
            self.properties.text("controller"),
            {name.replace("_", "-"): value for name, value in labels.items()},
        )
        return {
            "cluster_name": self.cluster,
            "node_name": self.properties.text("node"),
            "instance_id": self.instance_id,
            "usage_hour": self.hour.replace(tzinfo=None),
            "namespace": self.properties.text("namespace"),
            "pod_name": self.pod_name,
            "pod_uid": self.pod_uid,
            "workload_type": workload.kind,
            "workload_name": workload.name,
            "deployment": workload.deployment,
            "bound_seconds": round(seconds),
            "vcpu_requested": self._mean("cpuCoreRequestAverage", seconds),
            "memory_requested_gib": self._mean("ramByteRequestAverage", seconds)
            / _BYTES_A_GIB,
            **self._used(seconds),
            "accelerators_requested": self._gpus(seconds),
            "labels": json.dumps(labels),
        }

    def _mean(self, name: str, seconds: float) -> float:
        total = 0.0
        for part in self.parts:
            value = part.quantity(name)
            if value is None:
                raise part.refused(name, "is missing or null")
            total += value * _seconds(part)
        return total / seconds

    def _used(self, seconds: float) -> dict[str, float | None]:
        """A running pod uses some memory: where none was used, none was measured."""
        memory = self._mean("ramByteUsageAverage", seconds)
        if not memory:
            return {"vcpu_used": None, "memory_used_gib": None}
        return {
            "vcpu_used": self._mean("cpuCoreUsageAverage", seconds),
            "memory_used_gib": memory / _BYTES_A_GIB,
        }

    def _gpus(self, seconds: float) -> str:
        count = self._mean("gpuCount", seconds)
        return json.dumps({GPU_RESOURCE: count} if count else {})


def _allocations(answer: object, place: str) -> Iterator[Fields]:
    """Every allocation of an answer, of whatever hour."""
    fields = Fields.of(answer, place, _REMEDY)
    if fields.values.get("code", 200) != 200:
        raise fields.refused("code", f"is {fields.values['code']}")
    data = fields.values.get("data")
    if not isinstance(data, list):
        raise fields.refused("data", "is not a list of hours")
    for number, allocations in enumerate(data, 1):
        # An hour of which the server knows nothing is null or has no allocations.
        hour = Fields.of(allocations or {}, f"{place}, data[{number - 1}]", _REMEDY)
        for name in hour.values:
            allocation = Fields.of(
                hour.values[name], f"{hour.place}, allocation {name}", _REMEDY
            )
            allocation.require("properties", "window", "minutes")
            yield allocation


def _pod_hour(
    allocation: Fields, properties: Fields, instance_id: str, cluster: str | None
) -> _PodHour:
    """Who the pod is, without its parts."""
    own_cluster = properties.text("cluster")
    # With INGEST_POD_UID, OpenCost writes "name uid", and a name has no spaces.
    name, _, uid = (properties.text("pod") or "").partition(" ")
    namespace = properties.text("namespace")
    return _PodHour(
        instance_id=instance_id,
        hour=_hour(allocation),
        pod_uid=uid or derived_uid(cluster or own_cluster, instance_id, namespace, name),
        pod_name=name,
        cluster=cluster or own_cluster,
        properties=properties,
    )


def derived_uid(
    cluster: str | None, instance_id: str, namespace: str | None, pod: str
) -> str:
    """A uid for a pod of which only the names are known: of version 5, always the same.

    Pods that bear one name one after the other on one instance become one.
    """
    return str(uuid.uuid5(_UID_NAMES, json.dumps([cluster, instance_id, namespace, pod])))


def _hour(allocation: Fields) -> dt.datetime:
    """The hour that an allocation is of."""
    window = allocation.object("window")
    moments = []
    for name in ("start", "end"):
        text = window.text(name) or ""
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            raise window.refused(name, f"is {text!r}, no RFC 3339 time") from None
        if moment.tzinfo is None:
            raise window.refused(name, f"is {text!r}, without a zone")
        moments.append(moment.astimezone(dt.UTC))
    start, end = moments
    if end - start != _HOUR or start != start.replace(minute=0, second=0, microsecond=0):
        raise allocation.refused(
            "window",
            f"is {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, no hour (step=1h)",
        )
    return start


def _seconds(allocation: Fields) -> float:
    minutes = allocation.quantity("minutes") or 0.0
    if minutes > _MINUTES_AN_HOUR:
        raise allocation.refused("minutes", f"is {minutes}, more than an hour has")
    return minutes * SECONDS_AN_HOUR / _MINUTES_AN_HOUR


def _hours(start: dt.datetime, end: dt.datetime) -> list[dt.datetime]:
    return [start + n * _HOUR for n in range(max(0, (end - start) // _HOUR))]


def _gaps(hours: Sequence[dt.datetime], known: Iterable[dt.datetime]) -> list[Gap]:
    """Stretches of hours of which there is no allocation at all."""
    return stretches(
        set(hours) - set(known),
        "allocation of any pod",
        "no pod is known, and what nodes cost then stays unallocated",
    )


def _of_hours(table: pa.Table, hours: Sequence[dt.datetime]) -> pa.Table:
    column = table["usage_hour"]
    wanted = pa.array([hour.replace(tzinfo=None) for hour in hours], column.type)
    return table.filter(pc.is_in(column, wanted))


def _parsed(text: bytes, place: str) -> object:
    try:
        answer: object = json.loads(text)
    except ValueError as error:
        raise PodledgerError(
            f"{place} is not valid JSON ({error}; {len(text):,} bytes: {_beginning(text)})."
            " It was cut short, or something else answers. Try again."
        ) from error
    return answer


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise PodledgerError(
            f"{path} cannot be read ({error}). The file is damaged or cut short: copy it"
            " again."
        ) from error


def _beginning(data: bytes) -> str:
    return repr(data[:80].decode("utf-8", "replace"))


def _cluster(query: str) -> str | None:
    options = parse_qs(query, keep_blank_values=True)
    if unknown := options.keys() - {"cluster"}:
        raise ValueError(f"the option {min(unknown)} is not known: there is cluster=name")
    names = options.get("cluster", [])
    if len(names) > 1 or "" in names:
        raise ValueError("cluster= needs one name")
    return names[0] if names else None


def _what_is_derived(uri: str) -> str:
    return (
        f"{uri}: uids are derived from cluster, instance, namespace and pod name where the"
        " server does not ingest them, GPUs are taken for whole NVIDIA devices, and init"
        " containers and pod overhead are not in the requests"
    )
