"""The models of a month, built by dbt as one step of Dagster.

Holds what both groups of dbt models share. Which models belong to which group is said
where the assets are: ``split/assets.py`` and ``close/assets.py``. We use ``@dbt_assets``
rather than the component, because the month's window is computed from the partition.
See https://docs.dagster.io/integrations/libraries/dbt
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource

from orchestration.engines.dbt.in_process import invoke
from orchestration.engines.dbt.project import dbt_environment, window
from orchestration.engines.metadata import Metadata
from orchestration.engines.partitions import month_of
from orchestration.engines.spark.session import require_spark
from orchestration.engines.spark.tables import show_spark_tables
from orchestration.lake.lake import Lake
from orchestration.lake.settings import Settings


def build_models(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    settings: Settings,
    show: Callable[[], Mapping[str, Metadata]] = dict,
    shown: Collection[str] = (),
) -> Iterator[Any]:
    """Build the selected models for the partition's month, in one dbt invocation.

    Args:
        context: Of the step.
        dbt: Of this environment, for Spark.
        settings: Of the deployment.
        show: Gives metadata by model. It may read the warehouse, so it is asked when dbt
            has let go of it; what dbt says of ``shown`` waits until then.
        shown: Names of models that it may speak of.

    Raises:
        PodledgerError: A model or a test failed; the message is dbt's own.
    """
    on_spark = settings.engine == "spark"
    arguments = [
        "build",
        "--exclude",
        "resource_type:unit_test",
        *window(month_of(context)),
        *(("--target", "spark") if on_spark else ()),
    ]
    if on_spark:
        require_spark()
    # dbt sees the folders of the lake, and asks nobody for their files.
    Lake(settings.home, settings.remote).fetch_month(month_of(context))
    waiting: list[Any] = []
    with dbt_environment(settings):
        try:
            # Spark's session would stay in this process, with its memory.
            invocation = (
                dbt.cli(arguments, context=context)
                if on_spark
                else invoke(arguments, context, settings)
            )
            for event in _whole(invocation.stream(), context):
                # What depends on a model may not be told before it.
                if waiting or _model(event) in shown:
                    waiting.append(event)
                else:
                    yield event
        except Exception:
            yield from waiting
            raise
    # What dbt compiled is of use only where it failed; every run has a folder of its own.
    shutil.rmtree(invocation.target_path, ignore_errors=True)
    if on_spark:
        show_spark_tables(settings.warehouse)
    metadata = show()
    for event in waiting:
        more = metadata.get(_model(event) or "") if isinstance(event, dg.Output) else None
        yield event.with_metadata({**event.metadata, **more}) if more else event


def _whole(events: Iterable[Any], context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Tell of models that dbt made part of their readers too, each before its readers.

    On Spark these are what DuckDB has as views. What is not told of would count as
    skipped, and so would all that depends on it.
    """
    names = {
        key: name
        for name, key in context.assets_def.keys_by_output_name.items()
        if name in context.op_execution_context.selected_output_names
    }
    waiting = set(names)

    def until(key: dg.AssetKey) -> Iterator[dg.Output[None]]:
        for needed in context.assets_def.asset_deps[key] & waiting:
            yield from told(needed)

    def told(key: dg.AssetKey) -> Iterator[dg.Output[None]]:
        yield from until(key)
        waiting.discard(key)
        yield dg.Output(None, output_name=names[key])

    keys = {name: key for key, name in names.items()}
    for event in events:
        if isinstance(event, dg.Output):
            key = keys[event.output_name]
            yield from until(key)
            waiting.discard(key)
        elif isinstance(event, dg.AssetCheckResult):
            for key in waiting & {event.asset_key}:
                yield from told(key)
        yield event
    while waiting:
        yield from told(next(iter(waiting)))


def _model(event: Any) -> str | None:
    """The model that an event of dbt's is about."""
    if isinstance(event, dg.Output):
        return event.output_name
    if isinstance(event, dg.AssetCheckResult) and event.asset_key:
        return event.asset_key.path[-1]
    return None
