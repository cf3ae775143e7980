"""The catalogue of EC2 instance types: what each has, and what it costs on demand.

Holds the reading of the dbt seed ``ec2_instance_types.csv`` and its renewal from EC2's
own ``DescribeInstanceTypes``. It makes no decision about a month: which type falls back to
what is the split's business, and prices are a fallback figure, never the bill.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from orchestration.lake.errors import PodledgerError
from orchestration.lake.settings import DBT_PROJECT_DIR

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SEED = DBT_PROJECT_DIR / "seeds" / "ec2_instance_types.csv"
"""The catalogue, under version control, as dbt reads it."""

_MIB_A_GIB = 1024


@dataclass(frozen=True)
class InstanceType:
    """One EC2 instance type.

    Attributes:
        instance_type: Its name, like ``g6f.large``.
        vcpu: vCPUs.
        memory_gib: Memory in GiB.
        accelerator_manufacturer: ``NVIDIA``, ``AMD``, ``AWS``, ``Habana``, ``Qualcomm``;
            empty without accelerators.
        accelerator_name: Model, lower case; empty without accelerators.
        accelerators: Physical devices; a fraction where the instance holds a part of one.
        accelerator_memory_gib: GiB of one device as the instance sees it; None without.
        on_demand_usd_per_hour: Linux, shared tenancy, us-east-1; None if unpriced.
        source: Where the facts come from.
    """

    instance_type: str
    vcpu: Decimal
    memory_gib: Decimal
    accelerator_manufacturer: str
    accelerator_name: str
    accelerators: Decimal
    accelerator_memory_gib: Decimal | None
    on_demand_usd_per_hour: Decimal | None
    source: str


COLUMNS = tuple(field.name for field in fields(InstanceType))
"""Columns of the seed, in order."""

_NUMBERS = ("vcpu", "memory_gib", "accelerators")
_NUMBERS_OR_EMPTY = ("accelerator_memory_gib", "on_demand_usd_per_hour")


@dataclass(frozen=True)
class CatalogueRefresh:
    """What a refresh did to the catalogue; instance types by name, sorted.

    Attributes:
        added: Types that the catalogue did not have. They have no price.
        changed: Types whose facts differ from what the catalogue had.
        not_listed: Types that this Region's API does not list; kept as they were.
        total: Types in the catalogue now.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    not_listed: tuple[str, ...]
    total: int


