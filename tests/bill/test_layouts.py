"""The same bill means the same in every layout, and only what AWS names is read."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from orchestration.bill.exports import find_deliveries, find_manifests, list_months
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from tests.bill import writers
from tests.bill.writers import Line, line, scad, tax

WORLD = [
    line(),
    line(
        line_item_usage_type="EUW1-SpotUsage:p4d.24xlarge",
        line_item_unblended_cost="9.8321337575",
        product_product_family="",
        product={},
        resource_tags={"user_team": "größe \"x\", 'y'\nz", "user_cost_center": "7"},
    ),
    line(line_item_line_item_type="Credit", line_item_unblended_cost="-0.0000000015"),
    tax(),
    scad(),
]
LAYOUTS: dict[str, Callable[[Path, list[Line]], object]] = {
    "legacy-overwrite": lambda root, world: writers.legacy(root, world),
    "legacy-create-new": lambda root, world: writers.legacy(root, world, assembly="1a"),
    "legacy-zip": lambda root, world: writers.legacy(root, world, packing="zip"),
    "athena": lambda root, world: writers.athena(root, world),
    "cur2-overwrite": lambda root, world: writers.cur2(root, world),
    "cur2-create-new": lambda root, world: writers.cur2(
        root, world, execution="20261103T0102Z-5e"
    ),
    "cur2-csv": lambda root, world: writers.cur2(root, world, packing="csv.gz"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_bill_gives_the_same_lines_in_every_layout(
    layout: str, root: Path, read: Callable, rows: Callable
) -> None:
    """A customer may switch from legacy reports to CUR 2.0, and no figure may move."""
    LAYOUTS[layout](root, WORLD)
    result = read(root)
    assert result.row_count == 5
    assert result.unblended_usd == Decimal("10.9381337560")
    found = rows()
    first, spot, credit, of_month, of_aws = found
    assert first["bill_payer_account_id"] == "012345678901"
    assert first["line_item_usage_start_date"].isoformat() == "2026-10-05T07:00:00"
    assert first["line_item_usage_amount"] == 1
    assert first["product_region_code"] == "us-east-1"
    assert {key: first["product"].get(key) for key in ("vcpu", "memory", "gpu")} == {
        "vcpu": "4",
        "memory": "16 GiB",
        "gpu": "1",
    }
    assert first["resource_tags"] == {"aws_eks_cluster_name": "prod", "user_team": "search"}
    assert spot["product_product_family"] is None
    assert spot["line_item_unblended_cost"] == Decimal("9.8321337575")
    assert spot["resource_tags"] == {
        "user_cost_center": "7",
        "user_team": "größe \"x\", 'y'\nz",
    }
    assert credit["line_item_unblended_cost"] == Decimal("-0.0000000015")
    assert of_month["line_item_resource_id"] is None
    assert of_month["resource_tags"] == {}
    assert of_aws["split_line_item_parent_resource_id"] == "i-0123456789abcdef0"
    assert of_aws["split_line_item_split_usage_ratio"] == 0.25
    assert of_aws["split_line_item_split_cost"] == Decimal("0.2515")
    assert {row["line_item_net_unblended_cost"] for row in found} == {None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_delivery_says_which_layout_it_has(
    layout: str, root: Path, october: Month, tmp_path: Path
) -> None:
    LAYOUTS[layout](root, WORLD)
    (delivery,) = find_deliveries([str(root)], october, landing=tmp_path)
    expected = {"legacy-zip": "legacy-overwrite", "cur2-csv": "cur2-overwrite"}
    assert delivery.layout == expected.get(layout, layout)
    assert delivery.month == october
    if layout == "athena":
        assert "no manifest" in delivery.notes[0]
        assert delivery.manifest is None
    else:
        assert delivery.notes == ()


@pytest.mark.parametrize(
    ("stale", "write"),
    [
        (f"cur/{writers.PERIOD}/cur-2.csv.gz", writers.legacy),
        ("exp/data/BILLING_PERIOD=2026-10/exp-00002.snappy.parquet", writers.cur2),
    ],
)
def test_a_file_that_no_manifest_names_is_not_read(
    stale: str, write: Callable, root: Path, read: Callable
) -> None:
    """AWS leaves old chunks beside new ones; to list the folder is to count them twice."""
    (first,) = write(root, [line()])
    writers.put(root / stale, first.read_bytes())
    assert read(root).row_count == 1


def test_the_newest_assembly_is_read_and_older_ones_are_not(
    root: Path, read: Callable, rows: Callable
) -> None:
    writers.legacy(root, [line(line_item_unblended_cost="5")], assembly="old")
    writers.legacy(root, [line(line_item_unblended_cost="6")], assembly="new")
    assert read(root).unblended_usd == 6
    assert {row["delivery_id"] for row in rows()} == {"new"}


def test_the_newest_execution_is_read_and_older_ones_are_not(
    root: Path, read: Callable
) -> None:
    writers.cur2(root, [line()], execution="20261103T0000Z-b")
    writers.cur2(root, [line(), tax()], execution="20261104T0000Z-a")
    assert read(root).row_count == 2


def test_a_copy_without_the_current_manifest_takes_the_newest_execution_and_says_so(
    root: Path, october: Month, tmp_path: Path
) -> None:
    writers.cur2(root, [line()], execution="20261103T0000Z-b")
    writers.cur2(root, [line(), tax()], execution="20261104T0000Z-a")
    (root / "exp/metadata/BILLING_PERIOD=2026-10/exp-Manifest.json").unlink()
    (delivery,) = find_deliveries([str(root)], october, landing=tmp_path)
    assert delivery.delivery_id == "20261104T0000Z-a"
    assert "20261104T0000Z-a/exp-Manifest.json" in delivery.notes[0]


def test_several_roots_and_payers_make_one_bill(
    root: Path, read: Callable, rows: Callable
) -> None:
    writers.legacy(root / "one", [line(), tax()])
    writers.cur2(root / "two", [line(bill_payer_account_id="999999999999")])
    result = read(root / "one", root / "two")
    assert (result.row_count, result.file_count) == (3, 2)
    assert [row["root"] for row in rows("raw/bill_files")] == [
        str(root / "one"),
        str(root / "two"),
    ]
    assert read(root).row_count == 3, "and one root above both is the same bill"


def test_reports_for_athena_with_a_manifest_are_read_by_it(
    root: Path, read: Callable, rows: Callable
) -> None:
    """Such a report keeps its Parquet beside the manifest's folder, named by it."""
    files = writers.athena(root, [line()], [line()])
    key = "pre/cur/cur/year=2026/month=10/" + files[0].name
    writers.legacy_files(root, [], keys=[key])
    assert read(root).row_count == 1
    assert rows("raw/bill_files")[0]["layout"] == "legacy-overwrite"


