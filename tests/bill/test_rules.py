"""A bill that cannot be split, or not be added up, is refused at the line that says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.lake.errors import PodledgerError
from tests.bill import writers
from tests.bill.writers import line, scad, tax

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a second currency": (
        {"line_item_currency_code": "EUR"},
        "line_item_currency_code",
        "'EUR' is not USD",
    ),
    "money of no currency": (
        {"line_item_currency_code": ""},
        "line_item_currency_code",
        "None is not USD",
    ),
    "another month": (
        {"bill_billing_period_start_date": "2026-09-01T00:00:00Z"},
        "bill_billing_period_start_date",
        "2026-09-01 00:00:00 is not the start of 2026-10",
    ),
    "a daily line": (
        {
            "line_item_usage_start_date": "2026-10-05T00:00:00Z",
            "line_item_usage_end_date": "2026-10-06T00:00:00Z",
        },
        "line_item_usage_end_date",
        "the export has to be hourly",
    ),
    "a line off the hour": (
        {"line_item_usage_start_date": "2026-10-05T07:30:00Z"},
        "line_item_usage_start_date",
        "off the hour",
    ),
    "a line that ends before it starts": (
        {"line_item_usage_end_date": "2026-10-05T06:00:00Z"},
        "line_item_usage_end_date",
        "lasts from",
    ),
    "a line without its hour": (
        {"line_item_usage_start_date": ""},
        "line_item_usage_start_date",
        "is empty",
    ),
    "a pod on Fargate without its hour": (
        {
            "line_item_product_code": "AmazonEKS",
            "line_item_operation": "FargatePod",
            "line_item_resource_id": "arn:aws:eks:us-east-1:111111111111:pod/prod/ml/a/b",
            "line_item_usage_start_date": "",
        },
        "line_item_usage_start_date",
        "the hour of 'arn:aws:eks:us-east-1:111111111111:pod/prod/ml/a/b' is not known",
    ),
    "a negative usage of an instance": (
        {"line_item_usage_amount": "-1"},
        "line_item_usage_amount",
        "is not a valid usage of 'i-0123456789abcdef0'",
    ),
    "no usage of an instance": (
        {"line_item_usage_amount": ""},
        "line_item_usage_amount",
        "None",
    ),
    "an unknown cost": (
        {"line_item_unblended_cost": ""},
        "line_item_unblended_cost",
        "empty",
    ),
    "an unknown payer": ({"bill_payer_account_id": ""}, "bill_payer_account_id", "empty"),
    "an unknown type": (
        {"line_item_line_item_type": ""},
        "line_item_line_item_type",
        "empty",
    ),
    "a cost that is a word": (
        {"line_item_unblended_cost": "n/a"},
        "line_item_unblended_cost",
        "'n/a' is not an amount",
    ),
    "a cost that is not a number": (
        {"line_item_unblended_cost": "NaN"},
        "line_item_unblended_cost",
        "'NaN' is not an amount",
    ),
    "an amount without end": (
        {"line_item_usage_amount": "Infinity"},
        "line_item_usage_amount",
        "'Infinity' is not an amount",
    ),
    "a moment that is none": (
        {"line_item_usage_end_date": "soon"},
        "line_item_usage_end_date",
        "'soon' is not a timestamp",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_line_that_breaks_a_rule_is_named_and_the_month_keeps_what_it_had(
    case: str, root: Path, read: Callable, rows: Callable
) -> None:
    """Nothing that was good is lost, and the message says where to look."""
    writers.legacy(root, [line()])
    read(root)
    before = rows(), rows("raw/bill_files")
    changes, column, problem = REFUSED[case]
    writers.legacy(root, [tax()], [tax(), line(), line(**changes), tax()])
    with pytest.raises(PodledgerError) as refused:
        read(root)
    message = str(refused.value)
    for part in ("cur-2.csv.gz", str(root), "row 3", problem, writers.LEGACY_NAMES[column]):
        assert part in message
    assert "the lake keeps what it had for 2026-10. " in message
    assert (rows(), rows("raw/bill_files")) == before


@pytest.mark.parametrize(
    "legal",
    [
        tax(line_item_usage_amount="-5"),
        line(line_item_line_item_type="Refund", line_item_usage_amount="-1"),
        line(
            line_item_usage_end_date="2026-10-05T07:10:00Z", line_item_usage_amount="0.1666"
        ),
        line(
            line_item_usage_start_date="2026-10-01T00:00:00Z",
            line_item_usage_end_date="2026-11-01T00:00:00Z",
            line_item_line_item_type="RIFee",
        ),
        line(
            line_item_usage_end_date="2026-10-06T07:00:00Z",
            product_product_family="Data Transfer",
        ),
        scad(line_item_unblended_cost="", line_item_currency_code=""),
    ],
    ids=lambda legal: legal["line_item_line_item_type"],
)
def test_a_line_that_only_looks_like_a_breach_is_read(
    legal: writers.Line, root: Path, read: Callable
) -> None:
    writers.cur2(root, [line(), legal])
    assert read(root).row_count == 2


def test_the_first_bad_line_is_counted_over_all_tables_of_a_file(
    root: Path, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.bill.sources.ROWS_A_TABLE", 2)
    writers.cur2(root, [*[line()] * 5, line(line_item_currency_code="CNY")])
    with pytest.raises(PodledgerError, match="row 6, column line_item_currency_code"):
        read(root)


@pytest.mark.parametrize("same_root", [True, False])
def test_an_account_in_two_exports_is_refused_with_both_named(
    same_root: bool, root: Path, read: Callable
) -> None:
    """Legacy and CUR 2.0 exports of one payer often run side by side for a while."""
    writers.legacy(root / "a", [line()])
    writers.cur2(root / "b", [line()])
    with pytest.raises(PodledgerError) as refused:
        read(*([root] if same_root else [root / "a", root / "b"]))
    message = str(refused.value)
    assert "account 111111111111 under payer 012345678901" in message
    assert "cur-Manifest.json" in message
    assert "exp-Manifest.json" in message


def test_a_root_that_is_given_twice_is_refused(root: Path, read: Callable) -> None:
    writers.cur2(root, [line()])
    with pytest.raises(PodledgerError, match="would count twice"):
        read(root, root)


def test_exports_of_one_name_under_one_root_are_two_exports(
    root: Path, read: Callable
) -> None:
    writers.cur2(root / "a", [line()])
    writers.cur2(root / "b", [line()])
    with pytest.raises(PodledgerError, match="would count twice"):
        read(root)


def test_a_bill_without_resource_ids_is_refused(root: Path, read: Callable) -> None:
    writers.cur2(root, [line(line_item_resource_id=""), tax()])
    with pytest.raises(PodledgerError, match="INCLUDE_RESOURCES=TRUE"):
        read(root)


def test_an_export_without_resource_ids_is_refused_beside_one_that_has_them(
    root: Path, read: Callable
) -> None:
    writers.legacy(root, [line()])
    writers.cur2(
        root, [line(bill_payer_account_id="999999999999", line_item_resource_id="")]
    )
    with pytest.raises(PodledgerError, match=r"exp-Manifest.json.* has a resource id"):
        read(root)


def test_a_payer_with_nothing_but_tax_is_read_beside_others(
    root: Path, read: Callable
) -> None:
    writers.legacy(root, [line()])
    writers.cur2(root, [tax(bill_payer_account_id="999999999999")])
    assert read(root).row_count == 2