def load_catalogue(path: Path = SEED) -> dict[str, InstanceType]:
    """Read the catalogue, by instance type.

    Raises:
        PodledgerError: The file is missing, lacks a column, repeats a type, or holds a
            number that is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise PodledgerError(
                    f"The catalogue {path} lacks the column {missing[0]}. Restore the file"
                    " from version control."
                )
            catalogue: dict[str, InstanceType] = {}
            for row in rows:
                entry = _parsed(row, f"{path}, line {rows.line_num}")
                if entry.instance_type in catalogue:
                    raise PodledgerError(
                        f"The catalogue {path} has {entry.instance_type} twice, again on"
                        f" line {rows.line_num}. Remove one of the two."
                    )
                catalogue[entry.instance_type] = entry
    except (OSError, UnicodeDecodeError) as error:
        raise PodledgerError(
            f"The catalogue {path} cannot be read ({error}). Restore the file from version"
            " control."
        ) from error
    return catalogue


def refresh(client: EC2Client, path: Path = SEED) -> CatalogueRefresh:
    """Rewrite the catalogue from EC2's ``DescribeInstanceTypes``, page by page.

    Capacities become what the API says. Prices stay, for the API has none; so do the
    types that the client's Region does not offer, and the accelerators of a type whose
    devices the API counts as 0 without a partition size. The file is replaced at once,
    sorted by type, and only when every page was read.

    Args:
        client: A boto3 EC2 client; its Region decides which types are listed.
        path: The catalogue to rewrite; it must exist.

    Raises:
        PodledgerError: The catalogue or the API cannot be read, or the API listed no type.
    """
    before = load_catalogue(path)
    source = f"ec2:DescribeInstanceTypes {client.meta.region_name}"
    listed: dict[str, InstanceType] = {}
    try:
        for page in client.get_paginator("describe_instance_types").paginate():
            for described in page["InstanceTypes"]:
                name = described["InstanceType"]
                listed[name] = _described(described, before.get(name), source)
    except (BotoCoreError, ClientError) as error:
        raise PodledgerError(
            f"The instance types of EC2 in {client.meta.region_name} cannot be read"
            f" ({error}), so the catalogue {path} was left as it is. Check the AWS"
            " credentials, and that they allow ec2:DescribeInstanceTypes."
        ) from error
    if not listed:
        raise PodledgerError(
            f"EC2 in {client.meta.region_name} lists no instance types, so the catalogue"
            f" {path} was left as it is. Check the Region and the role's permission"
            " ec2:DescribeInstanceTypes."
        )
    after = {**before, **listed}
    _write(path, after)
    return CatalogueRefresh(
        added=tuple(sorted(listed.keys() - before.keys())),
        changed=tuple(
            name
            for name in sorted(listed.keys() & before.keys())
            if listed[name] != before[name]
        ),
        not_listed=tuple(sorted(before.keys() - listed.keys())),
        total=len(after),
    )


def _parsed(row: Mapping[str, str], place: str) -> InstanceType:
    values: dict[str, Any] = {name: row[name] or "" for name in COLUMNS}
    for name in (*_NUMBERS, *_NUMBERS_OR_EMPTY):
        if not values[name] and name in _NUMBERS_OR_EMPTY:
            values[name] = None
            continue
        try:
            number = Decimal(values[name])
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0:
            raise PodledgerError(
                f"The catalogue has {values[name]!r} as {name} ({place}), which is no"
                " quantity. Restore the file from version control."
            )
        values[name] = number
    return InstanceType(**values)


def _described(
    described: Mapping[str, Any], known: InstanceType | None, source: str
) -> InstanceType:
    """One type as the API describes it, with what only the catalogue knows of it."""
    entry = replace(
        _accelerators(described, known),
        vcpu=Decimal(described["VCpuInfo"]["DefaultVCpus"]),
        memory_gib=_gib(described["MemoryInfo"]["SizeInMiB"]),
    )
    if known is None:
        return replace(entry, source=source)
    same = replace(
        entry, on_demand_usd_per_hour=known.on_demand_usd_per_hour, source=known.source
    )
    return same if same == known else replace(same, source=source)


def _accelerators(described: Mapping[str, Any], known: InstanceType | None) -> InstanceType:
    """The type's devices; vCPUs and memory are still to be filled in.

    Inferentia is described twice, as Neuron and as inference devices: the first list that
    is there counts. Media accelerators and FPGAs run no models and are not counted.
    """
    bare = InstanceType(
        instance_type=described["InstanceType"],
        vcpu=Decimal(0),
        memory_gib=Decimal(0),
        accelerator_manufacturer="",
        accelerator_name="",
        accelerators=Decimal(0),
        accelerator_memory_gib=None,
        on_demand_usd_per_hour=None,
        source="",
    )
    found = (
        described.get("NeuronInfo", {}).get("NeuronDevices")
        or described.get("GpuInfo", {}).get("Gpus")
        or described.get("InferenceAcceleratorInfo", {}).get("Accelerators")
    )
    if not found:
        return bare
    count = sum((_device_count(device) for device in found), Decimal(0))
    if not count and known is not None:
        count = known.accelerators
    first = found[0]
    memory = first.get("MemoryInfo", {}).get("SizeInMiB")
    return replace(
        bare,
        accelerator_manufacturer=first.get("Manufacturer", "AWS"),
        accelerator_name=first.get("Name", "").lower().replace(" ", "-"),
        accelerators=count,
        accelerator_memory_gib=_gib(memory) if memory else None,
    )


def _device_count(device: Mapping[str, Any]) -> Decimal:
    """Physical devices; partitions of one (g6f) come as a count of 0 and a part's size."""
    if device.get("Count"):
        return Decimal(device["Count"])
    part = Decimal(str(device.get("GpuPartitionSize", 0)))
    return Decimal(device.get("LogicalGpuCount", 0)) * part


def _gib(mib: int) -> Decimal:
    return round(Decimal(mib) / _MIB_A_GIB, 4)


def _write(path: Path, catalogue: Mapping[str, InstanceType]) -> None:
    """Write beside the catalogue and rename, so that it is never half there."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".catalogue-") as folder:
        written = Path(folder) / path.name
        with written.open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            rows.writeheader()
            for name in sorted(catalogue):
                rows.writerow(
                    {
                        column: _printed(value)
                        for column, value in asdict(catalogue[name]).items()
                    }
                )
        written.replace(path)


def _printed(value: str | Decimal | None) -> str:
    """A cell: numbers in plain digits without trailing zeros, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value