def test_a_report_without_a_prefix_is_read_from_a_copy(root: Path, read: Callable) -> None:
    """AWS begins the keys of such a report with a slash, and a folder cannot."""
    writers.legacy(root, [line()])
    writers.legacy_files(root, [], keys=[f"/cur/{writers.PERIOD}/cur-1.csv.gz"])
    assert read(root).row_count == 1


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "/etc/passwd",
        f"pre/cur/{writers.PERIOD}/../../../../etc/passwd",
        "pre/cur/20260901-20261001/cur-1.csv.gz",
        f"pre/cur/{writers.PERIOD}/..\\x.csv.gz",
        "s3://elsewhere/pre/cur/20261001-20261101/cur-1.csv.gz",
    ],
)
def test_a_manifest_that_leads_out_of_its_export_is_refused(
    key: str, root: Path, read: Callable
) -> None:
    writers.legacy(root, [line()])
    writers.legacy_files(root, [], keys=[key])
    with pytest.raises(PodledgerError, match=r"cur-Manifest.json names"):
        read(root)


def test_a_cur2_manifest_that_leads_out_of_its_export_is_refused(
    root: Path, read: Callable
) -> None:
    for key in ("s3://billing/../../etc/passwd", "s3://billing/x/etc/passwd"):
        writers.cur2_files(root, [], keys=[key])
        with pytest.raises(PodledgerError, match=r"exp-Manifest.json names"):
            read(root)


def test_a_named_file_that_is_missing_is_an_error(root: Path, read: Callable) -> None:
    writers.cur2(root, [line()], [tax()])[1].unlink()
    with pytest.raises(PodledgerError, match=r"exp-00002.snappy.parquet.*Copy the export"):
        read(root)


def test_a_manifest_of_another_month_is_refused(root: Path, read: Callable) -> None:
    writers.legacy(root, [line()])
    path = root / "cur" / writers.PERIOD / "cur-Manifest.json"
    manifest = json.loads(path.read_text())
    manifest["billingPeriod"]["start"] = "20260901T000000.000Z"
    path.write_text(json.dumps(manifest))
    with pytest.raises(
        PodledgerError, match=r"20260901T000000.000Z, and its folder is of 20"
    ):
        read(root)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"reportKeys": []}', '{"dataFiles": ["x"]}']
)
def test_a_manifest_that_is_none_is_refused(
    content: str, root: Path, read: Callable
) -> None:
    writers.put(root / "cur" / writers.PERIOD / "cur-Manifest.json", content)
    with pytest.raises(PodledgerError, match=r"cur-Manifest.json"):
        read(root)


def test_a_root_that_lacks_the_month_says_what_it_has(root: Path, read: Callable) -> None:
    (root / "exp/metadata/BILLING_PERIOD=2026-09").mkdir(parents=True)
    with pytest.raises(PodledgerError, match=r"no bill for 2026-10.*has 2026-09"):
        read(root)


def test_bare_parquet_files_are_no_bill(root: Path, read: Callable) -> None:
    writers.put(root / "x.parquet", writers.parquet([line()]))
    with pytest.raises(PodledgerError, match="nothing that says which month"):
        read(root)


def test_manifests_are_found_for_every_export_and_month(root: Path) -> None:
    """A sensor starts a month when its manifest's mark changes, and only then."""
    writers.legacy(root, [line()])
    writers.cur2(root, [line()], execution="20261103T0000Z-b")
    before = {manifest.export: manifest for manifest in find_manifests(str(root))}
    assert {name: found.month for name, found in before.items()} == {
        "cur": Month(2026, 10),
        "exp": Month(2026, 10),
    }
    writers.cur2(root, [line()], execution="20261104T0000Z-c")
    after = {manifest.export: manifest for manifest in find_manifests(str(root))}
    assert after["exp"].etag != before["exp"].etag
    assert after["cur"].etag == before["cur"].etag
    assert list_months(str(root)) == [Month(2026, 10)]
