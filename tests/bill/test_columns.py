"""Columns go by AWS's own names, whatever the layout calls them; some must be there."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.bill.columns import REQUIRED, normal_name
from orchestration.lake.errors import PodledgerError
from orchestration.lake.schemas import BILL_LINES
from tests.bill import writers
from tests.bill.writers import LEGACY_NAMES, LEGACY_PRODUCT, line


@pytest.mark.parametrize(("name", "legacy"), LEGACY_NAMES.items())
def test_a_legacy_name_becomes_the_one_that_cur2_has(name: str, legacy: str) -> None:
    assert normal_name(legacy) == name
    assert normal_name(name) == name


def test_attributes_keep_the_keys_that_cur2_has() -> None:
    assert {
        normal_name(legacy): f"product_{key}" for key, legacy in LEGACY_PRODUCT.items()
    } == {f"product_{key}": f"product_{key}" for key in LEGACY_PRODUCT}


def test_every_column_of_the_lake_is_its_own_normal_name() -> None:
    assert [normal_name(name) for name in BILL_LINES.names] == BILL_LINES.names


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("write", [writers.legacy, writers.cur2, writers.athena])
def test_a_required_column_that_is_missing_is_named(
    name: str, write: Callable, root: Path, read: Callable
) -> None:
    (path,) = write(root, [line(**{name: None})])
    with pytest.raises(PodledgerError) as refused:
        read(root)
    assert f"has no column {name}" in str(refused.value)
    assert path.name in str(refused.value)
    assert str(root) in str(refused.value)


def test_unknown_columns_are_ignored_and_known_ones_may_come_and_go(
    root: Path, read: Callable, rows: Callable
) -> None:
    """Legacy reports gain and lose columns from one month, and one chunk, to the next."""
    writers.legacy(
        root,
        [line(line_item_blended_rate="x", reservation_effective_cost="0.5")],
        [line(product_instance_type=None, pricing_public_on_demand_cost=None)],
    )
    read(root)
    first, second = rows()
    assert (first["reservation_effective_cost"], second["reservation_effective_cost"]) == (
        pytest.approx(0.5),
        None,
    )
    assert second["product_instance_type"] is None
    assert "line_item_blended_rate" not in first


def test_a_column_that_stands_twice_is_refused(root: Path, read: Callable) -> None:
    """Nobody could say which of the two is the cost."""
    header, rows = writers.legacy_rows([line()])
    place = header.index("lineItem/UnblendedCost")
    text = writers.csv_text([*header, header[place]], [[*row, row[place]] for row in rows])
    writers.legacy_files(root, [("cur-1.csv.gz", gzip.compress(text))])
    with pytest.raises(PodledgerError, match="line_item_unblended_cost twice"):
        read(root)


def test_a_tag_that_stands_twice_is_refused(root: Path, read: Callable) -> None:
    header, rows = writers.legacy_rows([line()])
    place = header.index("resourceTags/user:Team")
    text = writers.csv_text([*header, header[place]], [[*row, row[place]] for row in rows])
    writers.legacy_files(root, [("cur-1.csv.gz", gzip.compress(text))])
    with pytest.raises(PodledgerError, match="'resourceTags/user:Team' twice"):
        read(root)


def test_the_region_falls_back_on_the_older_attribute(
    root: Path, read: Callable, rows: Callable
) -> None:
    world = [
        line(product_region_code=None, product={"region": "eu-west-1"}),
        line(product_region_code=None, product={"region": "x", "region_code": "eu-west-2"}),
    ]
    writers.athena(root, world)
    read(root)
    assert [row["product_region_code"] for row in rows()] == ["eu-west-1", "eu-west-2"]


def test_attributes_are_taken_from_the_map_where_there_is_no_column(
    root: Path, read: Callable, rows: Callable
) -> None:
    product = {
        "instance_type": "p5.48xlarge",
        "product_family": "Compute Instance",
        "region": "us-west-2",
    }
    bare = line(
        product_instance_type=None,
        product_product_family=None,
        product_region_code=None,
        product=product,
    )
    writers.cur2(root, [bare])
    read(root)
    (row,) = rows()
    assert row["product_instance_type"] == "p5.48xlarge"
    assert row["product_product_family"] == "Compute Instance"
    assert row["product_region_code"] == "us-west-2"
