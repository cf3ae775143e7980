"""dbt's models as Dagster's assets: names, groups, owners, and lineage of columns.

See https://docs.dagster.io/integrations/libraries/dbt/reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from orchestration.engines.dbt.project import lineage_of_project, manifest_of_project
from orchestration.engines.metadata import column_lineage


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
        origins = lineage_of_project().get(dbt_resource_props["unique_id"])
        if not origins:
            return metadata
        keys = {
            unique_id: self.get_asset_key(
                self.get_resource_props(manifest_of_project(), unique_id)
            )
            for unique_id in {id_ for made_from in origins.values() for id_, _ in made_from}
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
    "models/staging/org/stg_org__policy": "distribution",
    "models/intermediate/distribution": "distribution",
    "models/marts/distribution": "distribution",
    "models/marts": "close",
    "models/semantic_models": "close",
    "models/intermediate/proofs": "close",
}


_OWNERS = {"inventory": "team:platform"}
"""Who acts first when an asset of a room fails; ``team:finops`` in every other."""


def _kind(properties: Mapping[str, Any]) -> str:
    """``view``, ``table`` or ``seed``: what is in the warehouse."""
    materialized = str(properties["config"]["materialized"])
    return "table" if materialized == "incremental" else materialized


def _room(path: str) -> str:
    """The group of a model, by where it lies; ``split`` if nothing else is said."""
    return next(
        (room for folder, room in _ROOMS.items() if path.startswith(folder)), "split"
    )


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."
