"""The sample month: a bill and inventories to try podledger on without any of one's own.

Holds when the month is made and where it lies. It is written as AWS and Kubernetes would
write it, and read through the doors that a customer's month comes through; no other room
knows that it is a sample. ``docs/sample.md`` tells its story.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from orchestration.lake.errors import PodledgerError
from orchestration.lake.months import Month
from orchestration.lake.settings import DBT_PROJECT_DIR

_MARK = "made-by.sha256"
_BLOCKS = "capacity_blocks.csv"
_POLICY = "sample-policy.yml"
_SOURCES = (
    Path(__file__).parent,
    # Prices and capacities are those of the catalogue.
    DBT_PROJECT_DIR / "seeds" / "ec2_instance_types.csv",
)


@dataclass(frozen=True)
class Sample:
    """Where a sample month lies: what settings would name in a month of one's own.

    Attributes:
        capacity_blocks: What the Capacity Blocks of the month held, as a user writes it.
        policy: How the month is distributed, as a user writes it.
    """

    bill_roots: tuple[Path, ...]
    pod_roots: tuple[Path, ...]
    capacity_blocks: Path
    policy: Path


def ensure_sample(home: Path, month: Month) -> Sample:
    """Make the sample month below ``home/sample/<YYYY-MM>/``, unless it is there.

    It is made again when the code that makes it has changed. It is written beside and
    renamed, so that a run that is killed leaves nothing half.
    """
    folder = home / "sample" / month.label
    mark = folder / _MARK
    digest = _digest()
    if mark.is_file() and mark.read_text() == digest:
        return _sample(folder)
    incoming = home / "sample" / f".{uuid.uuid4().hex}"
    try:
        write_sample(incoming, month)
        (incoming / _MARK).write_text(digest)
        if folder.exists():
            folder.replace(incoming.with_suffix(".old"))
        incoming.replace(folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
        shutil.rmtree(incoming.with_suffix(".old"), ignore_errors=True)
    return _sample(folder)


def find_sample(home: Path, month: Month) -> Sample | None:
    """The sample month below a home, if it was made there; nothing is written."""
    folder = home / "sample" / month.label
    return _sample(folder) if (folder / _MARK).is_file() else None


def write_sample(folder: Path, month: Month) -> Sample:
    """Write the sample month into a folder that is new or empty.

    The same code writes the same bytes for the same month.

    Raises:
        PodledgerError: There is something in the folder, or it cannot be written to.
    """
    import pyarrow.compute as pc

    from orchestration.bill.catalogue import load_catalogue
    from orchestration.sample.bill import make_bills
    from orchestration.sample.commitments import write_capacity_blocks
    from orchestration.sample.exports import write_cur2, write_legacy
    from orchestration.sample.inventories import write_inventories
    from orchestration.sample.placement import place
    from orchestration.sample.story import make_world
    from orchestration.sample.world import MANAGEMENT, RESEARCH

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise PodledgerError(
                f"{folder} is not empty, and the sample month is not written over what is"
                " there. Choose a folder that is new or empty."
            )
        catalogue = load_catalogue()
        world = make_world(month)
        bills = make_bills(world, catalogue)
        company, research = _bill_roots(folder)
        write_cur2(
            company / "exports", bills[MANAGEMENT], export="hourly-cur2", month=month
        )
        # The report was delivered in the middle of the month, too, before there was an
        # invoice; the manifest tells which of the two counts.
        lines = bills[RESEARCH]
        so_far = lines.filter(
            pc.less(lines["line_item_usage_start_date"], f"{month.label}-15")
        ).drop_columns("bill_invoice_id")
        for assembly, delivered in (
            (f"{month.start:%Y%m}15T061500Z", so_far),
            (f"{month.next.start:%Y%m}05T061500Z", lines),
        ):
            write_legacy(
                research / "reports",
                delivered,
                report="research-hourly",
                month=month,
                assembly=assembly,
            )
        write_inventories(folder / "pods", world, place(world, catalogue), catalogue)
        write_capacity_blocks(folder / _BLOCKS, month)
        shutil.copyfile(Path(__file__).parent / _POLICY, folder / _POLICY)
    except OSError as error:
        raise PodledgerError(
            f"The sample month cannot be written to {folder} ({error}). Make room there, or"
            " choose another folder."
        ) from error
    return _sample(folder)


def _bill_roots(folder: Path) -> tuple[Path, Path]:
    return folder / "bill" / "company", folder / "bill" / "research"


def _sample(folder: Path) -> Sample:
    return Sample(
        bill_roots=_bill_roots(folder),
        pod_roots=tuple(folder / "pods" / name for name in ("atlas", "harbor", "lab")),
        capacity_blocks=folder / _BLOCKS,
        policy=folder / _POLICY,
    )


def _digest() -> str:
    """Digest of all that decides the sample's bytes and is in this checkout."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        for path in sorted(source.glob("*.*")) if source.is_dir() else [source]:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
