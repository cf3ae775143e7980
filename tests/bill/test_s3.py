"""Bills in S3 are copied once, whole, and read as a folder is. S3 is moto over HTTP."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from orchestration.bill.exports import find_deliveries, find_manifests
from orchestration.bill.landing import land
from orchestration.bill.stores import S3Store
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from tests.bill import writers
from tests.bill.writers import line, tax

BUCKET = "billing"


@pytest.fixture
def s3(aws: str) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def upload(s3: Any, root: Path) -> Callable[[], None]:
    """Copy the root to the bucket, below ``pre/``."""

    def upload_all() -> None:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                key = f"pre/{path.relative_to(root)}"
                s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())

    return upload_all


@pytest.mark.parametrize(
    "address", [f"s3://{BUCKET}", f"s3://{BUCKET}/pre", f"s3://{BUCKET}/pre/cur/"]
)
@pytest.mark.parametrize("assembly", [None, "1a-2b"])
def test_a_bill_in_s3_is_read_as_one_in_a_folder(
    assembly: str | None,
    address: str,
    root: Path,
    upload: Callable,
    read: Callable,
    rows: Callable,
) -> None:
    writers.legacy(root, [line(), tax()], [line()], assembly=assembly)
    upload()
    in_s3 = read(address), rows()
    assert rows("raw/bill_files")[0]["root"] == address
    assert (read(root), rows()) == in_s3


def test_an_object_lands_once_and_is_kept_by_its_delivery(
    root: Path, upload: Callable, october: Month, tmp_path: Path
) -> None:
    (path,) = writers.cur2(root, [line()], execution="20261103T0000Z-b")
    upload()
    told: list[str] = []
    found = [
        find_deliveries(
            [f"s3://{BUCKET}/pre"], october, landing=tmp_path / "l", progress=told.append
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]
    (file,) = found[0][0].files
    assert file.path.read_bytes() == path.read_bytes()
    assert "exp/2026-10/20261103T0000Z-b/" in str(file.path)
    assert [text.rpartition(": ")[2] for text in told] == [
        f"copying {path.stat().st_size:,} bytes",
        "already on disk",
    ]
    record = json.loads(Path(f"{file.path}.json").read_text())
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["address"].startswith(f"s3://{BUCKET}/pre/exp/data/")


@pytest.mark.parametrize("damage", ["another byte", "another size"])
def test_a_landed_copy_that_was_damaged_is_copied_again(
    damage: str, root: Path, upload: Callable, october: Month, tmp_path: Path
) -> None:
    (path,) = writers.cur2(root, [line()])
    upload()
    landing = tmp_path / "l"
    ((file,),) = (
        d.files for d in find_deliveries(["s3://billing"], october, landing=landing)
    )
    content = path.read_bytes()
    file.path.write_bytes(b"x" + content[1:] if damage == "another byte" else content[:9])
    find_deliveries(["s3://billing"], october, landing=landing)
    assert file.path.read_bytes() == content


def test_an_object_that_was_overwritten_is_copied_again(
    root: Path, upload: Callable, read: Callable
) -> None:
    writers.cur2(root, [line()])
    upload()
    assert read(f"s3://{BUCKET}").row_count == 1
    writers.cur2(root, [line(), tax()])
    upload()
    assert read(f"s3://{BUCKET}").row_count == 2


class _CutOff:
    """A body that the network cuts off after some bytes."""

    def __init__(self, body: Any, size: int) -> None:
        self._content = body.read()[:size]

    def iter_chunks(self, _: int) -> Iterator[bytes]:
        yield self._content
        raise ReadTimeoutError(endpoint_url="s3")


def test_a_copy_that_was_cut_off_goes_on_where_it_stopped(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of many gigabytes must get through a bad line some time."""
    content = bytes(range(256)) * 40
    s3.put_object(Bucket=BUCKET, Key="big", Body=content)
    store = S3Store(f"s3://{BUCKET}")
    real, ranges = store.client.get_object, []

    def get_object(**asked: Any) -> Any:
        ranges.append(asked["Range"])
        answer = real(**asked)
        if len(ranges) == 1:
            answer["Body"] = _CutOff(answer["Body"], 1000)
        return answer

    monkeypatch.setattr(store.client, "get_object", get_object)
    target = tmp_path / "big"
    with pytest.raises(PodledgerError, match=r"cut off.*run again"):
        land(store, "big", target, progress=lambda _: None)
    assert not target.exists()
    told: list[str] = []
    land(store, "big", target, progress=told.append)
    assert target.read_bytes() == content
    assert ranges == ["bytes=0-", "bytes=1000-"]
    assert told == [f"s3://{BUCKET}/big: going on at byte 1,000 of 10,240"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "big.json"]


