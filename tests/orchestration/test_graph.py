"""The graph as a person meets it: nothing nameless, nothing out of the flow, all off."""

from __future__ import annotations

import inspect

import dagster as dg
import pytest

from orchestration.definitions import defs
from orchestration.engines.instance import WAREHOUSE_POOL
from orchestration.engines.partitions import billing_months
from tests.orchestration.graph import GROUPS, SNAPSHOT, draw

SPECS = sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.path)
STEPS = [
    one
    for one in [*(defs.assets or ()), *(defs.asset_checks or ())]
    if isinstance(one, dg.AssetsDefinition)
]


def test_the_graph_is_the_one_that_was_agreed_on() -> None:
    """A key, an owner or a blocking flag changes by intent, or not at all."""
    assert draw() == SNAPSHOT.read_text(encoding="utf-8"), (
        "If this change is meant: python -m tests.orchestration.graph, and read the diff"
    )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key.to_user_string())
def test_every_asset_says_in_a_line_what_it_is_whose_and_where(spec: dg.AssetSpec) -> None:
    assert spec.description
    assert "\n" not in spec.description
    assert spec.description.endswith(".")
    assert spec.group_name in GROUPS
    assert spec.owners
    assert spec.kinds
    assert spec.partitions_def == billing_months


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.key.path != ["published_month"]],
    ids=lambda spec: spec.key.to_user_string(),
)
def test_every_column_is_described_and_every_border_is_typed(spec: dg.AssetSpec) -> None:
    """Types are promised where others read: in the lake and in the marts."""
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert [column.name for column in columns if not column.description] == []
    is_inside = spec.key.path[-1].startswith(("stg_", "int_", "ec2_"))
    assert is_inside or [column.name for column in columns if column.type == "?"] == []


def test_every_check_has_a_name_that_a_person_can_read() -> None:
    """Left to itself, dbt spells a test's columns in its name."""
    names = {check.name for step in STEPS for check in step.check_specs}
    assert names
    assert {name for name in names if len(name) > 48} == set()


def test_data_flows_one_way_through_the_rooms() -> None:
    room = {spec.key: spec.group_name or "" for spec in SPECS}
    against_the_flow = {
        f"{spec.key.to_user_string()} from {dep.asset_key.to_user_string()}"
        for spec in SPECS
        for dep in spec.deps
        if room[dep.asset_key] != room[spec.key]
        and (room[dep.asset_key], room[spec.key]) not in _FORWARD
    }
    assert against_the_flow == set()


_FORWARD = {(a, b) for place, a in enumerate(GROUPS) for b in GROUPS[place + 1 :]}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.op.name)
def test_every_step_that_opens_the_warehouse_takes_its_turn(
    step: dg.AssetsDefinition,
) -> None:
    """DuckDB lets one process write and then none read."""
    source = inspect.getsource(inspect.unwrap(step.op.compute_fn.decorated_fn))
    opens_it = any(word in source for word in ("warehouse", "DbtCliResource", "publish("))
    assert step.op.pool == (WAREHOUSE_POOL if opens_it else None)


def test_nothing_runs_by_itself_until_somebody_switches_it_on() -> None:
    repository = defs.get_repository_def()
    on_by_default = [
        one.name
        for one in (*repository.schedule_defs, *repository.sensor_defs)
        if one.default_status.value != "STOPPED"
    ]
    assert on_by_default == []
