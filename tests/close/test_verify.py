"""Any change of what was published is found: a bit, a file, a revision, an entry."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from orchestration.close.publish import publish
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger import journal
from orchestration.ledger.book import month_folder, published_months
from orchestration.ledger.journal import Entry, Signature, read_journal
from orchestration.ledger.verification import problems
from tests.close.conftest import ClosedWorld

OCTOBER = Month(2026, 10)


@pytest.fixture(scope="module")
def three_revisions(closed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files of a month of three revisions."""
    home = shutil.copytree(closed_home, tmp_path_factory.mktemp("three") / "home")
    world = ClosedWorld(Settings(home=home), OCTOBER)
    for labels in ((), ("team",), ("team", "model")):
        publish(
            world.with_settings(labels=labels),
            world.month,
            world.progress.append,
            signature=Signature("ada@laptop", f"labels {labels}"),
        )
    return world.settings.published


@pytest.fixture
def folder(three_revisions: Path, tmp_path: Path) -> Path:
    """The month's folder, of a copy."""
    copied = shutil.copytree(three_revisions, tmp_path / "published")
    return month_folder(copied, OCTOBER)


def found(folder: Path) -> list[str]:
    return list(problems(folder.parent, OCTOBER))


def writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


def test_what_was_published_is_as_it_was(folder: Path) -> None:
    assert found(folder) == []
    assert published_months(folder.parent) == [OCTOBER]
    assert [entry.revision for entry in read_journal(folder.parent, OCTOBER)] == [1, 2, 3]


def test_any_bit_that_flips_is_found(folder: Path) -> None:
    chance = random.Random(11)
    files = [path for path in folder.rglob("*.*") if path.suffix in {".parquet", ".json"}]
    for _ in range(60):
        path = writable(chance.choice(sorted(files)))
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        assert found(folder), path
        path.write_bytes(whole)
    assert found(folder) == []


def test_every_byte_of_an_entry_and_a_manifest_counts(folder: Path) -> None:
    for path in (
        folder / "journal/revision=003.json",
        folder / "revision=003/manifest.json",
    ):
        whole = writable(path).read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert found(folder), (path, place)
        path.write_bytes(whole)
    assert found(folder) == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_revision_that_is_gone_is_named(folder: Path, number: int) -> None:
    shutil.rmtree(folder / f"revision=00{number}")
    assert any(
        f"Revision {number} of 2026-10 is in the journal" in one for one in found(folder)
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_entry_that_is_gone_is_named(folder: Path, number: int) -> None:
    (folder / f"journal/revision=00{number}.json").unlink()
    assert any("journal" in one for one in found(folder))


def test_an_entry_that_was_written_anew_is_found(folder: Path) -> None:
    """With a digest of its own that is right: the next entry knows another."""
    path = writable(folder / "journal/revision=002.json")
    fields = json.loads(path.read_bytes()) | {"reason": "none of your business"}
    path.write_bytes(Entry(**fields).sealed().to_bytes())
    assert [one for one in found(folder) if "broken at revision 3" in one]


def test_a_manifest_that_was_written_anew_is_found(folder: Path) -> None:
    path = writable(folder / "revision=003/manifest.json")
    path.write_text(path.read_text().replace('"code_version": "', '"code_version": "0'))
    assert [one for one in found(folder) if "not the one that the journal knows" in one]


def test_a_file_that_nobody_published_is_named(folder: Path) -> None:
    (folder / "revision=001").chmod(0o755)
    (folder / "revision=001/charges-final.parquet").write_bytes(b"x")
    assert [one for one in found(folder) if "charges-final.parquet is not a file of" in one]


def test_a_killed_run_owes_its_entry_and_the_next_close_writes_it(
    world: ClosedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("orchestration.close.publish.add_entry", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(world.settings, world.month, world.progress.append)
    published = world.settings.published
    assert read_journal(published, OCTOBER) == []
    publish(world.settings, world.month, world.progress.append)
    (entry,) = read_journal(published, OCTOBER)
    assert (entry.revision, "before it wrote" in entry.by) == (1, True)
    assert list(problems(published, OCTOBER)) == []


def test_revisions_from_before_the_journal_have_no_entry(folder: Path) -> None:
    """The chain begins at the first entry; manifests hold the files of earlier ones."""
    shutil.rmtree(folder / "journal")
    assert found(folder) == []


def test_the_same_holds_in_s3(
    aws: str, closed_home: Path, tmp_path: Path, october: Month
) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="books")
    settings = Settings(home="s3://books/pre", work=tmp_path / "work")
    world = ClosedWorld(settings, october)
    shutil.copytree(closed_home, settings.home)
    for path in (closed_home / "lake").glob("**/billing_month=*"):
        table = path.parent.relative_to(closed_home / "lake").as_posix()
        with world.lake.replace(table, october) as incoming:
            shutil.copytree(path, incoming, dirs_exist_ok=True)
    for labels in ((), ("team",)):
        publish(
            world.with_settings(labels=labels),
            october,
            world.progress.append,
            signature=Signature("ada@laptop"),
        )

    def told() -> list[str]:
        return list(problems(settings.published, october, settings.remote))

    assert told() == []
    assert published_months(settings.published, settings.remote) == [october]
    month = "pre/published/billing_month=2026-10"
    for key in (
        f"{month}/revision=001/remainder.parquet",
        f"{month}/journal/revision=001.json",
        f"{month}/revision=002/manifest.json",
    ):
        whole = client.get_object(Bucket="books", Key=key)["Body"].read()
        place = len(whole) // 2
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        client.put_object(Bucket="books", Key=key, Body=flipped)
        assert told(), key
        client.put_object(Bucket="books", Key=key, Body=whole)
        assert told() == []
    client.delete_object(Bucket="books", Key=f"{month}/journal/revision=001.json")
    assert told()


def test_entries_say_when(world: ClosedWorld) -> None:
    publish(world.settings, world.month, world.progress.append)
    (entry,) = read_journal(world.settings.published, OCTOBER)
    assert entry.published_at.endswith("+00:00")
    assert journal.FOLDER == "journal"
