"""Following an explanation to its end, and reading there what the bill's file says.

Nothing here is shared with the code under test but the shape of a figure: a row of a file
is read with ``csv`` or ``pyarrow`` alone, and what it costs is worked out from
``docs/method.md``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import random
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.explain.detail import Detail, open_detail
from orchestration.explain.explain import Explanation, Question, explain
from orchestration.explain.figure import Figure, Reach
from orchestration.explain.node_hours import account, read_node_hour
from orchestration.lake.inputs import name_of_root
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES, SHOWN_BASIS
from orchestration.lake.settings import Settings
from orchestration.ledger.book import Revision, find_revision
from orchestration.ledger.manifest import Manifest

UNIT = Decimal("0.0000000001")
WHOLE = Reach()
SPREAD = {"capacity_blocks", "unused_capacity_reservations", "other_services"}
"""Categories that may have, or lack, parts of fees beside their lines."""


def ask(
    settings: Settings,
    month: Month,
    question: Question,
    reach: Reach = WHOLE,
    number: int | None = None,
) -> Explanation:
    """Ask as the command line does."""
    return explain(
        find_revision(settings.published, month, number, settings.remote),
        Lake(settings.home, settings.remote),
        month,
        question,
        reach,
        partial(name_of_root, settings),
    )


def figures(figure: Figure) -> Iterator[Figure]:
    """A figure, all that it is made of, and the wholes that it is part of."""
    yield figure
    if figure.part_of:
        yield from figures(figure.part_of)
    for parts in figure.breakdowns.values():
        for part in parts:
            yield from figures(part)


def lines_of(figure: Figure) -> list[Figure]:
    """Bill lines that a figure leads to."""
    return [one for one in figures(figure) if one.kind == "bill_line"]


def require_sums(told: dict[str, Any]) -> None:
    """Hold every level of an explanation's JSON against the level above it."""
    for parts in told.get("breakdowns", {}).values():
        assert sum(Decimal(part["usd"]) for part in parts) == Decimal(told["usd"]), told
        for part in parts:
            require_sums(part)
    if "part_of" in told:
        require_sums(told["part_of"])


def require_on_bill(
    line: Figure, settings: Settings, manifest: Manifest, basis: str
) -> None:
    """Open the file that a line names, read its row, and compare what stands there."""
    path = _file(line, settings, manifest)
    raw = _row(path, int(str(line.facts["row"])))
    assert (raw.get("identity_line_item_id") or None) == line.facts["line_item_id"]
    assert raw["line_item_line_item_type"] == line.facts["line_type"]
    assert (raw.get("line_item_resource_id") or None) == line.facts["resource_id"]
    unblended = Decimal(raw["line_item_unblended_cost"]).quantize(UNIT)
    assert unblended == line.facts["unblended_usd"]
    assert _cost(raw, basis) == line.usd, (raw, line)


def _cost(raw: dict[str, str], basis: str) -> Decimal:
    """docs/method.md, "Cost bases", of a row as text."""

    def money(name: str) -> Decimal | None:
        text = raw.get(name)
        return Decimal(text).quantize(UNIT) if text else None

    unblended = money("line_item_unblended_cost") or Decimal(0)
    if basis == "unblended":
        return unblended
    if basis == "public_on_demand":
        return money("pricing_public_on_demand_cost") or Decimal(0)
    assert basis == "amortized"
    kind = raw["line_item_line_item_type"]
    if kind == "DiscountedUsage":
        return money("reservation_effective_cost") or Decimal(0)
    if kind == "SavingsPlanCoveredUsage":
        return money("savings_plan_savings_plan_effective_cost") or Decimal(0)
    if kind in ("SavingsPlanNegation", "SavingsPlanUpfrontFee"):
        return Decimal(0)
    if kind == "SavingsPlanRecurringFee":
        commitment = money("savings_plan_total_commitment_to_date") or Decimal(0)
        return commitment - (money("savings_plan_used_commitment") or Decimal(0))
    if kind == "RIFee":
        names = (
            "reservation_unused_amortized_upfront_fee_for_billing_period",
            "reservation_unused_recurring_fee",
        )
        return sum((money(name) or Decimal(0) for name in names), Decimal(0))
    is_of_reservation = bool(raw.get("reservation_reservation_a_r_n"))
    return Decimal(0) if kind == "Fee" and is_of_reservation else unblended


