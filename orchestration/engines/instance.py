"""The Dagster instance that runs are recorded in, and the pool that its steps share."""

from __future__ import annotations

import shutil

import dagster as dg

from orchestration.lake.settings import PROJECT_DIR, Settings, dagster_home

WAREHOUSE_POOL = "warehouse"
"""DuckDB lets one process write and then none read: every step that opens it is in here."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this deployment, configured like ``dagster.yaml``."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(PROJECT_DIR / "dagster.yaml", home / "dagster.yaml")
    return dg.DagsterInstance.from_config(str(home))
