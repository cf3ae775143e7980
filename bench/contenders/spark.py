"""The split's own kernel on Spark, on this machine: ``applyInArrow`` over days.

Pods are shuffled to their days, each day goes to Python as Arrow and comes back so, and
Spark writes it. A session on this machine cannot show what a cluster does; it shows what
the way there and back costs.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema

from bench.worlds import MONTH, World
from orchestration.schemas import POD_COSTS
from orchestration.split.batch import Coverage, split_batch
from orchestration.split.node_hours import open_node_hours
from orchestration.split.pod_hours import COLUMNS
from orchestration.split.requests import Equivalents

DAY = "day"
ORDER = [
    ("instance_id", "ascending"),
    ("usage_hour", "ascending"),
    ("pod_uid", "ascending"),
]
WRITTEN = pa.schema(
    [
        *(
            field.with_type(pa.decimal128(18, 10)) if field.name.endswith("_usd") else field
            for field in POD_COSTS
        ),
        pa.field(DAY, pa.string()),
    ]
)
"""As Spark takes it: no 64-bit decimals."""


def run(world: World, out: Path) -> int:
    """Write a folder a day."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", len(MONTH.days))
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    equivalents = Equivalents.of_month(world.lake, MONTH)

    def split_day(key: tuple[pa.Scalar, ...], pods: pa.Table) -> pa.Table:
        day = key[0].as_py()
        with open_node_hours(world.warehouse, MONTH, 2) as reader:
            node_hours = reader.read(dt.date.fromisoformat(day))
        ordered = pods.select(list(COLUMNS)).sort_by(ORDER)
        hours = ordered["usage_hour"].cast(pa.timestamp("us"))
        position = ordered.schema.get_field_index("usage_hour")
        ordered = ordered.set_column(position, "usage_hour", hours)
        coverage = Coverage.none_of(node_hours)
        split = split_batch(ordered, node_hours, equivalents, coverage).pod_costs
        days = pa.array([day] * len(split), pa.string())
        return split.append_column(DAY, days).cast(WRITTEN)

    pods = session.read.parquet(*[str(path) for path in world.pod_files])
    days = pods.withColumn(DAY, sf.date_format("usage_hour", "yyyy-MM-dd")).groupBy(DAY)
    split = days.applyInArrow(
        split_day, from_arrow_schema(WRITTEN, prefer_timestamp_ntz=True)
    )
    split.write.partitionBy(DAY).mode("append").parquet(str(out))
    gateway = session.sparkContext._gateway
    session.stop()
    # The JVM ends with its standard input; what it took is ours once it was waited for.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
    return world.rows
