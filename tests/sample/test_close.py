"""What the close makes of the sample's pods on Fargate."""

from collections.abc import Iterator

import duckdb
import pytest

from orchestration.close.publish import Publication
from orchestration.close.runner import close_month
from orchestration.lake import Lake
from orchestration.months import Month
from orchestration.settings import Settings
from tests.sample.reading import fetch

OCTOBER = Month(2026, 10)
Connection = duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """October's sample, closed as it is without settings."""
    home = tmp_path_factory.mktemp("closed sample")
    return close_month(OCTOBER, Settings(home=home), lambda _: None)


@pytest.fixture(scope="module")
def closed(published: Publication) -> Iterator[Connection]:
    """The warehouse, with views of the bill's lines and of what is published."""
    home = published.path.parents[2]
    connection = duckdb.connect(home / "warehouse" / "podledger.duckdb", read_only=True)
    for name, files in (
        ("scad", "scad/*.parquet"),
        ("remainder", "remainder.parquet"),
        ("controls", "controls.parquet"),
    ):
        path = published.path / files
        connection.execute(
            f"create temp view {name} as select * from read_parquet('{path}')"
        )
    lines = Lake(home).partition("raw/bill_lines", OCTOBER) / "*.parquet"
    connection.execute(
        f"create temp view bill_lines as select * from read_parquet('{lines}')"
    )
    yield connection
    connection.close()


def test_pods_on_fargate_cost_exactly_their_lines(closed: Connection) -> None:
    billed = fetch(
        closed,
        """
        select
            line_item_resource_id,
            sum(coalesce(
                savings_plan_savings_plan_effective_cost, line_item_unblended_cost
            ))
        from bill_lines
        where line_item_operation = 'FargatePod' and line_item_resource_id is not null
        group by all
        order by all
        """,
    )
    assert len(billed) == 77
    assert (
        fetch(
            closed,
            """
            select line_item_resource_id, sum(split_line_item_split_cost)
            from scad where line_item_operation = 'FargatePod'
            group by all
            order by all
            """,
        )
        == billed
    )
