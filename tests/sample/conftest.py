"""The sample month, made once a session, and read through the doors of a customer's."""

from collections.abc import Iterator

import duckdb
import pytest

from orchestration.bill.catalogue import SEED
from orchestration.bill.exports import find_deliveries
from orchestration.bill.lines import read_bill
from orchestration.inventory.ingest import ingest_inventory
from orchestration.inventory.sources import parse_source
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.sample import Sample, write_sample

OCTOBER = Month(2026, 10)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """October's sample."""
    return write_sample(tmp_path_factory.mktemp("sample"), OCTOBER)


@pytest.fixture(scope="session")
def month_in_lake(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """October's sample as bill and inventory read it."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(home)
    roots = [str(root) for root in sample.bill_roots]
    deliveries = find_deliveries(roots, OCTOBER, landing=home / "landing")
    read_bill(deliveries, OCTOBER, lake, lambda _: None)
    sources = [parse_source(str(root)) for root in sample.pod_roots]
    ingest_inventory(sources, OCTOBER, lake, home / "scratch")
    return lake


@pytest.fixture(scope="session")
def month(month_in_lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """Views ``bill_lines``, ``pod_hours``, ``node_hours``, ``catalogue``, ``node_lines``.

    ``node_lines`` are the lines that carry an instance.
    """
    connection = duckdb.connect()
    for table in ("bill_lines", "pod_hours", "node_hours"):
        files = month_in_lake.partition(f"raw/{table}", OCTOBER) / "*.parquet"
        connection.execute(f"create view {table} as select * from read_parquet('{files}')")
    connection.execute(f"create view catalogue as select * from read_csv('{SEED}')")
    connection.execute(
        """
        create view node_lines as
        select
            *,
            line_item_usage_start_date as usage_hour,
            coalesce(
                product_instance_type, split_part(line_item_usage_type, ':', 2)
            ) as instance_type,
        from bill_lines
        where line_item_operation like 'RunInstances%'
            and coalesce(product_product_family, 'Compute Instance') = 'Compute Instance'
            and line_item_resource_id like 'i-%'
            and line_item_line_item_type
                in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
        """
    )
    yield connection
    connection.close()
