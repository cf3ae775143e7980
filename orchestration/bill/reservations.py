"""What EC2 sells ahead of time: Capacity Blocks, capacity reservations, Dedicated Hosts.

Holds the files that say what each held (instances, start, end), as people write them and as
``podledger reservations refresh`` keeps them, and the fees of Capacity Blocks, which the
month of the purchase bills and all months of the block carry. What becomes of a fee is
SQL's: ``int_capacity_blocks__known`` and what follows it.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.engines.duckdb import connect, quote
from orchestration.lake.errors import PodledgerError
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import (
    CAPACITY_BLOCK_FEES,
    CAPACITY_RESERVATIONS,
    DEDICATED_HOSTS,
)

RESERVATIONS_FILE = "capacity_reservations.csv"
HOSTS_FILE = "dedicated_hosts.csv"
"""What ``podledger reservations refresh`` keeps: columns of the lake but ``source``."""

BLOCK_COLUMNS = (
    "capacity_reservation_id",
    "account_id",
    "region",
    "instance_type",
    "instance_count",
    "starts_at",
    "ends_at",
)
"""Columns of the file of Capacity Blocks that people write."""

RESERVATION_COLUMNS = tuple(n for n in CAPACITY_RESERVATIONS.names if n != "source")
HOST_COLUMNS = tuple(n for n in DEDICATED_HOSTS.names if n != "source")

CAPACITY_BLOCK, ON_DEMAND = "capacity-block", "on-demand"
"""Types of a reservation."""

MONTHS_OF_A_BLOCK = 7
"""Months before the present one in which a block's fee may have been billed: AWS sells
blocks of up to 182 days."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_RESERVATION = re.compile(r"cr-[0-9a-z]+")
_HOST = re.compile(r"h-[0-9a-f]+")
_INSTANCE = re.compile(r"i-[0-9a-f]+")
_TYPE = re.compile(r"[a-z0-9-]+[.][a-z0-9-]+")


@dataclass(frozen=True)
class Reserved:
    """What is known of one month.

    Attributes:
        reservations: Rows of ``raw/capacity_reservations``.
        hosts: Rows of ``raw/dedicated_hosts``.
    """

    reservations: pa.Table
    hosts: pa.Table


def read_reserved(blocks_file: Path | None, kept: Path | None, month: Month) -> Reserved:
    """Read what overlaps a month; what people wrote wins over what EC2 said.

    Args:
        blocks_file: Capacity Blocks as a person wrote them, if any.
        kept: Folder of what ``podledger reservations refresh`` keeps, if any.
        month: The billing month.

    Raises:
        PodledgerError: A file cannot be read or has a mistake; names file, line, column.
    """
    found = {
        row["capacity_reservation_id"]: row for row in read_kept(kept, RESERVATIONS_FILE)
    }
    if blocks_file is not None:
        for row in read_blocks(blocks_file):
            name = row["capacity_reservation_id"]
            # A person writes what a block held; its tags are EC2's to tell.
            found[name] = row | {"tags": found.get(name, row)["tags"]}
    start, end = (moment.replace(tzinfo=None) for moment in (month.start, month.end))
    overlapping = [
        found[name]
        for name in sorted(found)
        if found[name]["starts_at"] < end
        and (found[name]["ends_at"] is None or found[name]["ends_at"] > start)
    ]
    hosts = sorted(
        read_kept(kept, HOSTS_FILE),
        key=lambda row: (row["host_id"], row["instance_id"] or ""),
    )
    return Reserved(
        pa.Table.from_pylist(overlapping, CAPACITY_RESERVATIONS),
        pa.Table.from_pylist(hosts, DEDICATED_HOSTS),
    )


def read_blocks(path: Path) -> list[dict[str, Any]]:
    """Read the Capacity Blocks that a person wrote, as rows of the lake.

    Raises:
        PodledgerError: See ``read_reserved``.
    """
    rows = _read(path, BLOCK_COLUMNS, optional=())
    return [
        row
        | {
            "reservation_type": CAPACITY_BLOCK,
            "state": None,
            "tags": "{}",
            "source": "file",
        }
        for row in rows
    ]


