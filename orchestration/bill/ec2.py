"""What EC2 says of capacity reservations and Dedicated Hosts, kept as two files.

Holds the asking, over accounts and Regions, and the joining with what the files held: EC2
forgets a reservation some time after its end, and a host after its release. What the files
mean to a month is in ``reservations.py``.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from orchestration.bill.reservations import (
    CAPACITY_BLOCK,
    HOST_COLUMNS,
    HOSTS_FILE,
    ON_DEMAND,
    RESERVATION_COLUMNS,
    RESERVATIONS_FILE,
    read_kept,
)
from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

Row = dict[str, Any]

_REFUSALS = (BotoCoreError, ClientError)
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10, read_timeout=60
)
_AT_ONCE = 8
_FIRST_REGION = "us-east-1"
"""Asked for the list of Regions where the environment names none."""

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/.+")

_NEVER_HELD = {"failed", "payment-failed", "unsupported"}
"""States of a reservation that never held an instance."""


@dataclass(frozen=True)
class Refusal:
    """A question that EC2 or STS did not answer.

    Attributes:
        account: Account that was asked, or the role where it could not be assumed.
        region: Region, or nothing where the account as a whole was asked.
        action: The permission, like ``ec2:DescribeHosts``.
        reason: What AWS said.
    """

    account: str
    region: str
    action: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.account} in {self.region}" if self.region else self.account
        return f"{place}: {self.action}: {self.reason}"


@dataclass(frozen=True)
class Kept:
    """What a refresh did to one file.

    Attributes:
        path: The file.
        total: Reservations or hosts in it now.
        added: Ids that it did not have, sorted.
        changed: Ids of which EC2 says something else than the file had, sorted.
        not_listed: Ids that EC2 did not list and that stay as they were, sorted.
    """

    path: Path
    total: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    not_listed: tuple[str, ...]


@dataclass(frozen=True)
class ReservationsRefresh:
    """What a refresh kept, and what it could not ask."""

    reservations: Kept
    hosts: Kept
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class _Place:
    account: str
    region: str
    client: EC2Client


@dataclass(frozen=True)
class _Heard:
    reservations: list[Row]
    hosts: list[Row]
    refusals: list[Refusal]
    answers: int


def refresh(
    folder: Path,
    *,
    regions: Sequence[str] = (),
    role_arns: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> ReservationsRefresh:
    """Ask EC2, and write both files of ``folder``; what they had besides stays.

    The caller's own account is asked first, then the account of each role. An account or
    Region that refuses is in the answer, and loses neither the others nor the files.

    Args:
        folder: Where the files are; it is made if need be.
        regions: Regions to ask; without any, all that an account has enabled.
        role_arns: Roles to assume, one for each further account.
        progress: Called with one line for what takes a while.

    Raises:
        PodledgerError: A file is damaged, a role is no ARN, or nobody answered at all. The
            files are as they were.
    """
    for arn in role_arns:
        if not _ROLE.fullmatch(arn):
            raise PodledgerError(
                f"{arn!r} is not a role. Write --role-arn as"
                " arn:aws:iam::123456789012:role/podledger-reservations."
            )
    kept_reservations = read_kept(folder, RESERVATIONS_FILE)
    kept_hosts = read_kept(folder, HOSTS_FILE)
    places, refusals = _places(regions, role_arns)
    asked = ", ".join(sorted({place.region for place in places}))
    progress(f"Asking EC2 for reservations and hosts in {asked or 'no Region'}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        heard = list(pool.map(_ask, places))
    refusals += [refusal for one in heard for refusal in one.refusals]
    if not any(one.answers for one in heard):
        raise PodledgerError(
            "Nobody answered, so what is kept of capacity reservations and Dedicated Hosts"
            f" in {folder} is as it was: {'; '.join(map(str, refusals))}. Check the AWS"
            " credentials and the Regions, and that the role allows"
            " ec2:DescribeCapacityReservations, ec2:DescribeHosts, ec2:DescribeRegions and,"
            " for other accounts, sts:AssumeRole (deploy/iam-policy.json)."
        )
    reservations, blocks = _joined_reservations(
        kept_reservations, [row for one in heard for row in one.reservations]
    )
    hosts, machines = _joined_hosts(kept_hosts, [row for one in heard for row in one.hosts])
    _write(
        folder,
        {
            RESERVATIONS_FILE: (RESERVATION_COLUMNS, reservations),
            HOSTS_FILE: (HOST_COLUMNS, hosts),
        },
    )
    return ReservationsRefresh(
        _kept(folder / RESERVATIONS_FILE, kept_reservations, reservations, blocks),
        _kept(folder / HOSTS_FILE, kept_hosts, hosts, machines),
        tuple(refusals),
    )


# ------------------------------------------------------------------ accounts and Regions


def _places(
    regions: Sequence[str], role_arns: Sequence[str]
) -> tuple[list[_Place], list[Refusal]]:
    """Whom to ask where. Clients are made here, because only calls may be made at once."""
    places: list[_Place] = []
    refusals: list[Refusal] = []
    own = boto3.Session()
    first = (regions[0] if regions else None) or own.region_name or _FIRST_REGION
    for arn in (None, *dict.fromkeys(role_arns)):
        account, action = arn or "the caller's own account", "sts:GetCallerIdentity"
        try:
            if arn is None:
                session = own
                client = own.client("sts", region_name=first, config=_CONFIG)
                account = client.get_caller_identity()["Account"]
            else:
                action = "sts:AssumeRole"
                session = _assume(own, arn, first)
                account = arn.split(":")[4]
            if any(place.account == account for place in places):
                continue
            action = "ec2:DescribeRegions"
            names = regions or _enabled_regions(session, first)
            places += [
                _Place(account, name, _ec2(session, name)) for name in dict.fromkeys(names)
            ]
        except _REFUSALS as error:
            refusals.append(Refusal(account, "", action, _reason(error)))
    return places, refusals


def _assume(own: boto3.Session, arn: str, region: str) -> boto3.Session:
    client = own.client("sts", region_name=region, config=_CONFIG)
    given = client.assume_role(RoleArn=arn, RoleSessionName="podledger-reservations")
    lent = given["Credentials"]
    return boto3.Session(
        aws_access_key_id=lent["AccessKeyId"],
        aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"],
        region_name=region,
    )


def _enabled_regions(session: boto3.Session, region: str) -> list[str]:
    """Regions that the account has enabled: EC2 lists no others unless it is told to."""
    client = _ec2(session, region)
    return sorted(
        one["RegionName"] for one in client.describe_regions(AllRegions=False)["Regions"]
    )


def _ec2(session: boto3.Session, region: str) -> EC2Client:
    return session.client("ec2", region_name=region, config=_CONFIG)


def _reason(error: Exception) -> str:
    return str(error).rstrip(".")


# --------------------------------------------------------------------- what EC2 answers


def _ask(place: _Place) -> _Heard:
    """Ask one account in one Region both questions; what breaks off counts for nothing."""
    heard = _Heard([], [], [], 0)
    answers = 0
    for operation, action, rows, read in (
        (
            "describe_capacity_reservations",
            "ec2:DescribeCapacityReservations",
            heard.reservations,
            _reservations_of,
        ),
        ("describe_hosts", "ec2:DescribeHosts", heard.hosts, _hosts_of),
    ):
        try:
            rows += [
                row for page in _pages(place.client, operation) for row in read(page, place)
            ]
            answers += 1
        except _REFUSALS as error:
            rows.clear()
            heard.refusals.append(
                Refusal(place.account, place.region, action, _reason(error))
            )
    return _Heard(heard.reservations, heard.hosts, heard.refusals, answers)


def _pages(client: EC2Client, operation: str) -> Iterable[Mapping[str, Any]]:
    if operation == "describe_hosts":
        return client.get_paginator("describe_hosts").paginate()
    return client.get_paginator("describe_capacity_reservations").paginate()


def _reservations_of(page: Mapping[str, Any], place: _Place) -> Iterable[Row]:
    for one in page.get("CapacityReservations", []):
        starts_at = one.get("StartDate") or one.get("CreateDate")
        if starts_at is None:
            continue
        owner = one.get("OwnerId") or place.account
        is_block = one.get("ReservationType") == CAPACITY_BLOCK
        yield {
            "capacity_reservation_id": one["CapacityReservationId"],
            "reservation_type": CAPACITY_BLOCK if is_block else ON_DEMAND,
            "account_id": owner,
            "region": place.region,
            "instance_type": one["InstanceType"],
            "instance_count": one.get("TotalInstanceCount", 0),
            "starts_at": _utc(starts_at),
            "ends_at": _utc(one["EndDate"]) if one.get("EndDate") else None,
            "state": one.get("State"),
            "tags": _tags(one.get("Tags", [])),
            "is_own": owner == place.account,
        }


def _hosts_of(page: Mapping[str, Any], place: _Place) -> Iterable[Row]:
    for one in page.get("Hosts", []):
        properties = one.get("HostProperties", {})
        family = (
            properties.get("InstanceFamily")
            or ((properties.get("InstanceType") or "").partition(".")[0])
        )
        if not family:
            continue
        host = {
            "host_id": one["HostId"],
            "account_id": one.get("OwnerId") or place.account,
            "region": place.region,
            "instance_family": family,
            "total_vcpus": properties.get("TotalVCpus") or None,
        }
        seen = sorted(instance["InstanceId"] for instance in one.get("Instances", []))
        for instance in seen or [None]:
            yield host | {"instance_id": instance}


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(tzinfo=None)


def _tags(tags: Iterable[Mapping[str, str]]) -> str:
    return json.dumps(
        {tag["Key"]: tag.get("Value", "") for tag in tags},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )


# ------------------------------------------------------------- with what the files held


def _joined_reservations(
    kept: Iterable[Row], heard: Sequence[Row]
) -> tuple[list[Row], set[str]]:
    """All reservations by id, and the ids that EC2 listed.

    A reservation that is shared with another account is listed to both, and its tags to
    its owner alone: the owner is believed. A cancelled one may be listed without
    instances: what it had held stays.
    """
    joined = {row["capacity_reservation_id"]: _facts(row) for row in kept}
    listed: set[str] = set()
    for row in sorted(heard, key=lambda row: row["is_own"]):
        name = row["capacity_reservation_id"]
        listed.add(name)
        facts = _facts(row)
        if not row["is_own"] and name in joined:
            facts["tags"] = joined[name]["tags"]
        if row["state"] in _NEVER_HELD:
            joined.pop(name, None)
            continue
        if not facts["instance_count"]:
            if name not in joined:
                continue
            facts["instance_count"] = joined[name]["instance_count"]
        if facts["ends_at"] is not None and facts["ends_at"] <= facts["starts_at"]:
            continue
        joined[name] = facts
    return [joined[name] for name in sorted(joined)], listed


def _joined_hosts(kept: Iterable[Row], heard: Sequence[Row]) -> tuple[list[Row], set[str]]:
    """All hosts with all instances ever seen on them, and the ids that EC2 listed.

    An instance that is seen on another host than before has moved there.
    """
    hosts: dict[str, Row] = {}
    host_of: dict[str, str] = {}
    for row in (*kept, *heard):
        facts = {name: row[name] for name in HOST_COLUMNS if name != "instance_id"}
        hosts[row["host_id"]] = facts
        if row["instance_id"] is not None:
            host_of[row["instance_id"]] = row["host_id"]
    seen: dict[str, list[str | None]] = {}
    for instance, host in sorted(host_of.items()):
        seen.setdefault(host, []).append(instance)
    rows = [
        hosts[host] | {"instance_id": instance}
        for host in sorted(hosts)
        for instance in seen.get(host, [None])
    ]
    return rows, {row["host_id"] for row in heard}


def _facts(row: Row) -> Row:
    return {name: row[name] for name in RESERVATION_COLUMNS}


def _kept(path: Path, before: list[Row], after: list[Row], listed: set[str]) -> Kept:
    key = "host_id" if path.name == HOSTS_FILE else "capacity_reservation_id"
    had, has = _by_id(before, key), _by_id(after, key)
    return Kept(
        path,
        total=len(has),
        added=tuple(sorted(has.keys() - had.keys())),
        changed=tuple(
            name for name in sorted(has.keys() & had.keys()) if has[name] != had[name]
        ),
        not_listed=tuple(sorted(has.keys() - listed)),
    )


def _by_id(rows: Iterable[Row], key: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        cells = [_cell(value) for name, value in sorted(row.items()) if name != "source"]
        found.setdefault(row[key], []).append(cells)
    return found


def _write(folder: Path, files: Mapping[str, tuple[Sequence[str], Iterable[Row]]]) -> None:
    """Write beside the files and rename, so that none is ever half there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".reservations-") as beside:
            for name, (columns, rows) in files.items():
                with (Path(beside) / name).open("w", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file, lineterminator="\n")
                    writer.writerow(columns)
                    writer.writerows([_cell(row[c]) for c in columns] for row in rows)
            for name in files:
                (Path(beside) / name).replace(folder / name)
    except OSError as error:
        raise PodledgerError(
            f"{folder} cannot be written ({error.strerror}). Make room or give permission,"
            " or set PODLEDGER_RESERVATIONS to another folder."
        ) from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return f"{value.isoformat()}Z"
    return str(value)
