"""Costs of a month before distribution, as a test writes them down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from orchestration.distribution.distribute import distribute
from orchestration.distribution.policy_file import Policy, parse_policy
from orchestration.engines.duckdb import connect
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES

MONTH = Month.parse("2026-10")
DAY = dt.date(2026, 10, 7)

_TYPES = {
    "billing_month": "date",
    "usage_date": "date",
    "origin": "varchar",
    "payer_account_id": "varchar",
    "usage_account_id": "varchar",
    "region_code": "varchar",
    "cluster_name": "varchar",
    "namespace": "varchar",
    "workload_type": "varchar",
    "workload_name": "varchar",
    "deployment": "varchar",
    "labels": "map(varchar, varchar)",
    "owner_labels": "map(varchar, varchar)",
    "node_pool": "varchar",
    "instance_id": "varchar",
    "resource": "varchar",
    "reason": "varchar",
    "category": "varchar",
    "line_type": "varchar",
    "allocated_hours": "decimal(38, 12)",
    **{f"{basis}_usd": "decimal(38, 10)" for basis in BASES},
}
"""Columns of ``int_costs__undistributed``."""


@dataclass(frozen=True)
class Cost:
    """One row; ``usd`` is the amortized amount, and the other bases are made of it."""

    origin: str
    usd: Decimal | str | int
    usage_date: dt.date | None = DAY
    payer_account_id: str = "999900001111"
    usage_account_id: str = "111100001111"
    region_code: str | None = "us-east-1"
    cluster_name: str | None = "one"
    namespace: str | None = None
    workload_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    owner_labels: Mapping[str, str] = field(default_factory=dict)
    node_pool: str | None = None
    instance_id: str | None = None
    resource: str | None = "vcpu"
    reason: str | None = None
    category: str | None = None
    line_type: str | None = None
    hours: Decimal | int | None = None
    bases: Mapping[str, Decimal | None] = field(default_factory=dict)

    def money(self, basis: str) -> Decimal | None:
        if basis in self.bases:
            return self.bases[basis]
        factor = {
            "unblended": "0.9",
            "amortized": "1",
            "net_amortized": "0.87",
            "public_on_demand": "1.7",
        }
        return (Decimal(self.usd) * Decimal(factor[basis])).quantize(Decimal("1e-10"))

    def row(self) -> dict[str, Any]:
        return {
            "billing_month": MONTH.start.date(),
            "usage_date": self.usage_date,
            "origin": self.origin,
            "payer_account_id": self.payer_account_id,
            "usage_account_id": self.usage_account_id,
            "region_code": self.region_code,
            "cluster_name": self.cluster_name,
            "namespace": self.namespace,
            "workload_type": "Deployment" if self.workload_name else None,
            "workload_name": self.workload_name,
            "deployment": self.workload_name,
            "labels": dict(self.labels),
            "owner_labels": dict(self.owner_labels),
            "node_pool": self.node_pool,
            "instance_id": self.instance_id,
            "resource": self.resource,
            "reason": self.reason,
            "category": self.category,
            "line_type": self.line_type,
            "allocated_hours": None if self.hours is None else Decimal(self.hours),
            **{f"{basis}_usd": self.money(basis) for basis in BASES},
        }


def pod(namespace: str, usd: Any, **more: Any) -> Cost:
    more = {"workload_name": f"{namespace}-app", "labels": {"team": namespace}, **more}
    return Cost("split", usd, namespace=namespace, **more)


def idle(usd: Any, **more: Any) -> Cost:
    return Cost("unallocated", usd, **{"reason": "unclaimed", **more})


def unused(namespace: str, usd: Any, **more: Any) -> Cost:
    more = {"workload_name": f"{namespace}-app", "labels": {"team": namespace}, **more}
    return Cost("unused", usd, namespace=namespace, **more)


def rest(category: str, usd: Any, **more: Any) -> Cost:
    return Cost(
        "remainder",
        usd,
        category=category,
        **{"resource": None, "line_type": "Fee", **more},
    )


@dataclass(frozen=True)
class Quota:
    """What a quota holds back of a cluster, day and resource; one row of the model.

    ``idle`` is what the nodes of the cluster have idle of it, in the same resource-hours.
    """

    namespace: str
    held: Decimal | str | int
    idle: Decimal | str | int
    usage_date: dt.date = DAY
    cluster_name: str = "one"
    resource: str = "vcpu"
    labels: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> list[Any]:
        return [
            MONTH.start.date(),
            self.usage_date,
            self.cluster_name,
            self.resource,
            self.namespace,
            dict(self.labels),
            Decimal(self.held),
            Decimal(self.idle),
        ]


@contextmanager
def month_of(
    costs: Sequence[Cost], quotas: Sequence[Quota] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose ``int_costs__undistributed`` has these rows, in their order."""
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())
        connection.execute(f"create table int_costs__undistributed ({columns})")
        values = ", ".join(f"(${name})::{kind}" for name, kind in _TYPES.items())
        for cost in costs:
            connection.execute(
                f"insert into int_costs__undistributed select {values}", cost.row()
            )
        connection.execute(
            "create table int_quotas__held (billing_month date, usage_date date,"
            " cluster_name varchar, resource varchar, namespace varchar,"
            " labels map(varchar, varchar), held_hours decimal(38, 12),"
            " idle_hours decimal(38, 12))"
        )
        for quota in quotas:
            connection.execute(
                "insert into int_quotas__held values (?, ?, ?, ?, ?, ?, ?, ?)", quota.row()
            )
        yield connection


@dataclass(frozen=True)
class Charge:
    """One row of the charges, as tests look at it."""

    usage_date: dt.date | None
    payer: str
    account: str
    region: str | None
    cluster: str | None
    namespace: str | None
    workload: str | None
    labels: Mapping[str, str]
    charge_type: str
    origin: str
    origin_detail: str | None
    rule: str | None
    reason: str | None
    usd: Mapping[str, Decimal | None]

    @property
    def key(self) -> tuple[Any, ...]:
        """As the definition names it."""
        whom = (
            self.payer,
            self.account,
            self.region,
            self.cluster,
            self.namespace,
            self.workload,
            frozenset(self.labels.items()),
        )
        kind = (self.charge_type, self.origin, self.rule, self.reason)
        return (self.usage_date, whom, *kind)

    @property
    def team(self) -> str | None:
        return self.labels.get("team")

    @property
    def amortized(self) -> Decimal:
        amount = self.usd["amortized"]
        assert amount is not None
        return amount


def charges_of(
    costs: Sequence[Cost], rules: str | Policy, quotas: Sequence[Quota] = ()
) -> list[Charge]:
    """The charges of these costs by a policy."""
    policy = rules if isinstance(rules, Policy) else parse_policy(rules, "test", "test.yml")
    with month_of(costs, quotas) as connection:
        distribute(connection, MONTH, policy)
        return read_charges(connection)


def read_charges(connection: duckdb.DuckDBPyConnection) -> list[Charge]:
    money = ", ".join(f"{basis}_usd" for basis in BASES)
    rows = connection.execute(
        "select usage_date, payer_account_id, usage_account_id, region_code, cluster_name,"
        " namespace, workload_name, labels,"
        f" charge_type, origin, origin_detail, rule, reason, {money} from distributed"
    ).fetchall()
    return [Charge(*row[:13], usd=dict(zip(BASES, row[13:], strict=True))) for row in rows]


def by_team(charges: Sequence[Charge]) -> dict[str | None, Decimal]:
    found: dict[str | None, Decimal] = {}
    for charge in charges:
        found[charge.team] = found.get(charge.team, Decimal(0)) + charge.amortized
    return found
