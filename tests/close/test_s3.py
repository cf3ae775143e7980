"""Publishing to S3: whole or not at all, once, and read anywhere. S3 is moto over HTTP."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from orchestration.close.publish import Publication, publish
from orchestration.close.summary import summarize
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home
from orchestration.lake.settings import Settings
from orchestration.ledger import uploads
from orchestration.ledger.book import bring, find_revision, latest, revisions, verify
from orchestration.ledger.diff import compare_places
from orchestration.ledger.manifest import MANIFEST_NAME, Manifest
from orchestration.ledger.tables import (
    CHARGEBACK,
    CHARGES,
    CONTROLS,
    REMAINDER,
    SCAD,
    UNALLOCATED,
)
from tests.close.conftest import ClosedWorld

OCTOBER = Month(2026, 10)
BUCKET = "ledger"
REMOTE = f"s3://{BUCKET}/pre"
MONTH = "pre/published/billing_month=2026-10/"
FIRST = f"{MONTH}revision=001/"


@pytest.fixture
def s3(aws: str) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def machine(
    s3: Any, closed_home: Path, tmp_path: Path, october: Month
) -> Callable[[str], ClosedWorld]:
    """A machine of that name whose month is ready to be published to S3."""
    seed = ClosedWorld(elsewhere(tmp_path / "seed"), october)
    shutil.copytree(closed_home, seed.settings.home)
    for folder in (closed_home / "lake").glob("**/billing_month=*"):
        table = folder.parent.relative_to(closed_home / "lake").as_posix()
        with seed.lake.replace(table, october) as incoming:
            shutil.copytree(folder, incoming, dirs_exist_ok=True)

    def ready(name: str) -> ClosedWorld:
        settings = elsewhere(tmp_path / name)
        if not settings.home.exists():
            shutil.copytree(seed.settings.home, settings.home)
        return ClosedWorld(settings, october)

    return ready


def elsewhere(work: Path) -> Settings:
    """Settings of a machine, which may have nothing yet."""
    return Settings(home=REMOTE, work=work)


def published(world: ClosedWorld, **changes: object) -> Publication:
    settings = world.with_settings(**changes)
    return publish(settings, world.month, world.progress.append)


def objects(s3: Any, prefix: str = MONTH) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {
        one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        for one in found
    }


def failing(
    monkeypatch: pytest.MonkeyPatch, key: str, error: Exception, *, after: bool = False
) -> None:
    """Let writing a key fail, before S3 has it or after, as when its answer is lost."""
    real = S3Home.write_once

    def write_once(self: S3Home, name: str, content: bytes | Path) -> bool:
        if name.endswith(key):
            if after:
                real(self, name, content)
            raise self.refusal(error, name, "written")
        return real(self, name, content)

    monkeypatch.setattr(S3Home, "write_once", write_once)


LOST = EndpointConnectionError(endpoint_url="https://s3")
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")


def test_a_revision_in_s3_has_the_keys_and_bytes_of_its_folder(
    s3: Any, machine: Callable[[str], ClosedWorld], world: ClosedWorld
) -> None:
    in_folder = publish(world.settings, world.month, world.progress.append)
    in_s3 = published(machine("a"))
    assert in_s3.address == f"{REMOTE}/published/billing_month=2026-10/revision=001"
    assert in_folder.address == str(in_folder.path)
    assert objects(s3, FIRST) == {
        f"{FIRST}{path.relative_to(in_folder.path)}": path.read_bytes()
        for path in in_folder.path.rglob("*")
        if path.is_file()
    }
    assert [file.path for file in in_s3.manifest.files] == [
        file.path for file in in_folder.manifest.files
    ]


def test_the_manifest_is_the_last_object_that_is_written(
    machine: Callable[[str], ClosedWorld], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until then no reader finds the revision, whatever is there of it."""
    real, order = S3Home.write_once, []
    reader = elsewhere(tmp_path / "reader")

    def write_once(self: S3Home, key: str, content: bytes | Path) -> bool:
        if "/published/" in self.root:
            is_there = latest(reader.published, OCTOBER, reader.remote) is not None
            assert is_there == self.root.endswith("/journal")
            order.append(key)
        return real(self, key, content)

    monkeypatch.setattr(S3Home, "write_once", write_once)
    made = published(machine("a"))
    assert (order[0], *order[-2:]) == ("001", MANIFEST_NAME, "revision=001.json")
    assert sorted(order[1:-2]) == sorted(file.path for file in made.manifest.files)
    found = latest(reader.published, OCTOBER, reader.remote)
    assert found is not None
    assert found.manifest == made.manifest


