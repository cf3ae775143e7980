"""A day's samples as pod-hours and node-hours.

Holds the step from moments to hours: how long a pod was bound, means over the time that
was measured, devices by pod. A uid never leaves its node and comes back: between two
samples of it, it was bound, also where the agent was silent. The last one stands for the
interval that follows it, as nothing does for the time before the first: right in the mean.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration.engines.duckdb import connect
from orchestration.inventory.casts import MICROSECONDS_AN_HOUR, SECONDS_AN_HOUR
from orchestration.inventory.gaps import Gap, stretches
from orchestration.inventory.sources.days import DAY_NODE_HOURS, DAY_POD_HOURS, day_start
from orchestration.kubernetes.accelerators import NEURON_CORE, NEURON_CORES_PER_DEVICE

GPU = "nvidia.com/gpu"
"""The resource whose requests the agent counts."""

_BATCH_ROWS = 65_536

_MOMENTS = """
create table moments as
-- One row a pod (or container) and moment, whoever and however many reported it.
select
    instance_id, pod_uid, part, t,
    bool_and(is_over) as is_over,
    max(vcpu_requested) as vcpu_requested,
    max(memory_requested_gib) as memory_requested_gib,
    max(vcpu_used) as vcpu_used,
    max(memory_used_gib) as memory_used_gib
from samples
where
    kind = 'pod'
    -- Containers tell only of pods that have no event of their own.
    or (kind = 'container' and pod_uid not in (
        select distinct pod_uid from samples where kind = 'pod'
    ))
group by instance_id, pod_uid, part, t
order by instance_id, pod_uid, part, t
"""

_PODS = """
create table pods as
-- Who a pod is, as the day's last event has it, and since when it is seen.
select
    instance_id, pod_uid,
    max(cluster_name) as cluster_name,
    max(node_name) as node_name,
    max(instance_type) as instance_type,
    max(namespace) as namespace,
    max(pod_name) as pod_name,
    arg_max(workload_type, t) as workload_type,
    arg_max(workload_name, t) as workload_name,
    arg_max(deployment, t) as deployment,
    arg_max(labels, t) as labels,
    min(t) filter (not is_over) as seen_t
