"""The asset graph as text: what ``graph.txt`` keeps, and how it is written again.

Run ``python -m tests.orchestration.graph`` after a change that is meant, and read the diff.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg

from orchestration.definitions import defs

SNAPSHOT = Path(__file__).with_name("graph.txt")
GROUPS = ("bill", "inventory", "split", "distribution", "close")
"""In the order of the flow."""


def draw() -> str:
    """Everything that is loaded, in the order of the flow, one thing a line."""
    return "\n".join([*_assets(), *_checks(), *_jobs(), *_automation()]) + "\n"


def _assets() -> Iterator[str]:
    graph = defs.resolve_asset_graph()
    specs = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
    steps = _steps()
    for group in sorted({s.group_name or "" for s in specs.values()}, key=_place):
        yield f"group {group}"
        for key in graph.toposorted_asset_keys:
            spec = specs[key]
            if spec.group_name != group:
                continue
            step, pool = steps.get(key, ("", None))
            yield f"  {key.to_user_string()}"
            yield f"    kinds {_listed(spec.kinds)}; owners {_listed(spec.owners)}"
            if step:
                yield f"    step {step}{_in_pool(pool)}"
            if spec.deps:
                yield f"    from {_listed(d.asset_key.to_user_string() for d in spec.deps)}"
        yield ""


def _checks() -> Iterator[str]:
    yield "checks"
    for spec in sorted(_check_specs(), key=lambda one: one.key.to_user_string()):
        mark = "blocks" if spec.blocking else "warns"
        yield f"  {mark}  {spec.key.to_user_string()}"
    for one in defs.asset_checks or ():
        if isinstance(one, dg.AssetsDefinition):
            yield f"  step {one.op.name}{_in_pool(one.op.pool)}"
    yield ""


def _jobs() -> Iterator[str]:
    yield "jobs"
    everything = set(defs.resolve_asset_graph().executable_asset_keys)
    for job in (
        defs.resolve_job_def("monthly_close"),
        defs.resolve_job_def("daily_refresh"),
    ):
        left_out = everything - set(job.asset_layer.executable_asset_keys)
        names = _listed(key.to_user_string() for key in left_out)
        yield f"  {job.name}: everything{f' but {names}' if left_out else ''}"
    yield ""


def _automation() -> Iterator[str]:
    repository = defs.get_repository_def()
    yield "schedules"
    for schedule in sorted(repository.schedule_defs, key=lambda one: one.name):
        when = f"{schedule.cron_schedule} {schedule.execution_timezone}"
        status = schedule.default_status.value
        yield f"  {schedule.name}: {when}, {schedule.job_name}, {status}"
    yield "sensors"
    for sensor in sorted(repository.sensor_defs, key=lambda one: one.name):
        yield (
            f"  {sensor.name}: every {sensor.minimum_interval_seconds} s,"
            f" {sensor.default_status.value}"
        )


def _steps() -> dict[dg.AssetKey, tuple[str, str | None]]:
    """Step and pool that make each asset."""
    return {
        key: (one.op.name, one.op.pool)
        for one in defs.assets or ()
        if isinstance(one, dg.AssetsDefinition) and one.is_executable
        for key in one.keys
    }


def _check_specs() -> list[dg.AssetCheckSpec]:
    in_assets = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    return [
        spec
        for one in [*in_assets, *(defs.asset_checks or ())]
        if isinstance(one, dg.AssetsDefinition)
        for spec in one.check_specs
    ]


def _in_pool(pool: str | None) -> str:
    return f" in pool {pool}" if pool else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _place(group: str) -> tuple[int, str]:
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS), group)


if __name__ == "__main__":
    SNAPSHOT.write_text(draw(), encoding="utf-8")
