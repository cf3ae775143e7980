"""What dbt's documentation says, held against the manifest, the lake and the warehouse."""

import json
import re
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from orchestration.cli.dbt_docs import build_page, connect_sources
from orchestration.close.publish import Publication
from orchestration.engines.dbt.project import manifest_path
from orchestration.inventory.owners import OWNERSHIP
from orchestration.lake import schemas
from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import Settings

TABLES = {
    "bill_lines": schemas.BILL_LINES,
    "bill_files": schemas.BILL_FILES,
    "pod_hours": schemas.POD_HOURS,
    "node_hours": schemas.NODE_HOURS,
    "quota_hours": schemas.QUOTA_HOURS,
    "capacity_reservations": schemas.CAPACITY_RESERVATIONS,
    "dedicated_hosts": schemas.DEDICATED_HOSTS,
    "capacity_block_fees": schemas.CAPACITY_BLOCK_FEES,
    "inventory_files": schemas.INVENTORY_FILES,
    "inventory_gaps": schemas.INVENTORY_GAPS,
    "ownership": OWNERSHIP,
    "accelerator_equivalents": schemas.ACCELERATOR_EQUIVALENTS,
    "pod_costs": schemas.POD_COSTS,
    "unallocated_costs": schemas.UNALLOCATED_COSTS,
    "policy": schemas.POLICY,
    "charges": schemas.CHARGES,
    "charge_rules": schemas.CHARGE_RULES,
}
SQL_TYPES = {
    pa.string(): "varchar",
    schemas.HOUR: "timestamp",
    pa.date32(): "date",
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.int8(): "tinyint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.map_(pa.string(), pa.string()): "map(varchar, varchar)",
}
UNITS = re.compile(
    r"\b(USD|hours?|GiB|bytes|seconds|vCPUs?|devices?|accelerators?|rows|lines|weight"
    r"|number|counts?|files|pods|0 to 1|in capacities|instances|price)\b",
    re.IGNORECASE,
)
NUMERIC = re.compile(r"decimal|double|float|int(eger)?$|bigint|hugeint|tinyint", re.I)
GRAIN = re.compile(r"One (row|run|statement)\b[^.]*\.$")


@cache
def manifest() -> dict[str, Any]:
    return json.loads(manifest_path().read_text())


def documented() -> list[dict[str, Any]]:
    """Models, seeds and sources."""
    nodes = {**manifest()["nodes"], **manifest()["sources"]}.values()
    return [one for one in nodes if one["resource_type"] in ("model", "seed", "source")]


def test_every_table_says_what_it_holds_and_ends_in_its_grain() -> None:
    told = {
        one["unique_id"]: " ".join(one["description"].split())
        for one in [*documented(), *manifest()["exposures"].values()]
    }
    assert len(told) > 40
    assert [name for name, text in told.items() if not GRAIN.search(text)] == []


def test_every_column_is_described() -> None:
    silent = [
        f"{one['unique_id']}.{name}"
        for one in documented()
        for name, column in one["columns"].items()
        if not column["description"].strip()
    ]
    assert silent == []
    assert all(one["columns"] for one in documented())


def test_sources_have_the_columns_of_the_lake_with_their_types() -> None:
    def type_of(field: pa.Field) -> str:
        if pa.types.is_decimal(field.type):
            return f"decimal({field.type.precision}, {field.type.scale})"
        return SQL_TYPES[field.type]

    assert {one["name"] for one in manifest()["sources"].values()} == set(TABLES)
    for source in manifest()["sources"].values():
        told = {name: column["data_type"] for name, column in source["columns"].items()}
        kept = {field.name: type_of(field) for field in TABLES[source["name"]]}
        assert told == {"billing_month": "date"} | kept, source["name"]


@pytest.fixture(scope="module")
def closed_home(closed_world: Publication) -> Settings:
    return Settings(home=closed_world.path.parents[2], _env_file=None)


def in_home(sql: str, settings: Settings) -> str:
    """SQL that was compiled for any home, for that one."""
    return sql.replace("/podledger-home", str(settings.home))


def test_models_describe_the_columns_that_they_have_and_numbers_name_their_unit(
    closed_home: Settings,
) -> None:
    with duckdb.connect(str(closed_home.warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = 'main'"
        ).fetchall()
        # Ephemeral models are in no warehouse, but their SQL has columns all the same.
        rows += [
            (one["alias"], column, data_type)
            for one in documented()
            if one["config"].get("materialized") == "ephemeral"
            for column, data_type, *_ in connection.execute(
                f"describe {in_home(one['compiled_code'], closed_home)}"
            ).fetchall()
        ]
    built: dict[str, dict[str, str]] = {}
    for table, column, data_type in rows:
        built.setdefault(table, {})[column] = data_type
    unitless = []
    for one in documented():
        if one["resource_type"] == "source":
            types = {name: c["data_type"] for name, c in one["columns"].items()}
        else:
            types = built[one["alias"]]
            assert set(one["columns"]) == set(types), one["unique_id"]
        unitless += [
            f"{one['unique_id']}.{name}: {one['columns'][name]['description']}"
            for name, data_type in types.items()
            if NUMERIC.match(data_type)
            and not UNITS.search(one["columns"][name]["description"])
        ]
    assert unitless == []


def test_amounts_say_that_they_are_dollars() -> None:
    wordless = [
        f"{one['unique_id']}.{name}"
        for one in documented()
        for name, column in one["columns"].items()
        if name.endswith(("_usd", "_cost")) and "USD" not in column["description"]
    ]
    assert wordless == []


def test_exposures_name_their_owner_and_rest_on_marts_alone() -> None:
    exposures = manifest()["exposures"].values()
    assert {one["name"] for one in exposures} >= {
        "monthly_close",
        "monthly_statement",
        "scad_export",
    }
    for one in exposures:
        assert one["owner"]["name"]
        assert one["label"]
        read = [manifest()["nodes"][parent] for parent in one["depends_on"]["nodes"]]
        assert read
        assert all(node["fqn"][1] == "marts" for node in read), one["name"]


def test_the_lineage_goes_from_the_statement_through_python_to_the_bill() -> None:
    whole = json.loads(json.dumps(manifest()))
    connect_sources(whole)
    for statement in (
        "model.podledger.fct_split_line_items",
        "model.podledger.fct_unallocated",
    ):
        seen, open_ = set(), [statement]
        while open_:
            parents = whole["parent_map"].get(open_.pop(), [])
            open_ += [parent for parent in parents if parent not in seen]
            seen |= set(parents)
        assert {
            "source.podledger.raw.bill_lines",
            "source.podledger.raw.pod_hours",
            "source.podledger.raw.node_hours",
            "source.podledger.split.accelerator_equivalents",
            "model.podledger.int_node_hours__weighed.v2",
            "seed.podledger.ec2_instance_types",
        } <= seen
        children = whole["child_map"]["model.podledger.int_node_hours__weighed.v2"]
        assert "source.podledger.split.pod_costs" in children


def test_the_page_holds_our_overview_and_every_model(
    closed_home: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = build_page(closed_home, tmp_path_factory.mktemp("docs") / "page.html")
    text = page.read_text()
    assert "INLINE DATA" not in text
    assert "From the bill to the statement" in text
    assert all(f'"{one["unique_id"]}"' in text for one in documented())


def test_without_a_closed_month_the_page_says_what_to_do(tmp_path: Any) -> None:
    with pytest.raises(PodledgerError, match="Run podledger close for a month"):
        build_page(Settings(home=tmp_path, _env_file=None), tmp_path / "page.html")