def test_an_object_that_changes_while_it_is_copied_is_refused(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one delivery and half of the next would be a bill that never was."""
    s3.put_object(Bucket=BUCKET, Key="big", Body=b"old")
    store = S3Store(f"s3://{BUCKET}")
    real = store.client.get_object

    def get_object(**asked: Any) -> Any:
        s3.put_object(Bucket=BUCKET, Key="big", Body=b"new")
        return real(**asked)

    monkeypatch.setattr(store.client, "get_object", get_object)
    with pytest.raises(PodledgerError, match="changed while it was being copied"):
        land(store, "big", tmp_path / "big", progress=lambda _: None)


def test_listings_of_many_pages_are_read_to_the_end(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 lists a thousand keys a page; months that sort last must not be missed."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    names = [f"a{number:02d}" for number in range(12)]
    for key in [*names, "z/x"]:
        s3.put_object(Bucket=BUCKET, Key=f"pre/{key}", Body=b"")
    assert s3.list_objects_v2(Bucket=BUCKET)["IsTruncated"]
    listing = S3Store(f"s3://{BUCKET}/pre").listing("")
    assert [entry.key for entry in listing.files] == names
    assert listing.folders == ("z/",)


def test_a_manifest_in_s3_that_names_another_bucket_is_refused(
    root: Path, upload: Callable, read: Callable
) -> None:
    writers.legacy(root, [line()], bucket="elsewhere")
    upload()
    with pytest.raises(
        PodledgerError, match=r"more than one bucket \(billing, elsewhere\)"
    ):
        read(f"s3://{BUCKET}")


def test_a_named_object_that_is_missing_is_an_error(
    s3: Any, root: Path, upload: Callable, read: Callable
) -> None:
    (path,) = writers.cur2(root, [line()])
    upload()
    s3.delete_object(Bucket=BUCKET, Key=f"pre/{path.relative_to(root)}")
    with pytest.raises(PodledgerError, match=r"exp-00001.snappy.parquet does not exist"):
        read(f"s3://{BUCKET}")


def test_a_bucket_that_is_not_there_is_an_error(aws: str, read: Callable) -> None:
    with pytest.raises(PodledgerError, match="no such bucket"):
        read("s3://nowhere/x")
    with pytest.raises(PodledgerError, match="names no bucket"):
        read("s3://")


def test_manifests_in_s3_change_their_mark_with_each_delivery(
    root: Path, upload: Callable
) -> None:
    def mark() -> str:
        upload()
        (manifest,) = find_manifests(f"s3://{BUCKET}/pre")
        assert manifest.key == "exp/metadata/BILLING_PERIOD=2026-10/exp-Manifest.json"
        return manifest.etag

    writers.cur2(root, [line()], execution="20261103T0000Z-b")
    before = mark()
    assert mark() == before
    writers.cur2(root, [line()], execution="20261104T0000Z-c")
    assert mark() != before


def test_athenas_layout_is_read_from_s3_too(
    root: Path, upload: Callable, read: Callable
) -> None:
    writers.athena(root, [line()], [tax()])
    upload()
    assert read(f"s3://{BUCKET}/pre").row_count == 2


def test_exports_of_one_name_in_two_places_land_apart(
    s3: Any, root: Path, october: Month, tmp_path: Path
) -> None:
    """Two payers may both call their export cur2: neither may overwrite the other."""
    for prefix, payer in (("a", "111111111111"), ("b", "222222222222")):
        folder = tmp_path / prefix
        folder.mkdir()
        writers.cur2(
            folder, [line(bill_payer_account_id=payer)], execution="20261103T0000Z-b"
        )
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}"
                s3.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
    deliveries = find_deliveries(
        [f"s3://{BUCKET}/a", f"s3://{BUCKET}/b"], october, landing=tmp_path / "l"
    )
    digests = [hashlib.sha256(d.files[0].path.read_bytes()).hexdigest() for d in deliveries]
    assert len({d.files[0].path for d in deliveries}) == len(set(digests)) == 2
