"""The SQL of node-hours says the same on Spark as in DuckDB, to the last unit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.close.publish import Publication
from orchestration.dbt import DBT_EXECUTABLE, dbt_environment
from orchestration.settings import DBT_PROJECT_DIR, Settings

VERSIONS = tuple(f"int_node_hours__weighed_v{version}" for version in (1, 2, 3))


@pytest.mark.slow
def test_node_hours_cost_the_same_in_the_sql_of_spark(
    spark_server: Any, closed_world: Publication, tmp_path: Path
) -> None:
    pytest.importorskip("dbt.adapters.spark")
    from pyspark.sql.connect.session import SparkSession

    home = closed_world.path.parents[2]
    models = compile_models(home, tmp_path / "target")
    spark = SparkSession.builder.remote(spark_server.address).create()
    with duckdb.connect(str(home / "warehouse" / "podledger.duckdb"), read_only=True) as db:
        try:
            spark.conf.set("spark.sql.session.timeZone", "UTC")
            spark.conf.set("spark.sql.decimalOperations.allowPrecisionLoss", "false")
            for schema in ("raw", "podledger"):
                spark.sql(f"create database if not exists {schema}")
            for folder in (home / "lake" / "raw").iterdir():
                see(spark, f"raw.{folder.name}", f"select * from parquet.`{folder}`")
            seed = tmp_path / "ec2_instance_types.parquet"
            db.execute(f"copy ec2_instance_types to '{seed}' (format parquet)")
            see(spark, "podledger.ec2_instance_types", f"select * from parquet.`{seed}`")
            for name, sql in models:
                see(spark, f"podledger.{name}", sql)
            for name in VERSIONS:
                columns = [row[0] for row in db.execute(f"describe {name}").fetchall()]
                rows = f"select {', '.join(columns)} from"
                expected = db.execute(f"{rows} {name}").fetchall()
                found = spark.sql(f"{rows} podledger.{name}").collect()
                assert len(expected) > 30
                assert sorted(str(tuple(row)) for row in found) == sorted(
                    map(str, expected)
                )
        finally:
            spark.stop()


def compile_models(home: Path, target: Path) -> list[tuple[str, str]]:
    """Name and SQL of what node-hours are made of, in the order of their making."""
    with dbt_environment(Settings(home=home)):
        subprocess.run(
            [
                str(DBT_EXECUTABLE),
                *("--quiet", "compile", "--target", "spark", "--no-introspect"),
                *("--no-populate-cache", "--target-path", str(target)),
                *("--project-dir", str(DBT_PROJECT_DIR)),
                *("--profiles-dir", str(DBT_PROJECT_DIR)),
            ],
            check=True,
        )
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    order: dict[str, tuple[str, str]] = {}

    def visit(key: str) -> None:
        node = nodes.get(key)
        if key in order or node is None or node["resource_type"] != "model":
            return
        for needed in node["depends_on"]["nodes"]:
            visit(needed)
        path = target / "compiled" / "podledger" / node["original_file_path"]
        order[key] = (node["alias"], path.read_text())

    for key, node in nodes.items():
        if node["resource_type"] == "model" and node["alias"] in VERSIONS:
            visit(key)
    return list(order.values())


def see(spark: Any, name: str, sql: str) -> None:
    spark.sql(f"create or replace view {name} as {sql}")