def test_another_machine_reads_what_was_published_and_says_when_nothing_changed(
    s3: Any, machine: Callable[[str], ClosedWorld]
) -> None:
    first = published(machine("a"))
    before = objects(s3)
    again = published(machine("b"))
    assert (again.is_new, again.revision) == (False, 1)
    assert again.manifest == first.manifest
    assert objects(s3) == before


def test_the_copy_of_a_manifest_is_as_old_as_the_revision(
    s3: Any, machine: Callable[[str], ClosedWorld], tmp_path: Path
) -> None:
    """By it the sensor knows which deliveries came after a month was published."""
    published(machine("a"))
    settings = elsewhere(tmp_path / "reader")
    found = latest(settings.published, OCTOBER, settings.remote)
    assert found is not None
    head = s3.head_object(Bucket=BUCKET, Key=FIRST + MANIFEST_NAME)
    copied = (found.path / MANIFEST_NAME).stat().st_mtime
    assert dt.datetime.fromtimestamp(copied, dt.UTC) == head["LastModified"]


def test_a_restatement_is_a_new_revision_and_the_first_stays(
    s3: Any, machine: Callable[[str], ClosedWorld]
) -> None:
    published(machine("a"))
    first = objects(s3, FIRST)
    second = published(machine("b"), labels=())
    assert (second.is_new, second.revision, second.replaces) == (True, 2, 1)
    assert objects(s3, FIRST) == first
    settings = machine("a").settings
    found = revisions(settings.published, OCTOBER, settings.remote)
    assert [revision.number for revision in found] == [1, 2]
    for revision in found:
        verify(revision)


def test_a_summary_on_a_machine_that_has_nothing_fetches_what_it_needs(
    machine: Callable[[str], ClosedWorld], world: ClosedWorld, tmp_path: Path
) -> None:
    publish(world.settings, world.month, world.progress.append)
    here = summarize(find_revision(world.settings.published, world.month)).as_json()
    published(machine("a"))
    settings = elsewhere(tmp_path / "reader")
    revision = find_revision(settings.published, OCTOBER, remote=settings.remote)
    there = summarize(revision).as_json()
    assert there.pop("path") == revision.address
    here.pop("path")
    assert there == here
    parts = {path.relative_to(revision.path).parts[0] for path in revision.path.iterdir()}
    assert parts == {
        MANIFEST_NAME,
        UNALLOCATED.name,
        *(f"{part.name}.parquet" for part in (CHARGEBACK, CHARGES, REMAINDER, CONTROLS)),
    }
    bring(revision, revision.manifest.files)
    assert {file.part for file in revision.manifest.files} == parts - {
        MANIFEST_NAME,
        *(f"{part.name}.parquet" for part in (CHARGEBACK, CHARGES, REMAINDER, CONTROLS)),
    } | {part.name for part in (CHARGEBACK, CHARGES, REMAINDER, CONTROLS, SCAD)}
    assert len(list((revision.path / SCAD.name).iterdir())) == 2


