"""The dbt project: where it lies, what is made of it once, and what it asks of a run.

The manifest, the parsed project and the lineage of columns are made at set-up, and again
only when a file of the project changed, so that no close parses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
from dagster_dbt import DbtProject

from orchestration.engines.dbt import lineage
from orchestration.engines.dbt.lineage import Origins
from orchestration.engines.duckdb import remove_database
from orchestration.engines.metadata import column_schema
from orchestration.engines.spark.tables import spark_tables
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import DBT_PROJECT_DIR, Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

DBT_EXECUTABLE = Path(sys.executable).parent / "dbt"

project = DbtProject(project_dir=DBT_PROJECT_DIR)

_MADE_BY_DBT = frozenset({"target", "logs"})

TARGET = DBT_PROJECT_DIR / "target"
"""What dbt makes; each run has a folder of its own in it."""

_LINEAGE = "column_lineage.json"
_PARSED = "parsed.msgpack"
_ANY_HOME = "/podledger-home"
"""Stands in the parsed project for the home, which differs from run to run."""


@contextmanager
def dbt_environment(settings: Settings) -> Iterator[None]:
    """Hold in the environment what ``profiles.yml``, sources and models ask for.

    dbt has no other way in that does not make it parse the project again every month.
    """
    for folder in (settings.warehouse.parent, settings.home / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    with _environment(_given(os.fspath(settings.home), settings)):
        yield


def _given(home: str, settings: Settings) -> dict[str, str]:
    return {
        "PODLEDGER_HOME": home,
        "PODLEDGER_LABELS": ",".join(settings.labels),
        "PODLEDGER_METHOD": str(settings.method),
        "PODLEDGER_MEMORY": settings.memory,
    }


@contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name)
        os.environ.update({name: before[name] for name in given if name in before})


def discard_old_warehouse(settings: Settings) -> None:
    """Remove a warehouse that other SQL, or another engine, built.

    All that it holds is made again from the lake, month by month; its tables have the
    columns of that version.
    """
    stamp = settings.warehouse.with_name("project.sha256")
    digest = f"{_sql_digest()} {settings.engine}"
    if settings.warehouse.exists() and not (stamp.exists() and stamp.read_text() == digest):
        remove_database(settings.warehouse)
        shutil.rmtree(spark_tables(settings.warehouse), ignore_errors=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)


@cache
def _sql_digest() -> str:
    """What the tables of a warehouse are made by: SQL, seeds and contracts, and no words.

    Macros stand for themselves, since what is compiled is DuckDB's side of them.
    """
    found = manifest_of_project()
    made_by = [
        (
            unique_id,
            node.get("compiled_code"),
            node["checksum"]["checksum"] if node["resource_type"] == "seed" else None,
            node["config"]["materialized"],
            node["config"].get("contract", {}).get("enforced"),
            sorted((name, one["data_type"]) for name, one in node["columns"].items()),
        )
        for unique_id, node in sorted(found["nodes"].items())
        if node["resource_type"] in {"model", "seed"}
    ]
    macros = [
        (unique_id, macro["macro_sql"])
        for unique_id, macro in sorted(found["macros"].items())
        if macro["package_name"] == project.name
    ]
    return hashlib.sha256(json.dumps([made_by, macros]).encode()).hexdigest()


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


@cache
def manifest_path() -> Path:
    """The dbt manifest, with the SQL of its models, made again only when a file changed.

    The parsed project and what columns are made from are kept beside it.

    Raises:
        PodledgerError: dbt cannot compile the project.
    """
    manifest = TARGET / "manifest.json"
    stamp = manifest.with_name("manifest.sha256")
    made = [manifest, stamp, *(manifest.with_name(name) for name in (_LINEAGE, _PARSED))]
    digest = f"{_project_digest()} dbt {version('dbt-core')} {version('dbt-duckdb')}"
    if not (all(path.exists() for path in made) and stamp.read_text() == digest):
        stamp.unlink(missing_ok=True)
        _compile(manifest)
        traced = lineage.trace_columns(json.loads(manifest.read_bytes()))
        manifest.with_name(_LINEAGE).write_text(json.dumps(traced))
        stamp.write_text(digest)
    return manifest


def _compile(manifest: Path) -> None:
    # Half of what importing Dagster's definitions takes: whoever reads a manifest that is
    # there does without.
    from dbt.cli.main import dbtRunner
    from dbt.constants import PARTIAL_PARSE_FILE_NAME

    quiet = ["--quiet", "--log-level-file", "none"]
    project_dir = os.fspath(DBT_PROJECT_DIR)
    where = ["--project-dir", project_dir, "--profiles-dir", project_dir]
    # Of the defaults, whatever the environment says: each run compiles by its own settings.
    given = _given(_ANY_HOME, Settings.model_construct())
    with _environment(given), directory_kept():
        result = dbtRunner().invoke([*quiet, "parse", *where])
        if result.success:
            # Whoever runs dbt by hand, from another home, writes this file again.
            shutil.copy(
                manifest.with_name(PARTIAL_PARSE_FILE_NAME), manifest.with_name(_PARSED)
            )
            result = dbtRunner().invoke(
                [
                    *quiet,
                    # Without introspection, it opens no warehouse.
                    *("compile", "--no-introspect", "--no-populate-cache"),
                    *("--exclude", "resource_type:test", "resource_type:unit_test"),
                    *where,
                ]
            )
    if not result.success:
        failed = [
            one.message for one in getattr(result.result, "results", ()) if one.message
        ]
        raise PodledgerError(
            f"dbt cannot compile {DBT_PROJECT_DIR}: {result.exception or failed}"
            " Correct the model that it names."
        )


@contextmanager
def directory_kept() -> Iterator[None]:
    """Come back to where the process was: dbt goes to its project."""
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)


def parsed_project(home: Path) -> Manifest:
    """The project as dbt parsed it, with its sources below ``home``.

    dbt writes into what it is given, so every build has a copy of its own.
    """
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(_parsed(), decoder=extended_mashumuro_decoder)
    cast("Any", manifest).build_flat_graph()
    for source in manifest.sources.values():
        location = source.config["external_location"]
        source.config["external_location"] = location.replace(_ANY_HOME, os.fspath(home))
    return manifest


@cache
def _parsed() -> bytes:
    return manifest_path().with_name(_PARSED).read_bytes()


def _project_digest() -> str:
    """Of every file that dbt reads, descriptions too, and of what reads them here."""
    digest = hashlib.sha256()
    for module in (Path(__file__), Path(lineage.__file__)):
        digest.update(module.read_bytes())
    # Folders of other runs come and go in target/, so it is not even looked into.
    rooms = [path for path in DBT_PROJECT_DIR.iterdir() if path.name not in _MADE_BY_DBT]
    for path in sorted(path for room in rooms for path in (room, *room.rglob("*"))):
        if path.suffix in {".sql", ".yml", ".csv", ".md"}:
            inside = os.fspath(path.relative_to(DBT_PROJECT_DIR))
            digest.update(inside.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def manifest_of_project() -> dict[str, Any]:
    """The manifest, read."""
    return cast("dict[str, Any]", json.loads(manifest_path().read_bytes()))


@cache
def lineage_of_project() -> dict[str, Origins]:
    """What each column of each model is made from."""
    path = manifest_path().with_name(_LINEAGE)
    return cast("dict[str, Origins]", json.loads(path.read_bytes()))


def source_schema(name: str) -> dg.TableSchema:
    """Columns of a table that is dbt's source, as the project documents them.

    Args:
        name: Of the table in the lake, like ``bill_lines``.
    """
    sources = manifest_of_project()["sources"].values()
    columns = next(one["columns"] for one in sources if one["name"] == name)
    return column_schema(columns)
