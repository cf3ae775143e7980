"""How Dagster runs the dbt project: manifest, translator, window, environment.

Holds what both groups of dbt models share. Which models belong to which group is said
where the assets are: ``split/assets.py`` and ``close/assets.py``. We use ``@dbt_assets``
rather than the component, because the month's window is computed from the partition.
See https://docs.dagster.io/integrations/libraries/dbt
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject

from orchestration.errors import PodledgerError
from orchestration.months import Month
from orchestration.partitions import month_of
from orchestration.settings import DBT_PROJECT_DIR, Settings

WAREHOUSE_POOL = "warehouse"
"""DuckDB lets one process write and then none read: every step that opens it is in here."""

DBT_EXECUTABLE = Path(sys.executable).parent / "dbt"

project = DbtProject(project_dir=DBT_PROJECT_DIR)


def dbt_resource() -> DbtCliResource:
    """The dbt of this very Python environment, whatever ``PATH`` says."""
    return DbtCliResource(
        project_dir=project,
        dbt_executable=os.fspath(DBT_EXECUTABLE),
        profiles_dir=os.fspath(DBT_PROJECT_DIR),
    )


def hand_over(settings: Settings) -> None:
    """Put into the environment what ``profiles.yml`` and the sources ask for.

    dbt has no other way in that does not make it parse the project anew every month.
    """
    os.environ["PODLEDGER_HOME"] = os.fspath(settings.home)
    os.environ["PODLEDGER_LABELS"] = ",".join(settings.labels)
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)


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
    """The dbt manifest, parsed anew only when a file of the project changed."""
    manifest = DBT_PROJECT_DIR / "target" / "manifest.json"
    stamp = manifest.with_name("manifest.sha256")
    digest = _project_digest()
    if not (manifest.exists() and stamp.exists() and stamp.read_text() == digest):
        hand_over(Settings())
        parsed = subprocess.run(
            [
                os.fspath(DBT_EXECUTABLE),
                *("parse", "--quiet"),
                *("--project-dir", os.fspath(DBT_PROJECT_DIR)),
                *("--profiles-dir", os.fspath(DBT_PROJECT_DIR)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if parsed.returncode:
            raise PodledgerError(
                f"dbt cannot parse {DBT_PROJECT_DIR}: {parsed.stdout}{parsed.stderr}"
                " Correct the model that it names."
            )
        stamp.write_text(digest)
    return manifest


def _project_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(DBT_PROJECT_DIR.rglob("*")):
        inside = path.relative_to(DBT_PROJECT_DIR)
        if inside.parts[0] in {"target", "logs"} or path.suffix not in {".sql", ".yml", ".csv"}:
            continue
        digest.update(os.fspath(inside).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class Translator(DagsterDbtTranslator):
    """Groups of models follow the flow of the house, by folder."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """``bill``, ``inventory``, ``split`` or ``close``."""
        path = dbt_resource_props["original_file_path"]
        for folder, group in (
            ("models/staging/cur", "bill"),
            ("models/staging/k8s", "inventory"),
            ("models/marts", "close"),
        ):
            if path.startswith(folder):
                return group
        return "split"


def build_models(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, settings: Settings
) -> Iterator[Any]:
    """Build the selected models for the partition's month, in one dbt invocation."""
    hand_over(settings)
    arguments = ["build", "--exclude", "resource_type:unit_test", *window(month_of(context))]
    yield from dbt.cli(arguments, context=context).stream()