@pytest.mark.parametrize("damage", ["deleted", "another", "the same size"])
@pytest.mark.parametrize("name", ["scad/2026-10-01.parquet", "controls.parquet"])
def test_an_object_that_was_changed_after_publishing_is_named(
    s3: Any, machine: Callable[[str], ClosedWorld], tmp_path: Path, name: str, damage: str
) -> None:
    published(machine("a"))
    content = objects(s3)[FIRST + name]
    if damage == "deleted":
        s3.delete_object(Bucket=BUCKET, Key=FIRST + name)
    else:
        changed = b"x" if damage == "another" else bytes([content[0] ^ 1]) + content[1:]
        s3.put_object(Bucket=BUCKET, Key=FIRST + name, Body=changed)
    settings = elsewhere(tmp_path / "reader")
    revision = find_revision(settings.published, OCTOBER, remote=settings.remote)
    for use in (
        lambda: verify(revision),
        lambda: bring(revision, revision.manifest.files),
        lambda: published(machine("b")),
    ):
        with pytest.raises(PodledgerError, match=f"s3://ledger/{FIRST}{name} is missing"):
            use()
    s3.put_object(Bucket=BUCKET, Key=FIRST + name, Body=content)
    verify(revision)


@pytest.mark.parametrize("text", [b"", b"{}", None], ids=["empty", "no field", "deleted"])
def test_a_manifest_that_is_none_is_no_revision_to_be_read(
    s3: Any, machine: Callable[[str], ClosedWorld], tmp_path: Path, text: bytes | None
) -> None:
    published(machine("a"))
    if text is None:
        s3.delete_object(Bucket=BUCKET, Key=FIRST + MANIFEST_NAME)
    else:
        s3.put_object(Bucket=BUCKET, Key=FIRST + MANIFEST_NAME, Body=text)
    settings = elsewhere(tmp_path / "reader")
    says = (
        "never published" if text is None else rf"s3://ledger/{FIRST}manifest\.json is dam"
    )
    with pytest.raises(PodledgerError, match=says):
        find_revision(settings.published, OCTOBER, remote=settings.remote)
    assert not list(settings.home.rglob(MANIFEST_NAME))


@pytest.mark.parametrize(
    ("error", "says"),
    [(LOST, "Could not connect.*run again"), (DENIED, r"access denied.*s3:PutObject")],
    ids=["lost", "denied"],
)
@pytest.mark.parametrize("at", ["002", "chargeback.parquet", MANIFEST_NAME])
def test_an_upload_that_breaks_off_publishes_nothing_and_goes_on_when_run_again(
    s3: Any,
    machine: Callable[[str], ClosedWorld],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    says: str,
    at: str,
) -> None:
    published(machine("a"))
    first, settings = objects(s3, FIRST), machine("a").settings
    with monkeypatch.context() as broken:
        failing(broken, at, error)
        with pytest.raises(PodledgerError, match=says):
            published(machine("a"), labels=())
    found = latest(settings.published, OCTOBER, settings.remote)
    assert found is not None
    assert found.number == 1
    assert objects(s3, FIRST) == first
    assert [path.name for path in found.path.parent.glob("revision=*")] == ["revision=001"]
    second = published(machine("b"), labels=())
    assert (second.is_new, second.revision) == (True, 2)
    assert objects(s3, FIRST) == first


