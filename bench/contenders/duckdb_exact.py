"""The split as SQL in DuckDB: window functions over HUGEINT, one day after another.

The arithmetic is the kernel's own (see ``orchestration.split.kernel``), written once more
in another language, so that the outputs can be held against each other to the unit.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from bench.contenders.columns import ALL, FROM_NODE_HOUR, REQUESTED, UNITS, USED
from bench.worlds import MONTH, World
from orchestration.engines.duckdb import quote
from orchestration.lake.schemas import BASES, POD_HOURS, RESOURCES

ONE = f"{2**60}::hugeint"
HALF = f"{2**59}::hugeint"
LIFT = f"{2**113}::hugeint"
"""Added before a shift and taken off after it: a pool may be negative."""


def run(world: World, out: Path) -> int:
    """Write a file a day."""
    rows = 0
    with duckdb.connect() as connection:
        connection.execute(f"attach {quote(str(world.warehouse))} as warehouse (read_only)")
        equivalents = [
            str(path) for path in world.lake.files("accelerator_equivalents", MONTH)
        ]
        for path in world.pod_files:
            rows += connection.execute(
                f"copy ({_sql()}) to {quote(str(out / path.name))}"
                " (format parquet, compression zstd, compression_level 1)",
                {"pods": str(path), "equivalents": equivalents, "day": path.stem},
            ).fetchall()[0][0]
    return rows


def _sql() -> str:
    steps = {
        "claims": _claims(),
        "totals": _totals(),
        "sums": "select * from claims inner join totals using (instance_id, usage_hour)",
        "guesses": _each("sums", _guess),
        "exponents": _each("guesses", _exponent),
        "exact": _each(
            "exponents",
            lambda r: (f"{r}_allocated_hours * {r}_scale as {r}_exact",),
        ),
        "whole": _each("exact", lambda r: (f"{r}_exact::bigint as {r}_whole",)),
        "counted": _each(
            "whole",
            lambda r: (
                f"sum({r}_whole) over until_pod as {r}_counted",
                f"sum({r}_exact - {r}_whole) over until_pod as {r}_carried",
                f"sum({r}_whole) over node_hour as {r}_counted_all",
                f"sum({r}_exact - {r}_whole) over node_hour as {r}_carried_all",
            ),
        ),
        "running": _each("counted", _running),
        "shares": _each("running", _shares),
        "ends": _each("shares", _ends),
        "points": _each("ends", _points),
        "parts": _each("points", _parts),
    }
    clauses = ",\n".join(f"{name} as ({sql})" for name, sql in steps.items())
    money = {
        name: f"coalesce({name}, 0)::bigint::decimal(18, 0)"
        f" * 0.0000000001::decimal(18, 10) as {name}"
        for name in ALL
        if name.endswith("_usd")
    }
    columns = ", ".join(money.get(name, name) for name in ALL)
    return f"with {clauses}\nselect {columns} from parts"


def _each(source: str, columns_of: object) -> str:
    """A step that adds columns for each resource."""
    assert callable(columns_of)
    added = ", ".join(column for r in RESOURCES for column in columns_of(r))
    return (
        f"select *, {added} from {source} window"
        " node_hour as (partition by instance_id, usage_hour),"
        " until_pod as (partition by instance_id, usage_hour order by pod_uid"
        " rows between unbounded preceding and current row),"
        " pods as (partition by instance_id, usage_hour order by pod_uid)"
    )


def _claims() -> str:
    pods = [
        f"pods.{name}"
        for name in POD_HOURS.names
        if name in ALL and name not in ("cluster_name", "node_name")
    ]
    node_hours = [f"node_hours.{name}" for name in FROM_NODE_HOUR]
    figures = []
    for r in RESOURCES:
        requested = f"pods.{REQUESTED[r]}" if r in REQUESTED else "coalesce(devices, 0)"
        figures += [
            f"{requested} * (bound_seconds / 3600.0) as {r}_reserved_hours",
            f"pods.{USED[r]} * (bound_seconds / 3600.0) as {r}_used_hours",
            f"greatest({r}_reserved_hours, {r}_used_hours) as {r}_allocated_hours",
            f"node_hours.{r}_capacity_hours as {r}_capacity",
        ]
        figures += [
            f"(node_hours.{r}_{basis}_usd * {UNITS})::hugeint as {r}_{basis}"
            for basis in BASES
        ]
    return f"""
        select
            {", ".join((*pods, *node_hours, *figures))},
            coalesce(pods.cluster_name, node_hours.cluster_name) as cluster_name,
            coalesce(pods.node_name, node_hours.node_name) as node_name,
            accelerators * accelerator_weight > 0 as is_accelerated,
            method_version::tinyint as method_version
        from read_parquet($pods) as pods
        inner join warehouse.int_node_hours__weighed_v2 as node_hours
            on pods.instance_id = node_hours.instance_id
            and pods.usage_hour = node_hours.usage_hour
            and node_hours.usage_hour >= $day::date
            and node_hours.usage_hour < $day::date + interval 1 day
        left join read_parquet($equivalents) as equivalents
            on node_hours.instance_type = equivalents.instance_type
            and node_hours.sharing_labels = equivalents.sharing_labels
            and pods.accelerators_requested = equivalents.accelerators_requested
    """


def _totals() -> str:
    """Claims of a node-hour added in the order of the pods: doubles depend on it."""
    sums = ", ".join(
        f"sum({r}_allocated_hours order by pod_uid) as {r}_sum" for r in RESOURCES
    )
    return f"select instance_id, usage_hour, {sums} from claims group by all"


def _guess(r: str) -> tuple[str, ...]:
    return (
        f"floor(log2(nullif({r}_sum, 0))) as {r}_guess",
        f"floor(log2(nullif({r}_capacity, 0))) + 1 as {r}_capacity_exponent",
    )


def _exponent(r: str) -> tuple[str, ...]:
    """The binary exponent of the sum, as frexp gives it: a logarithm may be off by one."""
    exponent = (
        f"({r}_guess - (pow(2.0, {r}_guess) > {r}_sum)::int"
        f" + (pow(2.0, {r}_guess + 1) <= {r}_sum)::int + 1)"
    )
    return (
        f"pow(2.0, 61 - {exponent}) as {r}_scale",
        f"({r}_capacity_exponent - {exponent})::int as {r}_shift",
        f"({r}_capacity * pow(2.0, 61 - {r}_capacity_exponent))::hugeint as {r}_size",
    )


def _running(r: str) -> tuple[str, ...]:
    """Claims until each pod and of all, as whole numbers; what fits of the capacity."""
    return (
        f"{r}_counted + {r}_carried::hugeint as {r}_running",
        f"{r}_counted_all + {r}_carried_all::hugeint as {r}_claimed",
    )


def _share(part: str, whole: str) -> str:
    return f"({part} * {2**61}::hugeint + {whole}) // (2 * {whole})"


def _shares(r: str) -> tuple[str, ...]:
    """Running claims and the claimed part of the capacity, in 2 ** -60."""
    claims = f"({r}_claimed >> greatest({r}_shift, 0))"
    return (
        f"{_share(f'{r}_running', f'{r}_claimed')} as {r}_share",
        f"case when {r}_capacity_exponent is null or {r}_shift < 0 then {ONE}"
        f" when {r}_shift > 61 then 0::hugeint"
        f" when {claims} >= {r}_size then {ONE}"
        f" else {_share(claims, f'{r}_size')} end as {r}_share_claimed",
        f"coalesce({r}_allocated_hours / nullif(greatest({r}_capacity, {r}_sum), 0), 0)"
        f" as {r}_split_usage_ratio",
    )


def _ends(r: str) -> tuple[str, ...]:
    """Where a pod's parts end, as shares of the pool."""
    return (
        f"({r}_share_claimed * {r}_share + {HALF}) >> 60 as {r}_split_until",
        f"{r}_share_claimed + ((({ONE} - {r}_share_claimed) * {r}_share + {HALF}) >> 60)"
        f" as {r}_unused_until",
    )


def _points(r: str) -> tuple[str, ...]:
    """Where a pod's parts end, in units; and where the split of all of them does."""
    points = [
        f"{_scaled(f'{r}_{basis}', f'{r}_{until}')} as {r}_{basis}_{until}"
        for basis in BASES
        for until in ("split_until", "unused_until", "share_claimed")
    ]
    return tuple(points)


def _scaled(pool: str, share: str) -> str:
    return f"((({pool} * {share} + {HALF} + {LIFT}) >> 60) - {2**53}::hugeint)"


def _parts(r: str) -> tuple[str, ...]:
    """Differences of the points that bound each part."""
    parts = []
    for name in (f"{r}_{basis}" for basis in BASES):
        split, unused, last = (
            f"{name}_{until}" for until in ("split_until", "unused_until", "share_claimed")
        )
        parts += [
            f"{split} - lag({split}, 1, 0::hugeint) over pods as {name}_split_usd",
            f"{unused} - lag({unused}, 1, {last}) over pods as {name}_unused_usd",
        ]
    return tuple(parts)
