"""What EC2 says of capacity reservations and Dedicated Hosts, asked over HTTP and kept."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.bill.ec2 import ReservationsRefresh, refresh
from orchestration.bill.reservations import (
    HOSTS_FILE,
    RESERVATIONS_FILE,
    read_kept,
    read_reserved,
)
from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from tests.ec2_server import CLOSED_ROLE, OPEN_ROLE, OTHER, OWN, Ec2, Item, running_ec2

REGION, FAR = "us-east-1", "eu-west-1"


@pytest.fixture
def ec2(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    with running_ec2(aws) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        yield server


def block(name: str, **other: object) -> Item:
    return {
        "capacityReservationId": name,
        "ownerId": OWN,
        "instanceType": "p5.48xlarge",
        "totalInstanceCount": 4,
        "reservationType": "capacity-block",
        "startDate": "2026-10-05T11:30:00.000Z",
        "endDate": "2026-10-07T11:30:00.000Z",
        "state": "active",
        "tagSet": [{"key": "team", "value": "research"}],
        **other,
    }


def on_demand(name: str, **other: object) -> Item:
    open_ended = {
        name: value
        for name, value in block(name, reservationType="default").items()
        if name != "endDate"
    }
    return open_ended | {"instanceType": "g6.xlarge", "tagSet": []} | other


def host(name: str, *instances: str, **properties: object) -> Item:
    return {
        "hostId": name,
        "ownerId": OWN,
        "state": "available",
        "hostProperties": {"instanceFamily": "g6", "totalVCpus": 192, **properties},
        "instances": [{"instanceId": one} for one in instances],
    }


def ids(folder: Path) -> list[str]:
    return [row["capacity_reservation_id"] for row in read_kept(folder, RESERVATIONS_FILE)]


def asking(folder: Path, **other: object) -> ReservationsRefresh:
    return refresh(folder, **{"regions": [REGION], **other})  # type: ignore[arg-type]


def test_blocks_and_on_demand_reservations_are_kept_sorted_and_readable(
    ec2: Ec2, tmp_path: Path
) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0b"), on_demand("cr-0a")]
    done = asking(tmp_path)
    assert (tmp_path / RESERVATIONS_FILE).read_text() == (
        "capacity_reservation_id,reservation_type,account_id,region,instance_type,"
        "instance_count,starts_at,ends_at,state,tags\n"
        "cr-0a,on-demand,123456789012,us-east-1,g6.xlarge,4,2026-10-05T11:30:00Z,,"
        "active,{}\n"
        "cr-0b,capacity-block,123456789012,us-east-1,p5.48xlarge,4,2026-10-05T11:30:00Z,"
        '2026-10-07T11:30:00Z,active,"{""team"":""research""}"\n'
    )
    assert done.reservations.added == ("cr-0a", "cr-0b")
    assert done.refusals == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        RESERVATIONS_FILE,
        HOSTS_FILE,
    ]


def test_a_host_is_kept_with_every_instance_that_was_seen_on_it(
    ec2: Ec2, tmp_path: Path
) -> None:
    ec2.hosts[OWN, REGION] = [host("h-0b", "i-02", "i-01"), host("h-0a")]
    asking(tmp_path)
    ec2.hosts[OWN, REGION] = [host("h-0b", "i-03"), host("h-0c", "i-01")]
    done = asking(tmp_path)
    rows = read_kept(tmp_path, HOSTS_FILE)
    assert [(row["host_id"], row["instance_id"]) for row in rows] == [
        ("h-0a", None),
        ("h-0b", "i-02"),
        ("h-0b", "i-03"),
        ("h-0c", "i-01"),
    ]
    assert {(row["instance_family"], row["total_vcpus"]) for row in rows} == {("g6", 192)}
    assert (done.hosts.added, done.hosts.changed) == (("h-0c",), ("h-0b",))
    assert done.hosts.not_listed == ("h-0a",)


def test_a_host_of_one_type_is_of_that_types_family(ec2: Ec2, tmp_path: Path) -> None:
    ec2.hosts[OWN, REGION] = [
        host("h-0a") | {"hostProperties": {"instanceType": "mac2.metal"}}
    ]
    asking(tmp_path)
    (row,) = read_kept(tmp_path, HOSTS_FILE)
    assert (row["instance_family"], row["total_vcpus"]) == ("mac2", None)


def test_what_ec2_has_forgotten_stays_and_what_it_says_otherwise_is_believed(
    ec2: Ec2, tmp_path: Path
) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a"), block("cr-0b")]
    asking(tmp_path)
    ec2.reservations[OWN, REGION] = [block("cr-0b", endDate="2026-10-09T11:30:00.000Z")]
    done = asking(tmp_path)
    assert ids(tmp_path) == ["cr-0a", "cr-0b"]
    assert done.reservations.not_listed == ("cr-0a",)
    assert done.reservations.changed == ("cr-0b",)
    (_, extended) = read_kept(tmp_path, RESERVATIONS_FILE)
    assert extended["ends_at"] == dt.datetime.fromisoformat("2026-10-09T11:30")


def test_a_second_refresh_changes_no_byte(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a"), on_demand("cr-0b")]
    ec2.hosts[OWN, REGION] = [host("h-0a", "i-01"), host("h-0b")]
    asking(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = asking(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for kept in (done.reservations, done.hosts):
        assert (kept.added, kept.changed, kept.not_listed) == ((), (), ())


def test_a_cancelled_reservation_keeps_what_it_had_held(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, REGION] = [on_demand("cr-0a")]
    asking(tmp_path)
    gone = {"totalInstanceCount": 0, "state": "cancelled"}
    ec2.reservations[OWN, REGION] = [on_demand("cr-0a", **gone), on_demand("cr-0b", **gone)]
    asking(tmp_path)
    (row,) = read_kept(tmp_path, RESERVATIONS_FILE)
    assert (row["instance_count"], row["state"]) == (4, "cancelled")


def test_a_block_whose_payment_failed_is_not_kept(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a", state="payment-pending")]
    asking(tmp_path)
    ec2.reservations[OWN, REGION] = [block("cr-0a", state="payment-failed")]
    asking(tmp_path)
    assert ids(tmp_path) == []


def test_without_a_region_all_that_are_enabled_are_asked(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, FAR] = [block("cr-0a")]
    refresh(tmp_path)
    (row,) = read_kept(tmp_path, RESERVATIONS_FILE)
    assert row["region"] == FAR
    asked = {region for _, region, action in ec2.asked if action == "DescribeHosts"}
    assert {"us-east-1", "eu-west-1", "ap-northeast-1"} <= asked


def test_a_role_is_assumed_for_another_account(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a")]
    ec2.reservations[OTHER, REGION] = [block("cr-0b", ownerId=OTHER)]
    asking(tmp_path, role_arns=[OPEN_ROLE])
    rows = read_kept(tmp_path, RESERVATIONS_FILE)
    assert [(row["capacity_reservation_id"], row["account_id"]) for row in rows] == [
        ("cr-0a", OWN),
        ("cr-0b", OTHER),
    ]


@pytest.mark.parametrize("owner", [OWN, OTHER])
def test_of_a_shared_reservation_its_owner_is_believed(
    ec2: Ec2, tmp_path: Path, owner: str
) -> None:
    for account in (OWN, OTHER):
        seen = block("cr-0a", ownerId=owner)
        ec2.reservations[account, REGION] = [
            seen if account == owner else seen | {"tagSet": []}
        ]
    asking(tmp_path, role_arns=[OPEN_ROLE])
    (row,) = read_kept(tmp_path, RESERVATIONS_FILE)
    assert (row["account_id"], row["tags"]) == (owner, '{"team":"research"}')


def test_a_region_that_refuses_is_named_and_loses_nothing(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, FAR] = [block("cr-0a")]
    asking(tmp_path, regions=[REGION, FAR])
    ec2.reservations[OWN, REGION] = [block("cr-0b")]
    ec2.hosts[OWN, FAR] = [host("h-0a")]
    ec2.refused.add((OWN, FAR, "DescribeCapacityReservations"))
    done = asking(tmp_path, regions=[REGION, FAR])
    assert ids(tmp_path) == ["cr-0a", "cr-0b"]
    assert done.hosts.added == ("h-0a",)
    (refusal,) = done.refusals
    assert str(refusal).startswith(
        f"{OWN} in {FAR}: ec2:DescribeCapacityReservations: An error occurred (Access"
    )


def test_an_account_that_refuses_is_named_and_loses_nothing(
    ec2: Ec2, tmp_path: Path
) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a")]
    done = asking(tmp_path, role_arns=[CLOSED_ROLE])
    assert ids(tmp_path) == ["cr-0a"]
    (refusal,) = done.refusals
    assert (refusal.account, refusal.action) == (CLOSED_ROLE, "sts:AssumeRole")


def test_where_nobody_answers_the_files_are_as_they_were(ec2: Ec2, tmp_path: Path) -> None:
    ec2.reservations[OWN, REGION] = [block("cr-0a")]
    asking(tmp_path)
    before = (tmp_path / RESERVATIONS_FILE).read_bytes()
    for action in ("DescribeCapacityReservations", "DescribeHosts"):
        ec2.refused.add((OWN, REGION, action))
    with pytest.raises(PodledgerError, match=r"Nobody answered.*sts:AssumeRole"):
        asking(tmp_path)
    assert (tmp_path / RESERVATIONS_FILE).read_bytes() == before


def test_a_damaged_file_is_not_written_over(ec2: Ec2, tmp_path: Path) -> None:
    (tmp_path / RESERVATIONS_FILE).write_text("capacity_reservation_id\ncr-0a\n")
    with pytest.raises(PodledgerError, match="lacks the column"):
        asking(tmp_path)
    assert ec2.asked == []


def test_a_role_that_is_none_is_refused_before_anybody_is_asked(
    ec2: Ec2, tmp_path: Path
) -> None:
    with pytest.raises(PodledgerError, match="is not a role"):
        asking(tmp_path, role_arns=["podledger"])
    assert ec2.asked == []


def test_a_month_gets_what_overlaps_it_and_a_persons_words_win(
    ec2: Ec2, tmp_path: Path, october: Month
) -> None:
    ec2.reservations[OWN, REGION] = [
        block("cr-0a"),
        block("cr-0b"),
        block(
            "cr-0c", startDate="2026-11-01T11:30:00.000Z", endDate="2026-11-02T11:30:00Z"
        ),
        on_demand("cr-0d"),
    ]
    asking(tmp_path)
    written = tmp_path / "capacity_blocks.csv"
    written.write_text(
        "capacity_reservation_id,account_id,region,instance_type,instance_count,"
        "starts_at,ends_at\n"
        f"cr-0b,{OWN},{REGION},p5.48xlarge,2,2026-10-05T11:30:00Z,2026-10-07T11:30:00Z\n"
    )
    found = read_reserved(written, tmp_path, october).reservations.to_pylist()
    assert [
        (row["capacity_reservation_id"], row["instance_count"], row["source"])
        for row in found
    ] == [("cr-0a", 4, "ec2"), ("cr-0b", 2, "file"), ("cr-0d", 4, "ec2")]