def test_a_manifest_whose_answer_was_lost_is_published_and_found_when_run_again(
    machine: Callable[[str], ClosedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        failing(broken, MANIFEST_NAME, LOST, after=True)
        with pytest.raises(PodledgerError, match="Could not connect"):
            published(machine("a"))
    again = published(machine("a"))
    assert (again.is_new, again.revision) == (False, 1)


def test_a_second_try_of_a_put_that_had_arrived_is_no_conflict(
    s3: Any, tmp_path: Path
) -> None:
    """boto3 tries again by itself when an answer is lost."""
    home, path = S3Home(REMOTE), tmp_path / "file"
    path.write_bytes(b"content")
    assert home.write_once("key", path)
    assert home.write_once("key", path)
    assert not home.write_once("key", b"other")
    assert home.read("key") == b"content"


def test_what_is_too_large_for_one_put_is_written_once_too(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.lake.s3._WHOLE_PUT_BYTES", 3)
    home, path = S3Home(REMOTE), tmp_path / "file"
    path.write_bytes(b"content")
    assert home.write_once("key", path)
    assert home.write_once("key", path)
    path.write_bytes(b"another")
    assert not home.write_once("key", path)
    assert home.read("key") == b"content"


def test_of_two_publishers_at_once_the_second_is_told_and_overwrites_nothing(
    s3: Any, machine: Callable[[str], ClosedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found that the month was never published."""
    real, rival = uploads.claim, machine("b")
    rival.sql("update fct_unallocated set cluster_name = 'other'")

    def claim(remote: str, month: Month, manifest: Manifest, notes: Path) -> Manifest:
        monkeypatch.setattr(uploads, "claim", real)
        published(machine("b"))
        return real(remote, month, manifest, notes)

    monkeypatch.setattr(uploads, "claim", claim)
    with pytest.raises(PodledgerError, match="another machine published its revision 1"):
        published(machine("a"))
    kept = objects(s3, FIRST)
    settings = elsewhere(machine("a").settings.home.parent)
    verify(find_revision(settings.published, OCTOBER, remote=settings.remote))
    second = published(machine("a"), labels=())
    assert (second.revision, second.replaces) == (2, 1)
    assert objects(s3, FIRST) == kept


def lose_the_line(world: ClosedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish, and be cut off before the last file: a claim and some objects are left."""
    with monkeypatch.context() as killed:
        failing(killed, "remainder.parquet", LOST)
        with pytest.raises(PodledgerError, match="Could not connect"):
            published(world)


def test_while_another_publishes_other_figures_one_waits_until_its_claim_has_lapsed(
    s3: Any, machine: Callable[[str], ClosedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_line(machine("a"), monkeypatch)
    left = objects(s3, FIRST)
    rival = machine("b")
    rival.sql("update fct_unallocated set cluster_name = 'other'")
    with pytest.raises(PodledgerError, match=r"_claims/001\).*Wait.*lapses at"):
        published(rival)
    monkeypatch.setattr(uploads, "_CLAIM_LASTS", dt.timedelta(seconds=-5))
    passed = published(rival)
    assert (passed.revision, passed.replaces) == (2, None)
    assert objects(s3, FIRST) == left
    settings = rival.settings
    found = revisions(settings.published, OCTOBER, settings.remote)
    assert [revision.number for revision in found] == [2]
    verify(found[0])


def test_a_claim_that_a_run_of_this_machine_left_is_passed_over_at_once(
    s3: Any, machine: Callable[[str], ClosedWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process at a time may publish here, so it was killed. Its figures were others."""
    lose_the_line(machine("a"), monkeypatch)
    left = objects(s3, FIRST)
    machine("a").sql("update fct_unallocated set cluster_name = 'other'")
    passed = published(machine("a"))
    assert (passed.revision, passed.replaces) == (2, None)
    assert objects(s3, FIRST) == left
    notes = machine("a").settings.published / "billing_month=2026-10"
    assert list(notes.glob(".claim-*")) == []


def test_an_object_of_someone_else_where_a_revision_belongs_is_not_overwritten(
    s3: Any, machine: Callable[[str], ClosedWorld]
) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{FIRST}controls.parquet", Body=b"theirs")
    with pytest.raises(PodledgerError, match=r"controls\.parquet is there already.*Move"):
        published(machine("a"))
    assert objects(s3)[f"{FIRST}controls.parquet"] == b"theirs"
    assert FIRST + MANIFEST_NAME not in objects(s3)


def test_a_bucket_that_is_not_there_is_told(aws: str, tmp_path: Path) -> None:
    settings = Settings(home="s3://nowhere/pre", work=tmp_path)
    with pytest.raises(PodledgerError, match=r"s3://nowhere/.*no such bucket.*_HOME"):
        latest(settings.published, OCTOBER, settings.remote)


_PUBLISH_AND_DIE = """
import os, sys
from pathlib import Path
from orchestration.close.publish import publish
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home
from orchestration.lake.settings import Settings

real = S3Home.write_once

def write_once(self, key, content):
    if key == "manifest.json":
        os._exit(9)
    return real(self, key, content)

S3Home.write_once = write_once
settings = Settings(home=sys.argv[1], work=Path(sys.argv[2]))
publish(settings, Month(2026, 10), print)
"""


def test_a_killed_process_leaves_no_visible_half_and_its_successor_goes_on(
    s3: Any, machine: Callable[[str], ClosedWorld]
) -> None:
    settings = machine("a").settings
    died = subprocess.run(
        [sys.executable, "-c", _PUBLISH_AND_DIE, REMOTE, str(settings.home.parent)],
        check=False,
    )
    assert died.returncode == 9
    assert f"{FIRST}scad/2026-10-31.parquet" in objects(s3)
    assert latest(settings.published, OCTOBER, settings.remote) is None
    made = published(machine("b"))
    assert (made.is_new, made.revision) == (True, 1)
    verify(find_revision(settings.published, OCTOBER, remote=settings.remote))


def test_a_copy_of_a_revision_that_s3_no_longer_has_is_none(
    s3: Any, machine: Callable[[str], ClosedWorld]
) -> None:
    """Someone moved the month away, claims and all, to publish it again."""
    published(machine("a"))
    for key in objects(s3):
        s3.delete_object(Bucket=BUCKET, Key=key)
    settings = machine("a").settings
    assert latest(settings.published, OCTOBER, settings.remote) is None
    again = published(machine("a"), labels=())
    assert (again.is_new, again.revision) == (True, 1)
    assert again.manifest.labels == ()


def differences(a: Publication, b: Publication) -> list[str]:
    return list(compare_places(a.address, b.address, lambda _: None))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are copied from S3."""
    names: list[str] = []
    real = S3Home.fetch

    def fetch(self: S3Home, key: str, target: Path) -> bool:
        names.append(key)
        return real(self, key, target)

    monkeypatch.setattr(S3Home, "fetch", fetch)
    return names


def test_the_same_figures_in_s3_and_in_a_folder_differ_in_nothing(
    machine: Callable[[str], ClosedWorld], world: ClosedWorld, fetched: list[str]
) -> None:
    in_folder = publish(world.settings, world.month, world.progress.append)
    first = published(machine("a"))
    second = published(machine("a"), method=2, labels=("team",))
    fetched.clear()
    assert differences(first, in_folder) == []
    assert differences(in_folder, first) == []
    assert [line.partition(":")[0] for line in differences(first, second)] == [
        MANIFEST_NAME
    ]
    assert fetched == []


def test_of_revisions_in_s3_only_the_files_that_differ_are_fetched_and_compared(
    s3: Any, machine: Callable[[str], ClosedWorld], world: ClosedWorld, fetched: list[str]
) -> None:
    in_folder = publish(world.settings, world.month, world.progress.append)
    published(machine("a"))
    changed = machine("b")
    changed.sql(
        "update fct_unallocated set cluster_name = 'other' where day(usage_date) = 1"
    )
    second = published(changed, labels=())
    fetched.clear()
    for other in (in_folder, published(machine("a"))):
        found = differences(second, other)
        assert [line.rpartition(": ")[0] for line in found if "are only in" in line] == [
            "unallocated/2026-10-01.parquet"
        ]
    assert set(fetched) == {"unallocated/2026-10-01.parquet"}


def test_a_revision_in_s3_that_was_changed_is_not_compared(
    s3: Any, machine: Callable[[str], ClosedWorld], world: ClosedWorld
) -> None:
    in_folder = publish(world.settings, world.month, world.progress.append)
    first = published(machine("a"))
    s3.delete_object(Bucket=BUCKET, Key=f"{FIRST}remainder.parquet")
    with pytest.raises(PodledgerError, match=r"s3://.*/remainder\.parquet is missing"):
        differences(in_folder, first)
    with pytest.raises(PodledgerError, match="s3://ledger/pre is not a published revision"):
        list(compare_places(REMOTE, in_folder.address, lambda _: None))