def write_reserved(
    lake: Lake, month: Month, blocks_file: Path | None, kept: Path | None, scratch: Path
) -> tuple[Reserved, pa.Table]:
    """Write the month's three tables of the lake, and return them.

    Args:
        lake: Has the month's ``raw/bill_lines``.
        month: The billing month.
        blocks_file: See ``read_reserved``.
        kept: See ``read_reserved``.
        scratch: Folder to spill to.

    Raises:
        PodledgerError: See ``read_reserved``; the lake keeps the month that it had.
    """
    reserved = read_reserved(blocks_file, kept, month)
    fees = read_fees(lake, month, scratch)
    for table, rows in (
        ("raw/capacity_reservations", reserved.reservations),
        ("raw/dedicated_hosts", reserved.hosts),
        ("raw/capacity_block_fees", fees),
    ):
        with lake.replace(table, month) as folder:
            pq.write_table(rows, folder / f"{table.rpartition('/')[2]}.parquet")
    return reserved, fees


def read_fees(lake: Lake, month: Month, scratch: Path) -> pa.Table:
    """Fees of Capacity Blocks, and refunds of them, on the month's bill and earlier ones.

    Earlier ones are those that were closed with this lake: each month's table keeps its
    own fees for the months after it.

    Returns:
        Rows of ``CAPACITY_BLOCK_FEES`` in the order of their key.
    """
    tables = [_fees_of_bill(lake, month, scratch)]
    earlier = month
    for _ in range(MONTHS_OF_A_BLOCK):
        earlier = earlier.previous
        for path in lake.files("raw/capacity_block_fees", earlier):
            rows = pq.ParquetFile(path).read()
            is_own = pc.equal(rows["fee_month"], earlier.start.date())
            tables.append(rows.filter(is_own).cast(CAPACITY_BLOCK_FEES))
    key = ("capacity_reservation_id", "payer_account_id", "usage_account_id", "fee_month")
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in key])


def _fees_of_bill(lake: Lake, month: Month, scratch: Path) -> pa.Table:
    """The same rule as the macro ``capacity_reservation_id`` and its flag of a fee."""
    files = ", ".join(quote(str(path)) for path in lake.files("raw/bill_lines", month))
    if not files:
        return CAPACITY_BLOCK_FEES.empty_table()
    with connect(scratch) as connection:
        rows = connection.execute(
            f"""
            select
                nullif(coalesce(
                    nullif(regexp_extract(
                        capacity_reservation_capacity_reservation_arn,
                        '(cr-[0-9a-z]+)$', 1
                    ), ''),
                    regexp_extract(
                        line_item_resource_id, ':capacity-reservation/(cr-[0-9a-z]+)$', 1
                    )
                ), '') as capacity_reservation_id,
                bill_payer_account_id as payer_account_id,
                line_item_usage_account_id as usage_account_id,
                max(product_region_code) as region_code,
                max(coalesce(
                    nullif(product_instance_type, ''),
                    nullif(regexp_extract(
                        line_item_usage_type, ':([a-z0-9-]+[.][a-z0-9-]+)$', 1
                    ), '')
                )) as instance_type,
                date '{month.key}' as fee_month,
                count(*)::bigint as line_count,
                sum(line_item_unblended_cost)::decimal(38, 10) as unblended_usd,
                sum(coalesce(line_item_net_unblended_cost, line_item_unblended_cost))
                ::decimal(38, 10) as net_unblended_usd,
                sum(coalesce(pricing_public_on_demand_cost, 0))::decimal(38, 10)
                    as public_on_demand_usd
            from read_parquet([{files}])
            where
                line_item_line_item_type in ('Fee', 'Refund')
                and coalesce(split_line_item_parent_resource_id, '') = ''
            group by all
            having capacity_reservation_id is not null
            """
        ).to_arrow_table()
    return rows.cast(CAPACITY_BLOCK_FEES)


# ------------------------------------------------------------------- files, cell by cell


