"""The whole house with its heavy work on Spark, against the same month without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.diff import compare
from tests.purchases import purchases
from tests.spark_server import SparkServer
from tests.test_close_of_hosts_and_clusters import hosts_and_clusters
from tests.test_close_of_tagged_remainder import tagged
from tests.test_fargate import WORLD as FARGATE
from tests.test_fargate import close as close_fargate
from tests.test_fargate import of_fargate
from tests.worlds import PAYERS

OCTOBER = Month(2026, 10)


def test_a_month_closed_on_spark_with_its_home_in_s3_is_published_with_the_same_rows(
    connected: SparkServer, aws: str, closed_world: Publication, tmp_path: Path
) -> None:
    """Executors see the folder to work in; what is in S3 is podledger's to write."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="ledger")
    inputs = closed_world.path.parents[3]
    published = close_month(
        OCTOBER,
        Settings(
            bill=tuple(str(inputs / payer) for payer in PAYERS),
            pods=(str(inputs / "pods"),),
            home="s3://ledger/finops",
            work=tmp_path / "work",
            engine="spark",
        ),
        lambda _: None,
    )
    assert list(compare(closed_world.path, published.path, lambda _: None)) == []
    assert published.address.startswith("s3://ledger/finops/published/")
    for table in ("raw/bill_lines", "pod_costs"):
        prefix = f"finops/lake/{table}/billing_month=2026-10-01/"
        found = client.list_objects_v2(Bucket="ledger", Prefix=prefix)["Contents"]
        assert any(one["Key"].endswith(".parquet") for one in found)


@pytest.mark.slow
def test_pods_on_fargate_are_published_with_the_same_rows(
    connected: SparkServer, tmp_path: Path
) -> None:
    local, by_spark = (
        close_fargate(tmp_path / name, FARGATE, engine=name) for name in ("local", "spark")
    )
    assert len(of_fargate(by_spark)) == 9
    assert list(compare(local.path, by_spark.path, lambda _: None)) == []


@pytest.mark.slow
@pytest.mark.parametrize("world", [purchases, hosts_and_clusters, tagged])
def test_what_is_bought_ahead_or_as_a_whole_is_published_with_the_same_rows(
    connected: SparkServer, tmp_path: Path, world: Callable[[Path], Settings]
) -> None:
    """Beside a month of the lake that knows no columns of capacity reservations."""
    settings = world(tmp_path)
    local, by_spark = (
        settings.model_copy(update={"home": tmp_path / name, "engine": name})
        for name in ("local", "spark")
    )
    published = close_month(OCTOBER, local, lambda _: None)
    older = Lake(by_spark.home)
    with older.replace("raw/bill_lines", OCTOBER.previous) as folder:
        for path in Lake(local.home).files("raw/bill_lines", OCTOBER):
            lines = pq.ParquetFile(path).read()
            new = [n for n in lines.column_names if n.startswith("capacity_reservation_")]
            assert new
            pq.write_table(lines.drop_columns(new), folder / path.name)
    again = close_month(OCTOBER, by_spark, lambda _: None)
    assert list(compare(published.path, again.path, lambda _: None)) == []


@pytest.mark.slow
def test_the_sample_month_is_published_with_the_same_rows(
    connected: SparkServer, tmp_path: Path
) -> None:
    local, by_spark = (
        close_month(OCTOBER, Settings(home=tmp_path / name, engine=name), lambda _: None)
        for name in ("local", "spark")
    )
    assert list(compare(local.path, by_spark.path, lambda _: None)) == []
