"""The split on Spark, as the close runs it there, in a Spark of this machine's own.

A session on this machine cannot show what a cluster does; it shows what the way to Spark
and back costs.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyspark import SparkContext

from bench.contenders import podledger
from bench.worlds import World
from orchestration.split.engines import spark


def run(world: World, out: Path) -> int:
    """Split the month, and wait for the JVM, so that what it took is counted."""
    os.environ.pop("SPARK_REMOTE", None)
    rows = podledger.run(world, out, spark.split_month)
    # The JVM ends with its standard input; what it took is ours once it was waited for.
    gateway = SparkContext._gateway
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
    return rows
