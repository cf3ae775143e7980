"""dbt's models as Dagster's assets: names, groups, owners, and lineage of columns.

See https://docs.dagster.io/integrations/libraries/dbt/reference
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from orchestration.engines.dbt.project import lineage_of_project, manifest_of_project
from orchestration.engines.metadata import column_lineage


class Translator(DagsterDbtTranslator):
    """Models as assets, in the groups of ``groups.yml`` and under their owners."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """Describe a model in one line, and say what is in the warehouse."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        if properties["resource_type"] == "source":
            return spec
        return spec.replace_attributes(
            description=_first_sentence(properties["description"]),
            kinds={"dbt", "duckdb", _kind(properties)},
        )

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        """The team that owns the group; the parent expects the address of a person."""
        group = dbt_resource_props.get("group")
        # Of a source it is no group but a name, if anything.
        return [f"team:{group['owner']['name']}"] if isinstance(group, Mapping) else None

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


def _kind(properties: Mapping[str, Any]) -> str:
    """``view``, ``table`` or ``seed``: what is in the warehouse."""
    materialized = str(properties["config"]["materialized"])
    return "table" if materialized == "incremental" else materialized


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."
