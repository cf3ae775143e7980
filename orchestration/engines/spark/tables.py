"""What dbt wrote on Spark, as the warehouse shows it to its readers.

On Spark a model is a folder of Parquet files (``dbt_project/macros/spark.sql``). The
warehouse then holds a view of each, so that split, checks and publishing ask one DuckDB
file, whichever engine filled it.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from orchestration.engines.duckdb import quote


def spark_tables(warehouse: Path) -> Path:
    """Folder in which Spark keeps a folder a model."""
    return warehouse.parent / "spark"


def show_spark_tables(warehouse: Path) -> None:
    """Give the warehouse a view of every model that Spark wrote a month of.

    Args:
        warehouse: The DuckDB file; made if there is none.
    """
    months = sorted(spark_tables(warehouse).glob("*/billing_month=*"))
    with duckdb.connect(warehouse) as connection:
        for folder in sorted({month.parent for month in months}):
            files = quote(str(folder / "billing_month=*" / "*.parquet"))
            connection.execute(
                f'create or replace view "{folder.name}" as'
                f" select * from read_parquet({files}, hive_partitioning = true)"
            )
