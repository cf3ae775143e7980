"""The whole house with its home in S3, against the same month closed in a folder."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import boto3
import duckdb

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.close.summary import summarize
from orchestration.explain.explain import Question
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.ledger.book import find_revision, verify
from tests.explain.following import ask, lines_of
from tests.worlds import PAYERS

OCTOBER = Month(2026, 10)
HOME = "s3://ledger/finops"


def test_a_month_that_is_closed_on_s3_is_the_one_that_is_closed_in_a_folder(
    aws: str, closed_world: Publication, tmp_path: Path
) -> None:
    """And other machines, which begin with nothing, find it there."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="ledger")
    inputs = closed_world.path.parents[3]

    def machine(name: str) -> Settings:
        return Settings(
            bill=tuple(str(inputs / payer) for payer in PAYERS),
            pods=(str(inputs / "pods"),),
            home=HOME,
            work=tmp_path / name,
        )

    first = close_month(OCTOBER, machine("a"), lambda _: None)
    prefix = "finops/published/billing_month=2026-10/revision=001/"
    assert (first.is_new, first.address) == (True, f"s3://ledger/{prefix[:-1]}")
    found = client.list_objects_v2(Bucket="ledger", Prefix=prefix)["Contents"]
    in_s3 = {
        one["Key"].removeprefix(prefix): client.get_object(Bucket="ledger", Key=one["Key"])[
            "Body"
        ].read()
        for one in found
    }
    in_folder = {
        path.relative_to(closed_world.path).as_posix(): path.read_bytes()
        for path in closed_world.path.rglob("*")
        if path.is_file()
    }
    assert in_s3 == in_folder
    assert any(name.startswith("scad/") for name in in_s3)

    again = close_month(OCTOBER, machine("b"), lambda _: None)
    assert (again.is_new, again.revision) == (False, 1)
    assert again.manifest == first.manifest

    reader = machine("c")
    revision = find_revision(reader.published, OCTOBER, remote=reader.remote)
    local = find_revision(closed_world.path.parents[1], OCTOBER)
    read, expected = summarize(revision).as_json(), summarize(local).as_json()
    assert read.pop("path") == first.address
    expected.pop("path")
    assert read == expected
    assert not (reader.home / "lake").exists()
    verify(revision)

    uid, day = _a_pod(closed_world)
    question = Question(pod=uid, day=day)
    folder = Settings(home=closed_world.path.parents[2])
    explained = ask(reader, OCTOBER, question).as_json()
    assert explained == ask(folder, OCTOBER, question).as_json()
    assert lines_of(ask(reader, OCTOBER, question).figure)


def _a_pod(closed_world: Publication) -> tuple[str, dt.date]:
    """The pod and day that cost most."""
    with duckdb.connect() as connection:
        ((uid, day),) = connection.execute(
            "select split_part(line_item_resource_id, '/', -1),"
            " line_item_usage_start_date::date"
            f" from '{closed_world.path}/scad/*.parquet' group by all"
            " order by sum(split_line_item_split_cost) desc limit 1"
        ).fetchall()
    return uid, day