from samples
where kind in ('pod', 'container')
group by instance_id, pod_uid
"""

_UNIT_HOURS = """
create table unit_hours as
with followed as (
    select
        *,
        lead(t) over unit as next_t,
        lead(is_over) over unit as is_over_next
    from moments
    window unit as (partition by instance_id, pod_uid, part order by t)
),
spans as (
    select
        * exclude (next_t, is_over_next),
        case
            when next_t is null then t + $interval
            when is_over_next then least(next_t, t + $interval)
            else next_t
        end as bound_until
    from followed
    where not is_over
),
cut as (
    select
        *,
        least(bound_until, t + $interval) as measured_until,
        unnest(range(t // $hour, (bound_until - 1) // $hour + 1)) as hour
    from spans
),
pieces as (
    select
        *,
        least(bound_until, (hour + 1) * $hour) - greatest(t, hour * $hour) as bound,
        greatest(
            least(measured_until, (hour + 1) * $hour) - greatest(t, hour * $hour), 0
        ) as measured
    from cut
    where hour * $hour >= $start and hour * $hour < $end
)
select
    instance_id, pod_uid, part, hour,
    sum(bound)::bigint as bound,
    {means}
from pieces
group by instance_id, pod_uid, part, hour
order by instance_id, pod_uid, part, hour
"""

_MEASURES = ("vcpu_requested", "memory_requested_gib", "vcpu_used", "memory_used_gib")


def _mean(name: str) -> str:
    """Weighed by the time that samples which have the value stand for."""
    total = f"sum({name} * measured) filter (measured > 0)"
    time = f"sum(measured) filter (measured > 0 and {name} is not null)"
    return f"{total} / {time} as {name}"


_DEVICES = """
create table devices as
-- Devices by pod: a sample belongs to the pod that bore the name last.
with names as (
    -- Events of Neuron do not tell the namespace.
    select instance_id, pod_name, max(namespace) as namespace
    from pods
    group by all
),
named as (
    select
        samples.kind, samples.instance_id, samples.pod_name, samples.part, samples.t,
        coalesce(samples.namespace, names.namespace) as namespace,
        max(samples.busy) as busy,
        max(samples.devices_requested) as devices_requested
    from samples
    left join names
        on samples.instance_id = names.instance_id and samples.pod_name = names.pod_name
    where samples.kind in ('gpu', 'neuron')
    group by all
)
select named.* exclude (namespace), pods.pod_uid
from named
asof join pods
    on named.instance_id = pods.instance_id
    and named.namespace = pods.namespace
    and named.pod_name = pods.pod_name
    and named.t + $interval >= pods.seen_t
order by named.instance_id, pods.pod_uid, named.kind, named.part, named.t
"""

_HELD = """
create table held as
-- What a pod holds does not change while it lives.
select
    instance_id, pod_uid,
    coalesce(
        max(devices_requested) filter (kind = 'gpu'),
        count(distinct part) filter (kind = 'gpu' and part <> '')
    ) as gpus,
    count(distinct part) filter (kind = 'neuron') as neuron_cores
from devices
group by instance_id, pod_uid
"""

_BUSY = """
create table busy as
with by_device as (
    select
        instance_id, pod_uid, kind, part, t // $hour as hour,
        avg(busy order by t) as busy
    from devices
    where part <> '' and busy is not null
    group by instance_id, pod_uid, kind, part, hour
)
select
    instance_id, pod_uid, hour,
    sum(busy order by part) filter (kind = 'gpu') as gpus_busy,
    sum(busy order by part) filter (kind = 'neuron') as cores_busy
from by_device
group by instance_id, pod_uid, hour
"""

_POD_HOURS = """
with of_day as (
    select instance_id, pod_uid, part, {day_means}
    from unit_hours
    group by instance_id, pod_uid, part
),
units as (
    -- Requests stand in the events only beside a measured use: an hour without takes the
    -- day's.
    select
        hours.* exclude (vcpu_requested, memory_requested_gib),
        coalesce(hours.vcpu_requested, of_day.vcpu_requested, 0) as vcpu_requested,
        coalesce(hours.memory_requested_gib, of_day.memory_requested_gib, 0)
            as memory_requested_gib
    from unit_hours as hours
    inner join of_day using (instance_id, pod_uid, part)
),
whole as (
    -- Containers add up to their pod, each weighed by its own time.
    select
        instance_id, pod_uid, hour,
        max(bound) as bound_microseconds,
        {pod_sums}
    from units
    group by instance_id, pod_uid, hour
)
select
    pods.* exclude (seen_t),
    whole.* exclude (instance_id, pod_uid),
    held.gpus, held.neuron_cores, busy.gpus_busy, busy.cores_busy
from whole
inner join pods using (instance_id, pod_uid)
left join held using (instance_id, pod_uid)
left join busy using (instance_id, pod_uid, hour)
order by instance_id, hour, pod_uid
"""

_NODE_HOURS = """
select
    max(cluster_name) as cluster_name,
    max(node_name) as node_name,
    instance_id,
    make_timestamp(t // $hour * $hour) as usage_hour,
    max(instance_type) as instance_type,
    '{}' as labels,
    '{}' as allocatable
from samples
where t >= $start and t < $end
group by instance_id, t // $hour
order by instance_id, usage_hour
"""

_SPOKEN_HOURS = "select distinct t // $hour from samples where t >= $start and t < $end"

_SILENT_NODES = """
with present as (
    select distinct instance_id, t // $hour as hour
    from samples
    where t >= $start and t < $end
),
silent as (
    select instance_id, unnest(range(min(hour), max(hour))) as hour
    from present
    group by instance_id
    except
    select instance_id, hour from present
)
select instance_id, hour from silent
"""


@dataclass(frozen=True)
class DayOfHours:
    """What a day's samples say.

    Attributes:
        pod_hours: Rows of ``DAY_POD_HOURS``, in the order of the key.
        node_hours: Rows of ``DAY_NODE_HOURS``.
        gaps: Hours in which the agents were silent.
    """

    pod_hours: pa.Table
    node_hours: pa.Table
    gaps: list[Gap]


def day_of_hours(
    samples: pa.RecordBatchReader,
    day: dt.date,
    until: dt.datetime,
    interval: int,
    scratch: Path,
) -> DayOfHours:
    """Make hours of samples.

    Args:
        samples: ``events.SAMPLES`` of the day, and of the interval before it.
        day: The day, UTC.
        until: The day's end, or the present if that is earlier; hours after have no gap.
        interval: Seconds between two samples of one agent.
        scratch: Folder for what does not fit into memory.
    """
    start = day_start(day)
    end = start + dt.timedelta(days=1)
    values = {
        "interval": interval * 1_000_000,
        "hour": MICROSECONDS_AN_HOUR,
        "start": _microseconds(start),
        "end": _microseconds(end),
    }
    is_empty, samples = _peeked(samples)
    if is_empty:
        return DayOfHours(
            DAY_POD_HOURS.empty_table(),
            DAY_NODE_HOURS.empty_table(),
            _gaps(set(), [], start, min(until, end)),
        )
    with connect(scratch) as connection:
        # Sums of doubles depend on their order: one thread, ordered input, the same bytes.
        connection.execute("set threads = 1")
        connection.register("arriving", samples)
        connection.execute("create table samples as from arriving")

        def run(statement: str) -> Any:
            names = [name for name in values if f"${name}" in statement]
            return connection.execute(statement, {name: values[name] for name in names})

        run(_MOMENTS)
        run(_PODS)
        run(_UNIT_HOURS.replace("{means}", ",\n    ".join(map(_mean, _MEASURES))))
        for statement in (_DEVICES, _HELD, _BUSY):
            run(statement)
        pod_hours = run(_pod_hours_query()).to_arrow_reader(_BATCH_ROWS)
        tables = [
            pa.Table.from_pylist(
                [_pod_hour(row) for row in batch.to_pylist()], DAY_POD_HOURS
            )
            for batch in pod_hours
        ]
        return DayOfHours(
            pod_hours=pa.concat_tables([DAY_POD_HOURS.empty_table(), *tables]),
            node_hours=run(_NODE_HOURS).to_arrow_table().cast(DAY_NODE_HOURS),
            gaps=_gaps(
                {hour for (hour,) in run(_SPOKEN_HOURS).fetchall()},
                run(_SILENT_NODES).fetchall(),
                start,
                min(until, end),
            ),
        )


def _peeked(samples: pa.RecordBatchReader) -> tuple[bool, pa.RecordBatchReader]:
    """Whether a stream is empty, and the stream again from its begin."""
    first = next(iter(samples), None)
    if first is None:
        return True, samples
    return False, pa.RecordBatchReader.from_batches(samples.schema, chain([first], samples))


def _pod_hours_query() -> str:
    day_means = ", ".join(
        f"sum({name} * bound) filter ({name} is not null)"
        f" / sum(bound) filter ({name} is not null) as {name}"
        for name in _MEASURES[:2]
    )
    pod_sums = ",\n        ".join(
        f"sum({name} * bound) / max(bound) as {name}" for name in _MEASURES
    )
    return _POD_HOURS.format(day_means=day_means, pod_sums=pod_sums)


def _pod_hour(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the contract; devices are spelled as they were requested."""
    devices = {GPU: row["gpus"], NEURON_CORE: row["neuron_cores"]}
    hour = dt.datetime.fromtimestamp(row["hour"] * SECONDS_AN_HOUR, dt.UTC)
    return {
        **{name: row[name] for name in DAY_POD_HOURS.names if name in row},
        "usage_hour": hour.replace(tzinfo=None),
        "bound_seconds": (row["bound_microseconds"] + 500_000) // 1_000_000,
        "accelerators_requested": json.dumps({k: v for k, v in devices.items() if v}),
        "accelerators_used": _devices_busy(row),
    }


def _devices_busy(row: dict[str, Any]) -> float | None:
    """Mean devices at work; None where none was measured."""
    busy: float | None = row["gpus_busy"]
    if row["cores_busy"] is None:
        return busy
    family = (row["instance_type"] or "").partition(".")[0]
    cores = NEURON_CORES_PER_DEVICE.get(family)
    return busy if cores is None else (busy or 0.0) + row["cores_busy"] / cores


def _gaps(
    spoken: set[int],
    silent: list[tuple[str, int]],
    start: dt.datetime,
    end: dt.datetime,
) -> list[Gap]:
    """Hours in which no agent spoke, and those in which one did not that did around it.

    Args:
        spoken: Hours since 1970 that have events.
        silent: Node and hour without events, but with some before and after.
        start: First moment to look at.
        end: First moment after.
    """
    first = int(start.timestamp()) // SECONDS_AN_HOUR
    hours = range(first, first + (end - start) // dt.timedelta(hours=1))
    unspoken = {"": [hour for hour in hours if hour not in spoken]}
    for instance, hour in sorted(silent):
        if hour in spoken and hour in hours:
            unspoken.setdefault(instance, []).append(hour)
    return [
        gap
        for instance, missed in unspoken.items()
        for gap in stretches(
            [dt.datetime.fromtimestamp(hour * SECONDS_AN_HOUR, dt.UTC) for hour in missed],
            "performance event" if instance else "performance event of any node",
            "pods seen before and after count as bound, others are not known",
            instance,
        )
    ]


def _microseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
