"""dbt's documentation as one page, with the lineage that only Dagster knows.

dbt takes what Python writes for a source: something that begins there. Dagster knows what
it is made from. Holds joining the two, and what must be there before the page is built.
See https://docs.getdbt.com/docs/build/documentation
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from dagster import AssetKey

from orchestration.cli.runner import close_month
from orchestration.definitions import defs
from orchestration.engines.dbt.project import DBT_EXECUTABLE, dbt_environment, project
from orchestration.engines.dbt.translator import Translator
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import DBT_PROJECT_DIR, Settings

PAGE = DBT_PROJECT_DIR / "target" / "static_index.html"
"""Where ``make docs`` leaves the page."""

SAMPLE_MONTH = Month(2026, 10)


def build_page(settings: Settings, page: Path = PAGE) -> Path:
    """Write the documentation of the warehouse as one HTML file, and return it.

    Args:
        settings: Whose warehouse it is; types of columns are read from there.
        page: The file to write.

    Raises:
        PodledgerError: There is no warehouse yet, or dbt cannot read it.
    """
    if not settings.warehouse.exists():
        raise PodledgerError(
            f"dbt's documentation reads the types of columns from {settings.warehouse},"
            " which the first close builds. Run podledger close for a month, and then"
            " this again."
        )
    target = settings.home / "scratch" / "dbt_docs"
    _generate(settings, target)
    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    connect_sources(manifest)
    describe_sources(manifest, catalog)
    page.parent.mkdir(parents=True, exist_ok=True)
    # dbt's own --static does the same with the manifest as it was.
    page.write_text(
        (target / "index.html")
        .read_text()
        .replace('"MANIFEST.JSON INLINE DATA"', _as_script(manifest))
        .replace('"CATALOG.JSON INLINE DATA"', _as_script(catalog))
    )
    return page


def connect_sources(manifest: dict[str, Any]) -> None:
    """Add to dbt's manifest, in place, what its sources are made from.

    Args:
        manifest: ``manifest.json`` as dbt wrote it; ``parent_map`` and ``child_map``
            are what the lineage is drawn from.
    """
    graph = defs.resolve_asset_graph()
    assets = _assets(manifest)
    ids = {key: unique_id for unique_id, key in assets.items()}
    for unique_id in manifest["sources"]:
        if not graph.has(assets[unique_id]):
            continue
        for parent_key in sorted(graph.get(assets[unique_id]).parent_keys):
            if parent := ids.get(parent_key):
                manifest["parent_map"].setdefault(unique_id, []).append(parent)
                manifest["child_map"].setdefault(parent, []).append(unique_id)


def describe_sources(manifest: dict[str, Any], catalog: dict[str, Any]) -> None:
    """Add to dbt's catalogue, in place, the types of the sources' columns.

    dbt asks the warehouse for them, and the sources are files in the lake.

    Args:
        manifest: ``manifest.json``, where the sources say them.
        catalog: ``catalog.json`` as dbt wrote it.
    """
    for unique_id, source in manifest["sources"].items():
        catalog["sources"][unique_id] = {
            "unique_id": unique_id,
            "metadata": {
                "type": "Parquet",
                "schema": source["schema"],
                "name": source["name"],
                "database": source["database"],
                "owner": None,
                "comment": None,
            },
            "stats": {},
            "columns": {
                name: {"name": name, "type": column["data_type"], "index": index}
                for index, (name, column) in enumerate(source["columns"].items(), 1)
            },
        }


def _assets(manifest: dict[str, Any]) -> dict[str, AssetKey]:
    """Key of the asset that each model, seed and source of dbt is, by dbt's id."""
    translator = Translator()
    return {
        unique_id: translator.get_asset_spec(manifest, unique_id, project).key
        for unique_id, node in {**manifest["nodes"], **manifest["sources"]}.items()
        if node["resource_type"] in {"model", "seed", "source"}
    }


def _generate(settings: Settings, target: Path) -> None:
    """Have dbt write ``manifest.json``, ``catalog.json`` and its empty page."""
    with dbt_environment(settings):
        done = subprocess.run(
            [
                os.fspath(DBT_EXECUTABLE),
                *("--quiet", "docs", "generate"),
                *("--project-dir", os.fspath(DBT_PROJECT_DIR)),
                *("--profiles-dir", os.fspath(DBT_PROJECT_DIR)),
                *("--target-path", os.fspath(target)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PodledgerError(
            f"dbt cannot document {settings.warehouse}: {done.stdout}{done.stderr} If"
            " another process has it open, wait until that has ended."
        )


def _as_script(data: object) -> str:
    """JSON that may stand in an HTML page: no text of it ends the script."""
    return json.dumps(data).replace("</", "<\\/")


def main() -> None:
    """Build the page; where nothing of one's own is set, close the sample month first."""
    settings = Settings()
    if not (settings.warehouse.exists() or settings.bill or settings.pods):
        print(f"No month is closed yet: closing the sample month {SAMPLE_MONTH} first ...")
        close_month(SAMPLE_MONTH, settings, lambda _: None)
    print(build_page(settings))


if __name__ == "__main__":
    try:
        main()
    except PodledgerError as error:
        raise SystemExit(f"podledger: {error}") from None
