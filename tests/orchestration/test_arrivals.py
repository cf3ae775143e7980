"""Which deliveries ask for a month: the decision alone, with time and ledger given."""

from __future__ import annotations

import datetime as dt

import pytest

from orchestration.bill.arrivals import LOOKBACK, Cursor, Look, look
from orchestration.bill.exports import Manifest
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month

NOW = dt.datetime(2026, 11, 12, 9, 30, tzinfo=dt.UTC)
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
ROOT = "s3://bills/cur"


def manifest(
    month: Month, etag: str, root: str = ROOT, export: str = "cur", at: dt.datetime = NOW
) -> Manifest:
    key = f"{export}/metadata/BILLING_PERIOD={month}/{export}-Manifest.json"
    return Manifest(root, export, month, key, etag, at)


def look_at(
    *manifests: Manifest,
    after: Look | None = None,
    published: dict[Month, dt.datetime] | None = None,
    now: dt.datetime = NOW,
) -> Look:
    """Look at the manifests; without ``after`` it is the first look."""
    by_root: dict[str, list[Manifest]] = {ROOT: []}
    for one in manifests:
        by_root.setdefault(one.root, []).append(one)
    cursor = Cursor.parse(after.cursor.to_text() if after else None)
    return look(by_root, cursor, now=now, published=published or {})


def months(found: Look) -> list[Month]:
    return [request.month for request in found.requests]


def test_the_first_look_asks_for_nothing_that_was_never_published() -> None:
    """Years of history lie in a bucket; switching a sensor on must not close them all."""
    history = [manifest(Month(2026, n), "a") for n in range(1, 12)]
    found = look_at(*history)
    assert months(found) == []
    assert "2026-10 was here at the first look." in found.passed_over


def test_the_first_look_asks_for_what_was_restated_since_it_was_published() -> None:
    """A reset cursor loses no delivery."""
    before, after = NOW - dt.timedelta(days=1), NOW + dt.timedelta(seconds=1)
    found = look_at(
        manifest(OCTOBER, "a"),
        manifest(Month(2026, 9), "a"),
        published={OCTOBER: before, Month(2026, 9): after},
    )
    assert months(found) == [OCTOBER]


def test_a_delivery_is_requested_once() -> None:
    first = look_at(manifest(OCTOBER, "a"))
    second = look_at(manifest(OCTOBER, "b"), after=first)
    third = look_at(manifest(OCTOBER, "b"), after=second)
    assert (months(second), months(third)) == ([OCTOBER], [])


def test_a_delivery_under_a_new_key_is_new() -> None:
    """Exports that create new versions write their manifest beneath the execution."""
    first = look_at(manifest(OCTOBER, "a"))
    second = look_at(manifest(OCTOBER, "a", export="other"), after=first)
    assert months(second) == [OCTOBER]


def test_all_exports_of_a_month_are_one_request() -> None:
    """A close reads every root; two runs would do the same work twice."""
    other = "s3://bills/other-payer"
    first = look_at(manifest(OCTOBER, "a"), manifest(OCTOBER, "a", root=other))
    second = look_at(
        manifest(OCTOBER, "b"), manifest(OCTOBER, "b", root=other), after=first
    )
    (request,) = second.requests
    assert request.deliveries == ("cur, delivered 2026-11-12 09:30 UTC",) * 2


def test_the_run_key_names_month_time_and_etags_and_nothing_of_the_look() -> None:
    first = look_at(manifest(OCTOBER, "a"), manifest(NOVEMBER, "a"))
    second = look_at(manifest(OCTOBER, "b"), manifest(NOVEMBER, "a"), after=first)
    reset = look_at(manifest(OCTOBER, "b"), published={OCTOBER: NOW - dt.timedelta(days=1)})
    assert second.requests[0].run_key == reset.requests[0].run_key
    assert second.requests[0].run_key.startswith("2026-10:20261112T093000Z:")


def test_a_delivery_that_comes_back_is_requested_again() -> None:
    """Dagster runs a run key once; the old delivery, restored, is another event."""
    a = look_at(manifest(OCTOBER, "a"))
    b = look_at(manifest(OCTOBER, "b", at=NOW), after=a)
    c = look_at(manifest(OCTOBER, "c", at=NOW), after=b)
    again = look_at(manifest(OCTOBER, "b", at=NOW + dt.timedelta(hours=1)), after=c)
    assert months(again) == [OCTOBER]
    assert again.requests[0].run_key != b.requests[0].run_key


@pytest.mark.parametrize(
    ("since", "is_requested"),
    [(LOOKBACK, True), (LOOKBACK + dt.timedelta(seconds=1), False)],
)
def test_a_month_is_restated_until_120_days_after_its_end(
    since: dt.timedelta, is_requested: bool
) -> None:
    july = Month(2026, 7)
    now = july.end + since
    first = look_at(manifest(july, "a"), now=now)
    second = look_at(manifest(july, "b"), after=first, now=now)
    assert bool(second.requests) is is_requested
    told = "2026-07 ended more than 120 days ago"
    assert any(one.startswith(told) for one in second.passed_over) is not is_requested


def test_a_month_too_old_is_told_once_with_the_command_that_closes_it() -> None:
    old = Month(2025, 1)
    first = look_at(manifest(old, "a"))
    second = look_at(manifest(old, "b"), after=first)
    third = look_at(manifest(old, "b"), after=second)
    assert "podledger close 2025-01" in second.passed_over[0]
    assert third.passed_over == ()


def test_a_month_that_has_not_begun_is_not_requested() -> None:
    first = look_at()
    second = look_at(manifest(Month(2026, 12), "a"), after=first)
    assert months(second) == []
    assert second.passed_over == ("2026-12 has not begun.",)


def test_a_root_that_was_not_read_keeps_what_was_seen_of_it() -> None:
    """An hour without network must not make its whole history new."""
    other = "s3://bills/other-payer"
    first = look_at(manifest(OCTOBER, "a"), manifest(OCTOBER, "a", root=other))
    gone = look({ROOT: [manifest(OCTOBER, "a")]}, first.cursor, now=NOW, published={})
    back = look_at(manifest(OCTOBER, "a"), manifest(OCTOBER, "a", root=other), after=gone)
    assert months(gone) == months(back) == []
    assert gone.cursor == first.cursor


def test_a_new_root_is_looked_at_for_the_first_time() -> None:
    first = look_at(manifest(OCTOBER, "a"))
    second = look_at(
        manifest(OCTOBER, "a"), manifest(OCTOBER, "a", root="/copies"), after=first
    )
    assert months(second) == []


def test_a_root_without_a_manifest_is_told() -> None:
    """Athena's layout has none, and silence would look like peace."""
    assert look_at().passed_over == (
        f"{ROOT} has no manifest, so its deliveries cannot be listed.",
    )


def test_a_damaged_cursor_is_told_and_not_taken_for_a_first_look() -> None:
    with pytest.raises(PodledgerError, match="Reset it in Dagster"):
        Cursor.parse("not a cursor")