def _file(line: Figure, settings: Settings, manifest: Manifest) -> Path:
    """The file on disk, known by the digest that the revision names."""
    (sha256,) = {
        file.sha256
        for delivery in manifest.deliveries
        for file in delivery.files
        if file.source_file == line.facts["file"]
        and (settings.home / delivery.root) == Path(str(line.facts["root"]))
    }
    name = Path(str(line.facts["file"])).name
    (path,) = [
        path
        for path in Path(str(line.facts["root"])).rglob(name)
        if _sha256(path) == sha256
    ]
    return path


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _row(path: Path, number: int) -> dict[str, str]:
    """A row of a file of the bill as text, counted from 1, by the names of CUR 2.0."""
    if path.suffix == ".parquet":
        (row,) = _table(path).slice(number - 1, 1).to_pylist()
        return {name: "" if value is None else _text(value) for name, value in row.items()}
    return _csv(path)[number - 1]


@cache
def _table(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


@cache
def _csv(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            data = archive.read(archive.namelist()[0])
    rows = csv.DictReader(io.StringIO(data.decode()))
    return [{_normal(name): value for name, value in row.items()} for row in rows]


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _normal(name: str) -> str:
    parted = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)
    return parted.replace("/", "_").replace("__", "_")


def require_all_accounts(settings: Settings, month: Month) -> int:
    """Hold the lines of each node-hour and category against the figures, in each basis.

    Returns:
        How many accounts of node-hours were held.
    """
    revision = find_revision(settings.published, month)
    lake = Lake(settings.home)
    count = 0
    for basis in BASES:
        if revision.manifest.totals[basis] is None:
            continue
        root_name = partial(name_of_root, settings)
        with open_detail(revision, lake, month, basis, root_name) as detail:
            assert detail.missing is None
            count += _require_node_hours(detail, is_whole=basis == SHOWN_BASIS)
            _require_categories(detail, revision, basis)
    return count


def _require_node_hours(detail: Detail, *, is_whole: bool) -> int:
    """Every node-hour, or some by chance."""
    keys = detail.connection.execute(
        "select instance_id, usage_hour from pod_hours where instance_id is not null"
        " union select instance_id, usage_hour from unallocated order by all"
    ).fetchall()
    if not is_whole:
        keys = random.Random(len(keys)).sample(keys, min(len(keys), 12))
    for instance, hour in keys:
        node_hour = read_node_hour(detail, instance, hour)
        whole = account(detail, node_hour, WHOLE)
        assert set(whole.breakdowns) == {"components", "bill_lines", "resources"}
        for resource in whole.breakdowns["resources"]:
            for claim in resource.breakdowns.get("claims", ()):
                rounding = claim.facts.get("rounding_usd", Decimal(0))
                assert isinstance(rounding, Decimal)
                # The split and the unused part each end at two rounded points.
                assert abs(rounding) <= 2 * UNIT
    return len(keys)


def _require_categories(detail: Detail, revision: Revision, basis: str) -> None:
    query = "select category, sum(usd)::decimal(38, 10) from {} group by 1"
    published = dict(detail.connection.execute(query.format("remainder")).fetchall())
    lines = dict(
        detail.connection.execute(
            query.format("(select * from lines where role = 'remainder')")
        ).fetchall()
    )
    for category in published.keys() | lines.keys():
        if category not in SPREAD:
            assert published.get(category, 0) == lines.get(category, 0), category
    ((bill,),) = detail.connection.execute("select sum(usd) from lines").fetchall()
    totals = revision.manifest.totals[basis]
    assert totals is not None
    if not detail.has_earlier_fees:
        assert bill == totals.bill