def read_kept(folder: Path | None, name: str) -> list[dict[str, Any]]:
    """Read one of the files that are kept, as rows of the lake; none without the file.

    Raises:
        PodledgerError: See ``read_reserved``.
    """
    if folder is None or not (path := folder / name).is_file():
        return []
    columns = RESERVATION_COLUMNS if name == RESERVATIONS_FILE else HOST_COLUMNS
    optional = ("ends_at", "state", "tags", "total_vcpus", "instance_id", "account_id")
    return [row | {"source": "ec2"} for row in _read(path, columns, optional)]


def _read(
    path: Path, columns: Sequence[str], optional: Sequence[str]
) -> list[dict[str, Any]]:
    """Read a CSV file whose every cell is understood.

    Raises:
        PodledgerError: It is not there, lacks or adds a column, or a cell cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or ()
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PodledgerError(
            f"{path} cannot be read: {error}. Correct the file."
        ) from error
    missing = [name for name in columns if name not in names and name not in optional]
    unknown = [name for name in names if name not in columns]
    if missing or unknown:
        problem = (
            f"lacks the column {missing[0]}" if missing else f"has a column {unknown[0]!r}"
        )
        raise PodledgerError(
            f"{path}, line 1: it {problem}. Its columns are {', '.join(columns)}."
        )
    read: list[dict[str, Any]] = []
    lines: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = {}
    for line, cells in rows:
        row = {name: _cell(path, line, name, cells.get(name), optional) for name in columns}
        _check_row(path, line, row)
        key = tuple(str(row.get(name)) for name in ("capacity_reservation_id", "host_id"))
        key += (str(row.get("instance_id")),)
        seen = lines.setdefault(key, (line, row))
        if seen[1] != row:
            raise PodledgerError(
                f"{path}, line {line}: {row[columns[0]]} is in line {seen[0]} too, with"
                " other facts. Keep the line that is right."
            )
        if seen[0] == line:
            read.append(row)
    return read


def _cell(
    path: Path, line: int, name: str, text: str | None, optional: Sequence[str]
) -> Any:
    text = (text or "").strip()
    if not text:
        if name == "tags":
            return "{}"
        if name in optional:
            return None
        raise PodledgerError(f"{path}, line {line}, {name}: it is empty. Fill it in.")
    try:
        return _CASTS.get(name, str)(text)
    except ValueError as error:
        raise PodledgerError(
            f"{path}, line {line}, {name}: {text!r} is not {error}. Correct it."
        ) from None


def _check_row(path: Path, line: int, row: Mapping[str, Any]) -> None:
    start, end = row.get("starts_at"), row.get("ends_at")
    if start is not None and end is not None and end <= start:
        raise PodledgerError(
            f"{path}, line {line}, ends_at: it ends at {end}, and starts at {start}. An end"
            " is after its start."
        )


def _like(pattern: re.Pattern[str], words: str) -> Callable[[str], str]:
    def cast(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(words)
        return text

    return cast


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time like 2026-10-05T11:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time with its zone, like 2026-10-05T11:30:00Z")
    return moment.astimezone(dt.UTC).replace(tzinfo=None)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("a whole number of 1 or more")
    return int(text)


def _tags(text: str) -> str:
    try:
        tags = json.loads(text)
    except ValueError:
        tags = None
    if not isinstance(tags, dict):
        raise ValueError("a JSON object")
    return json.dumps(tags, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_CASTS: dict[str, Callable[[str], Any]] = {
    "capacity_reservation_id": _like(_RESERVATION, "an id like cr-0123456789abcdef0"),
    "host_id": _like(_HOST, "an id like h-0123456789abcdef0"),
    "instance_id": _like(_INSTANCE, "an id like i-0123456789abcdef0"),
    "account_id": _like(_ACCOUNT, "an account of 12 digits"),
    "instance_type": _like(_TYPE, "an instance type like p5.48xlarge"),
    "reservation_type": _like(
        re.compile(f"{CAPACITY_BLOCK}|{ON_DEMAND}"), f"{CAPACITY_BLOCK} or {ON_DEMAND}"
    ),
    "instance_count": _count,
    "total_vcpus": _count,
    "starts_at": _moment,
    "ends_at": _moment,
    "tags": _tags,
}
