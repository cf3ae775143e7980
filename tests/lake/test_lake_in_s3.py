"""A lake in S3 is seen whole from every machine. S3 is moto over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from orchestration.lake import generations
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.s3 import S3Home

TABLE = "raw/pod_hours"
BUCKET = "ledger"
REMOTE = f"s3://{BUCKET}/pre"
PREFIX = f"pre/lake/{TABLE}/billing_month=2026-10-01/"
POINTER = f"{PREFIX}_current.json"


@pytest.fixture
def s3(aws: str) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def machine(s3: Any, tmp_path: Path) -> Callable[[str], Lake]:
    """The lake from a machine of that name, which has nothing at first."""
    return lambda name: Lake(tmp_path / name, REMOTE)


def write(lake: Lake, month: Month, **files: str) -> None:
    with lake.replace(TABLE, month) as folder:
        for name, text in files.items():
            (folder / f"{name}.parquet").write_text(text)


def read(lake: Lake, month: Month) -> dict[str, str]:
    return {path.stem: path.read_text() for path in lake.files(TABLE, month)}


def keys(s3: Any) -> list[str]:
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX).get("Contents", [])
    return [one["Key"] for one in found]


def data_keys(s3: Any) -> list[str]:
    return [key for key in keys(s3) if key != POINTER]


def refuse(
    monkeypatch: pytest.MonkeyPatch, error: Exception, matches: Callable[[str], bool]
) -> None:
    """Let a put of a key fail as boto3 does, after all of its own tries."""
    real = S3Home.below

    def below(self: S3Home, folder: str) -> S3Home:
        made = real(self, folder)
        put = made.client.put_object

        def put_object(**asked: Any) -> Any:
            if matches(asked["Key"]):
                raise error
            return put(**asked)

        monkeypatch.setattr(made.client, "put_object", put_object)
        return made

    monkeypatch.setattr(S3Home, "below", below)


def test_what_one_machine_writes_every_machine_reads(machine, october):
    write(machine("a"), october, one="1", two="2")
    assert read(machine("b"), october) == read(machine("a"), october)
    assert read(machine("b"), october) == {"one": "1", "two": "2"}
    assert machine("b").files(TABLE, october.previous) == []


def test_a_month_that_was_replaced_elsewhere_is_fetched_anew(machine, october):
    write(machine("a"), october, one="1", two="2")
    read(machine("b"), october)
    write(machine("a"), october, one="other")
    assert read(machine("b"), october) == {"one": "other"}


def test_a_copy_that_is_whole_is_not_fetched_again(machine, october, monkeypatch):
    write(machine("a"), october, one="1")
    read(machine("b"), october)
    fetched: list[str] = []
    real = S3Home.fetch

    def fetch(self: S3Home, key: str, target: Path) -> bool:
        fetched.append(key)
        return real(self, key, target)

    monkeypatch.setattr(S3Home, "fetch", fetch)
    assert read(machine("b"), october) == read(machine("a"), october) == {"one": "1"}
    assert fetched == []
    machine("b").files(TABLE, october)[0].write_text("damaged")
    assert read(machine("b"), october) == {"one": "1"}
    assert len(fetched) == 1


def test_all_tables_of_a_month_are_brought_for_who_reads_folders(machine, october):
    write(machine("a"), october, one="1")
    with machine("a").replace("pod_costs", october) as folder:
        (folder / "c.parquet").write_text("2")
    write(machine("a"), october.previous, one="0")
    there = machine("b")
    there.fetch_month(october)
    names = {str(p.relative_to(there.root)) for p in there.root.rglob("*.parquet")}
    assert names == {
        "raw/pod_hours/billing_month=2026-10-01/one.parquet",
        "pod_costs/billing_month=2026-10-01/c.parquet",
    }


def test_a_reader_of_the_pointer_sees_the_old_month_until_the_new_one_is_whole(
    s3, machine, october, monkeypatch
):
    write(machine("a"), october, one="old", two="old")
    seen: list[dict[str, str]] = []
    real = S3Home.write_once

    def write_once(self: S3Home, key: str, content: bytes | Path) -> bool:
        done = real(self, key, content)
        seen.append(read(machine(f"reader {key[-11:]}"), october))
        return done

    monkeypatch.setattr(S3Home, "write_once", write_once)
    write(machine("a"), october, one="new", two="new")
    assert seen == [{"one": "old", "two": "old"}] * 2
    assert read(machine("b"), october) == {"one": "new", "two": "new"}


def test_the_same_files_are_not_written_twice(s3, machine, october):
    write(machine("a"), october, one="1")
    before = {key: s3.head_object(Bucket=BUCKET, Key=key) for key in keys(s3)}
    write(machine("b"), october, one="1")
    assert keys(s3) == list(before)
    for key, head in before.items():
        assert (
            s3.head_object(Bucket=BUCKET, Key=key)["LastModified"] == head["LastModified"]
        )


def test_generations_that_were_replaced_are_deleted_a_day_later(
    s3, machine, october, monkeypatch
):
    """Until then another machine may be reading them, or writing them."""
    write(machine("a"), october, one="1")
    write(machine("a"), october, one="2")
    assert len(data_keys(s3)) == 2
    monkeypatch.setattr(generations, "_AT_WORK", dt.timedelta(seconds=-5))
    write(machine("a"), october, one="3", two="3")
    assert len(data_keys(s3)) == 2
    assert read(machine("b"), october) == {"one": "3", "two": "3"}


def test_a_generation_that_is_deleted_while_it_is_read_is_read_as_its_successor(
    machine, october, monkeypatch
):
    write(machine("a"), october, one="1", two="1")
    monkeypatch.setattr(generations, "_AT_WORK", dt.timedelta(seconds=-5))
    real, replaced = S3Home.fetch, threading.Event()

    def fetch(self: S3Home, key: str, target: Path) -> bool:
        if not replaced.is_set():
            replaced.set()
            write(machine("a"), october, one="2")
        return real(self, key, target)

    monkeypatch.setattr(S3Home, "fetch", fetch)
    assert read(machine("b"), october) == {"one": "2"}


LOST = EndpointConnectionError(endpoint_url="https://s3")
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "says"),
    [(LOST, "Could not connect.*run again"), (DENIED, r"access denied.*s3:PutObject")],
    ids=["lost", "denied"],
)
@pytest.mark.parametrize("at", ["two.parquet", "_current.json"])
def test_a_write_that_breaks_off_leaves_the_month_as_it_was_everywhere(
    machine, october, monkeypatch, error, says, at
):
    write(machine("a"), october, one="old")
    with monkeypatch.context() as broken:
        refuse(broken, error, lambda key: key.endswith(at))
        with pytest.raises(PodledgerError, match=says):
            write(machine("a"), october, one="new", two="new")
    for name in "ab":
        assert read(machine(name), october) == {"one": "old"}
    write(machine("a"), october, one="new", two="new")
    assert read(machine("b"), october) == {"one": "new", "two": "new"}


@pytest.mark.parametrize("damage", ["deleted", "another"])
def test_a_pointer_that_names_what_is_not_there_is_told_and_closing_heals_it(
    s3, machine, october, damage
):
    write(machine("a"), october, one="1", two="2")
    read(machine("b"), october)
    key = data_keys(s3)[0]
    if damage == "deleted":
        s3.delete_object(Bucket=BUCKET, Key=key)
    else:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    with pytest.raises(
        PodledgerError, match=r"_current\.json names files.*Close the month"
    ):
        read(machine("c"), october)
    assert not machine("c").partition(TABLE, october).exists()
    assert read(machine("b"), october) == {"one": "1", "two": "2"}
    write(machine("a"), october, one="1", two="2")
    assert read(machine("c"), october) == {"one": "1", "two": "2"}


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", json.dumps({"generation": "g", "files": 1}).encode()]
)
def test_a_pointer_that_is_none_is_told_and_closing_heals_it(s3, machine, october, text):
    write(machine("a"), october, one="1")
    s3.put_object(Bucket=BUCKET, Key=POINTER, Body=text)
    with pytest.raises(
        PodledgerError, match=rf"s3://{POINTER.replace('pre', 'ledger/pre')}"
    ):
        read(machine("b"), october)
    write(machine("a"), october, one="1")
    assert read(machine("b"), october) == {"one": "1"}


def test_a_bucket_that_is_not_there_is_told(aws, tmp_path, october):
    lake = Lake(tmp_path, "s3://nowhere/pre")
    for use in (lambda: read(lake, october), lambda: write(lake, october, one="1")):
        with pytest.raises(PodledgerError, match=r"s3://nowhere/.*no such bucket.*_HOME"):
            use()
    assert not list(lake.root.rglob("*.parquet"))


def test_a_lake_in_a_folder_has_no_pointer(lake, october):
    write(lake, october, one="1")
    assert [path.name for path in lake.partition(TABLE, october).iterdir()] == [
        "one.parquet"
    ]
