"""Which files of a folder or an S3 prefix are inventory, and how they come here."""

import boto3
import pytest

from orchestration.inventory.sources import parse_source
from orchestration.lake.errors import PodledgerError

BUCKET = "inventories"


@pytest.fixture
def bucket(aws):
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def upload(bucket, inventory, prefix):
    for path in inventory.root.rglob("*"):
        if path.is_file():
            key = f"{prefix}{path.relative_to(inventory.root).as_posix()}"
            bucket.upload_file(str(path), BUCKET, key)


def fetched(uri, inventory):
    return parse_source(uri).fetch(
        inventory.month, inventory.lake.home / "landing", inventory.told.append
    )


def test_folder_gives_inventory_files_at_any_depth_and_nothing_else(inventory):
    for name in (
        "b.parquet",
        "a/2026/x.CSV",
        "a/node_hours.ndjson.gz",
        "node_hours/y.jsonl",
        "quota_hours.csv",
        "_tmp/z.csv",
        ".hidden.csv",
        "README.md",
        "data.json",
        "p.parquet.gz",
    ):
        path = inventory.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files = fetched(str(inventory.root), inventory)
    assert [(f.name, f.kind, f.file_format, f.is_gzipped) for f in files] == [
        ("a/2026/x.CSV", "pod_hours", "csv", False),
        ("a/node_hours.ndjson.gz", "node_hours", "ndjson", True),
        ("b.parquet", "pod_hours", "parquet", False),
        ("node_hours/y.jsonl", "node_hours", "ndjson", False),
        ("quota_hours.csv", "quota_hours", "csv", False),
    ]


def test_one_file_is_a_source(inventory):
    path = inventory.write("a.csv", inventory.pod())
    inventory.write("b.csv", inventory.pod(pod_uid="b"))
    assert inventory.read(str(path)).pod_hours == 1


def test_file_uri_is_a_folder(inventory):
    inventory.write("a b/a.csv", inventory.pod())
    uri = (inventory.root / "a b").as_uri()
    assert "%20" in uri
    assert inventory.read(uri).pod_hours == 1


def test_missing_folder_is_refused(inventory):
    with pytest.raises(PodledgerError, match="not a folder or file that can be read"):
        inventory.read(str(inventory.root / "nowhere"))


@pytest.mark.parametrize(
    "uri", ["ftp://host/a", "file://host/a", "s3://", "s3:///prefix", "://x"]
)
def test_uri_that_is_no_source_is_refused_with_those_that_are(uri):
    with pytest.raises(PodledgerError) as error:
        parse_source(uri)
    assert repr(uri) in str(error.value)
    assert "s3://" in str(error.value)


@pytest.mark.parametrize("prefix", ["", "team/pods/"])
def test_s3_gives_the_same_bytes_as_a_folder(inventory, bucket, prefix):
    inventory.write("a.csv.gz", inventory.pod())
    inventory.write("x/b.parquet", inventory.pod(pod_uid="b"))
    inventory.write("node_hours.ndjson", inventory.node())
    upload(bucket, inventory, prefix)
    bucket.put_object(Bucket=BUCKET, Key=f"{prefix}empty/", Body=b"")
    inventory.read()
    expected = inventory.content()
    read = inventory.read(f"s3://{BUCKET}/{prefix}")
    assert (read.pod_hours, read.node_hours, read.file_count) == (2, 1, 3)
    assert inventory.content() == expected
    names = [file["source_file"] for file in inventory.rows("inventory_files")]
    assert names == ["a.csv.gz", "node_hours.ndjson", "x/b.parquet"]


def test_s3_prefix_is_a_folder_and_not_the_begin_of_a_name(inventory, bucket):
    inventory.write("a.csv", inventory.pod())
    upload(bucket, inventory, "pods/")
    upload(bucket, inventory, "pods-of-another-cluster/")
    assert inventory.read(f"s3://{BUCKET}/pods").file_count == 1
    assert inventory.read(f"s3://{BUCKET}/pods/a.csv").file_count == 1


def test_s3_prefix_with_nothing_but_its_folder_is_an_empty_inventory(inventory, bucket):
    bucket.put_object(Bucket=BUCKET, Key="pods/", Body=b"")
    assert inventory.read(f"s3://{BUCKET}/pods").pod_hours == 0


def test_s3_objects_come_once_and_again_when_they_change(inventory, bucket):
    inventory.write("a.csv", inventory.pod())
    upload(bucket, inventory, "")
    uri = f"s3://{BUCKET}"
    (first,) = fetched(uri, inventory)
    assert inventory.told == [f"{uri}: copying 1 of 1 objects"]
    written = first.path.stat().st_mtime_ns
    assert fetched(uri, inventory) == [first]
    assert first.path.stat().st_mtime_ns == written
    assert len(inventory.told) == 1
    first.path.write_bytes(b"cut")
    assert fetched(uri, inventory) == [first]
    assert first.path.stat().st_size > 3
    inventory.write("a.csv", inventory.pod(pod_uid="other"))
    upload(bucket, inventory, "")
    (second,) = fetched(uri, inventory)
    assert second.path != first.path
    assert b"other" in second.path.read_bytes()


def test_more_objects_than_one_page_are_listed(inventory, bucket, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        inventory.write(f"{number}.csv", inventory.pod(pod_uid=f"uid-{number}"))
    upload(bucket, inventory, "many/")
    assert bucket.list_objects_v2(Bucket=BUCKET)["IsTruncated"]
    assert inventory.read(f"s3://{BUCKET}/many").pod_hours == 5


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/nothing", "s3://no-such-bucket/x"])
def test_s3_that_holds_nothing_or_is_not_there_is_refused(inventory, bucket, uri):
    with pytest.raises(PodledgerError, match=f"The inventory {uri} "):
        inventory.read(uri)
