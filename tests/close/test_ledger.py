"""The folders of revisions: what is read back, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestration.close.publish import Publication, publish
from orchestration.lake.errors import PodledgerError
from orchestration.lake.figures import cents, exact
from orchestration.ledger.book import (
    find_revision,
    latest,
    month_folder,
    revisions,
    verify,
)
from tests.close.conftest import ClosedWorld


@pytest.fixture
def first(world: ClosedWorld) -> Publication:
    return publish(world.settings, world.month, world.progress.append)


def test_a_month_that_was_never_published_has_no_revision(world: ClosedWorld) -> None:
    assert revisions(world.settings.published, world.month) == []
    assert latest(world.settings.published, world.month) is None
    with pytest.raises(PodledgerError, match="podledger close 2026-10"):
        find_revision(world.settings.published, world.month)


def test_what_is_no_revision_in_the_folder_of_a_month_is_not_taken_for_one(
    world: ClosedWorld, first: Publication
) -> None:
    folder = month_folder(world.settings.published, world.month)
    for name in (".incoming-abc", "revision=1", "revision=two", "revision=002.old"):
        (folder / name).mkdir()
    assert [r.number for r in revisions(world.settings.published, world.month)] == [1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"fingerprint"', '"finger"'),
        lambda text: "",
    ],
    ids=["cut short", "another field", "empty"],
)
def test_a_damaged_manifest_is_told_and_nothing_is_published_over_it(
    world: ClosedWorld, first: Publication, damage
) -> None:
    path = first.path / "manifest.json"
    path.chmod(0o644)
    path.write_text(damage(path.read_text()))
    for use in (
        lambda: find_revision(world.settings.published, world.month),
        lambda: publish(world.settings, world.month, world.progress.append),
    ):
        with pytest.raises(PodledgerError, match=r"manifest\.json is damaged.*backup"):
            use()
    assert [p.name for p in first.path.parent.glob("revision=*")] == ["revision=001"]


@pytest.mark.parametrize("name", ["controls.parquet", "scad/2026-10-01.parquet"])
def test_a_file_that_is_missing_or_changed_is_named(
    world: ClosedWorld, first: Publication, name: str
) -> None:
    revision = find_revision(world.settings.published, world.month)
    verify(revision)
    path = first.path / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(PodledgerError, match=Path(name).name):
        verify(revision)
    path.unlink()
    with pytest.raises(PodledgerError, match=Path(name).name):
        verify(revision)


def test_the_newest_is_the_one_with_the_highest_number(
    world: ClosedWorld, first: Publication
) -> None:
    """By number, not by name: 1000 comes after 999."""
    first.path.rename(first.path.with_name("revision=999"))
    second = publish(world.with_settings(labels=()), world.month, world.progress.append)
    assert (second.revision, second.replaces) == (1000, 999)
    assert find_revision(world.settings.published, world.month).number == 1000


@pytest.mark.parametrize(
    ("usd", "to_the_digit", "to_the_cent"),
    [
        ("0", "0.00", "0.00"),
        ("-0.0000000001", "-0.0000000001", "0.00"),
        ("1234.5", "1,234.50", "1,234.50"),
        ("1234567.8900000000", "1,234,567.89", "1,234,567.89"),
        ("99.9999999999", "99.9999999999", "100.00"),
        ("-12.345", "-12.345", "-12.34"),
        ("1E+3", "1,000.00", "1,000.00"),
    ],
)
def test_money_is_written_exactly_or_to_the_cent(
    usd: str, to_the_digit: str, to_the_cent: str
) -> None:
    assert exact(Decimal(usd)) == to_the_digit
    assert cents(Decimal(usd)) == to_the_cent
