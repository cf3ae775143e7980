"""How Dagster runs the dbt project: manifest, translator, window, environment.

Holds what both groups of dbt models share. Which models belong to which group is said
where the assets are: ``split/assets.py`` and ``close/assets.py``. We use ``@dbt_assets``
rather than the component, because the month's window is computed from the partition.
See https://docs.dagster.io/integrations/libraries/dbt
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject
from packaging.version import Version

from orchestration.column_lineage import Origins, trace_columns
from orchestration.duck import remove_database
from orchestration.errors import PodledgerError
from orchestration.lake import Lake
from orchestration.metadata import Metadata, column_lineage, column_schema
from orchestration.months import Month
from orchestration.partitions import month_of
from orchestration.settings import DBT_PROJECT_DIR, Settings
from orchestration.spark_session import require_spark
from orchestration.spark_tables import show_spark_tables, spark_tables

DBT_EXECUTABLE = Path(sys.executable).parent / "dbt"

_MADE_BY_DBT = frozenset({"target", "logs"})

project = DbtProject(project_dir=DBT_PROJECT_DIR)


class _InstalledDbt(DbtCliResource):
    """dbt's command, whose version is that of the package beside it.

    The parent asks a process of its own for the version: two seconds a close.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))


def dbt_resource() -> DbtCliResource:
    """The dbt of this very Python environment, whatever ``PATH`` says."""
    return _InstalledDbt(
        project_dir=os.fspath(DBT_PROJECT_DIR),
        dbt_executable=os.fspath(DBT_EXECUTABLE),
        profiles_dir=os.fspath(DBT_PROJECT_DIR),
    )


@contextmanager
def dbt_environment(settings: Settings) -> Iterator[None]:
    """Hold in the environment what ``profiles.yml``, sources and models ask for.

    dbt has no other way in that does not make it parse the project anew every month.
    """
    given = {
        "PODLEDGER_HOME": os.fspath(settings.home),
        "PODLEDGER_LABELS": ",".join(settings.labels),
        "PODLEDGER_METHOD": str(settings.method),
    }
    for folder in (settings.warehouse.parent, settings.home / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name)
        os.environ.update({name: before[name] for name in given if name in before})


def discard_old_warehouse(settings: Settings) -> None:
    """Remove a warehouse that another version of the dbt project, or engine, built.

    All that it holds is made again from the lake, month by month; its tables have the
    columns of that version.
    """
    stamp = settings.warehouse.with_name("project.sha256")
    digest = f"{_project_digest()} {settings.engine}"
    if settings.warehouse.exists() and not (stamp.exists() and stamp.read_text() == digest):
        remove_database(settings.warehouse)
        shutil.rmtree(spark_tables(settings.warehouse), ignore_errors=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)


def window(month: Month) -> list[str]:
    """Event-time flags of one month, half-open.

    Unlike ``--vars``, they leave dbt's parsed project valid from month to month.
    """
    return [
        "--event-time-start",
        month.start.date().isoformat(),
        "--event-time-end",
        month.end.date().isoformat(),
    ]


def manifest_path() -> Path:
    """The dbt manifest, with the SQL of its models, made anew only when a file changed.

    What columns are made from is traced then too, and kept beside it.
    """
    manifest = DBT_PROJECT_DIR / "target" / "manifest.json"
    stamp = manifest.with_name("manifest.sha256")
    lineage = manifest.with_name(_LINEAGE)
    digest = _project_digest()
    is_made = manifest.exists() and lineage.exists() and stamp.exists()
    if not (is_made and stamp.read_text() == digest):
        with dbt_environment(Settings()):
            parsed = subprocess.run(
                [
                    os.fspath(DBT_EXECUTABLE),
                    # Without introspection, it opens no warehouse.
                    *("compile", "--quiet", "--no-introspect", "--no-populate-cache"),
                    *("--exclude", "resource_type:test", "resource_type:unit_test"),
                    *("--project-dir", os.fspath(DBT_PROJECT_DIR)),
                    *("--profiles-dir", os.fspath(DBT_PROJECT_DIR)),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        if parsed.returncode:
            raise PodledgerError(
                f"dbt cannot compile {DBT_PROJECT_DIR}: {parsed.stdout}{parsed.stderr}"
                " Correct the model that it names."
            )
        lineage.write_text(json.dumps(trace_columns(json.loads(manifest.read_bytes()))))
        stamp.write_text(digest)
    return manifest


_LINEAGE = "column_lineage.json"


def _project_digest() -> str:
    digest = hashlib.sha256()
    # Folders of other runs come and go in target/, so it is not even looked into.
    rooms = [path for path in DBT_PROJECT_DIR.iterdir() if path.name not in _MADE_BY_DBT]
    for path in sorted(path for room in rooms for path in (room, *room.rglob("*"))):
        if path.suffix in {".sql", ".yml", ".csv"}:
            inside = os.fspath(path.relative_to(DBT_PROJECT_DIR))
            digest.update(inside.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _manifest() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(manifest_path().read_bytes()))


@cache
def _lineage() -> dict[str, Origins]:
    path = manifest_path().with_name(_LINEAGE)
    return cast("dict[str, Origins]", json.loads(path.read_bytes()))


def source_schema(name: str) -> dg.TableSchema:
    """Columns of a table that is dbt's source, as the project documents them.

    Args:
        name: Of the table in the lake, like ``bill_lines``.
    """
    sources = _manifest()["sources"].values()
    columns = next(one["columns"] for one in sources if one["name"] == name)
    return column_schema(columns)


class Translator(DagsterDbtTranslator):
    """Models as assets: groups follow the flow of the house, by folder."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """Describe a model in one line, and put it into its room."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        if properties["resource_type"] == "source":
            return spec
        room = _room(properties["original_file_path"])
        return spec.replace_attributes(
            description=_first_sentence(properties["description"]),
            group_name=room,
            kinds={"dbt", "duckdb", _kind(properties)},
            owners=[_OWNERS.get(room, "team:finops")],
        )

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add to what dbt says of a model what each of its columns is made from."""
        metadata = super().get_metadata(dbt_resource_props)
        origins = _lineage().get(dbt_resource_props["unique_id"])
        if not origins:
            return metadata
        keys = {
            unique_id: self.get_asset_key(self.get_resource_props(_manifest(), unique_id))
            for unique_id in dbt_resource_props["depends_on"]["nodes"]
        }
        return {
            **metadata,
            **column_lineage(
                {
                    column: [(keys[unique_id], name) for unique_id, name in made_from]
                    for column, made_from in origins.items()
                }
            ),
        }


_ROOMS = {
    "models/staging/cur": "bill",
    "models/staging/k8s": "inventory",
    "models/marts": "close",
    "models/intermediate/proofs": "close",
    "models/intermediate/remainder": "close",
}


_OWNERS = {"inventory": "team:platform"}
"""Who acts first when an asset of a room fails; ``team:finops`` in every other."""


def _kind(properties: Mapping[str, Any]) -> str:
    """``view``, ``table`` or ``seed``: what is in the warehouse."""
    materialized = str(properties["config"]["materialized"])
    return "table" if materialized == "incremental" else materialized


def _room(path: str) -> str:
    """``bill``, ``inventory``, ``split`` or ``close``, by where the model lies."""
    return next(
        (room for folder, room in _ROOMS.items() if path.startswith(folder)), "split"
    )


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


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
        dbt: Of this environment.
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
            invocation = dbt.cli(arguments, context=context)
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
