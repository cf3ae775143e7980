"""Months whose exports lack the columns of a cost basis: it is null, named, and never 0."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from orchestration.cli.runner import close_month
from orchestration.close.publish import Publication
from orchestration.close.summary import Summary, summarize
from orchestration.close.terminal import print_summary
from orchestration.lake.months import Month
from orchestration.lake.schemas import BASES
from orchestration.lake.settings import Settings
from orchestration.ledger.book import Revision
from orchestration.ledger.diff import compare
from orchestration.ledger.manifest import MissingBasis
from tests.worlds import PAYERS, WORLD, World, write_cur2, write_legacy, write_pods

OCTOBER = Month(2026, 10)
ONE, OTHER = PAYERS

NET = (
    "line_item_net_unblended_cost",
    "reservation_net_effective_cost",
    "reservation_net_unused_amortized_upfront_fee_for_billing_period",
    "reservation_net_unused_recurring_fee",
    "savings_plan_net_savings_plan_effective_cost",
)
PUBLIC = ("pricing_public_on_demand_cost",)
COMMITMENTS = (
    "reservation_effective_cost",
    "reservation_unused_amortized_upfront_fee_for_billing_period",
    "reservation_unused_recurring_fee",
    "savings_plan_savings_plan_effective_cost",
    "savings_plan_total_commitment_to_date",
    "savings_plan_used_commitment",
)
Close = Callable[..., Publication]


def _write(folder: Path, without: dict[str, tuple[str, ...]], world: World) -> list[Path]:
    """Each payer's export without the columns that are given for it."""
    for payer in PAYERS:
        write_cur2(world, folder / payer, [payer], without.get(payer, ()))
    return [folder / payer for payer in PAYERS]


def _close(folder: Path, bill: list[Path], world: World, **more: Any) -> Publication:
    write_pods(world, folder / "pods")
    settings = Settings(
        bill=tuple(map(str, bill)),
        pods=(str(folder / "pods"),),
        home=folder / "home",
        **more,
    )
    return close_month(OCTOBER, settings, lambda _: None)


@pytest.fixture
def close(tmp_path: Path) -> Close:
    """Close a world, each payer's export without the columns that are given for it."""

    def close(
        without: dict[str, tuple[str, ...]], world: World = WORLD, **more: Any
    ) -> Publication:
        return _close(tmp_path, _write(tmp_path, without, world), world, **more)

    return close


@pytest.fixture(scope="module")
def without_public(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """The world, of which one payer's export has no On-Demand prices."""
    folder = tmp_path_factory.mktemp("without_public")
    return _close(folder, _write(folder, {ONE: PUBLIC}, WORLD), WORLD)


@pytest.fixture(scope="module")
def without_discounts(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    """The world, of which one export has no net columns and one none of commitments."""
    folder = tmp_path_factory.mktemp("without_discounts")
    missing = {ONE: NET, OTHER: COMMITMENTS}
    return _close(folder, _write(folder, missing, WORLD), WORLD)


@pytest.mark.parametrize(
    ("made", "payer", "unknown"),
    [
        ("without_public", ONE, {"public_on_demand"}),
        ("without_discounts", ONE, {"net_amortized"}),
        ("without_discounts", OTHER, {"amortized", "net_amortized"}),
    ],
    ids=["public", "net", "commitments"],
)
def test_a_basis_without_its_columns_is_null_and_the_others_are_as_they_were(
    closed_world: Publication,
    request: pytest.FixtureRequest,
    made: str,
    payer: str,
    unknown: set[str],
) -> None:
    publication: Publication = request.getfixturevalue(made)
    for name, of_basis in _money_columns(publication).items():
        table, full = (
            _of_payer(_table(closed, name), payer) for closed in (publication, closed_world)
        )
        assert len(table) > 0
        for column, basis in of_basis.items():
            if basis in unknown:
                assert table[column].null_count == len(table), f"{name}.{column}"
            else:
                assert table[column].equals(full[column]), f"{name}.{column}"
        others = [column for column in full.column_names if column not in of_basis]
        assert table.select(others).equals(full.select(others)), name
    totals = publication.manifest.totals
    told = {
        one.cost_basis
        for one in publication.manifest.missing_bases
        if one.payer_account_id == payer
    }
    assert told == unknown
    assert all(totals[basis] is None for basis in unknown)
    known = {basis for basis, one in totals.items() if one is not None}
    assert known == set(BASES) - {
        one.cost_basis for one in publication.manifest.missing_bases
    }
    for basis in known:
        assert totals[basis] == closed_world.manifest.totals[basis]


def test_the_payer_whose_export_lacks_the_column_is_named_and_only_that_one(
    closed_world: Publication, without_public: Publication
) -> None:
    made = without_public
    written = json.loads((made.path / "manifest.json").read_text())
    assert written["missing_bases"] == [
        {
            "payer_account_id": ONE,
            "cost_basis": "public_on_demand",
            "exports": ["export"],
            "columns": list(PUBLIC),
        }
    ]
    assert written["totals"]["public_on_demand"] is None, "a part of a total is none"
    for basis in set(BASES) - {"public_on_demand"}:
        assert made.manifest.totals[basis] == closed_world.manifest.totals[basis]
    table, full = _table(made, "chargeback"), _table(closed_world, "chargeback")
    assert _of_payer(table, OTHER).equals(_of_payer(full, OTHER))
    of_one = _of_payer(table, ONE)
    assert of_one["public_on_demand_total_usd"].null_count == len(of_one) > 0


def test_a_control_says_what_is_missing_where_and_no_law_is_held_without_amounts(
    without_public: Publication,
) -> None:
    rows = _table(without_public, "controls").to_pylist()
    of_basis = [row for row in rows if row["control"] == "every_basis_is_in_the_export"]
    assert len(of_basis) == len(PAYERS) * len(BASES)
    (failed,) = (row for row in of_basis if not row["is_passed"])
    assert (failed["payer_account_id"], failed["cost_basis"]) == (ONE, "public_on_demand")
    assert failed["severity"] == "warning"
    assert failed["actual_usd"] is None
    assert "export has no column pricing_public_on_demand_cost" in failed["evidence"]
    held = {
        (row["payer_account_id"], row["cost_basis"])
        for row in rows
        if row["control"] == "every_billed_dollar_lands_once"
    }
    assert held == {(payer, basis) for payer in PAYERS for basis in BASES} - {
        (ONE, "public_on_demand")
    }
    assert all(row["is_passed"] for row in rows if row["severity"] == "blocking")


def test_the_summary_says_what_is_not_in_the_export(close: Close) -> None:
    columns = ("reservation_effective_cost", *PUBLIC)
    summary = _summary(close({ONE: columns}))
    told = _told(summary)
    assert "unknown" in told
    assert (
        f"on-demand of payer {ONE} is not in this export: export has no"
        " pricing_public_on_demand_cost" in told
    )
    assert f"amortized of payer {ONE} is not in this export" in told
    # Above it stands what the month waits for, of each payer.
    assert OTHER not in told.partition("Reconciliation")[2].partition(" by cost")[0]
    assert summary.basis == "unblended", "what is broken down is known of all payers"
    as_json = summary.as_json()
    assert as_json["totals"]["amortized"] is None
    assert as_json["totals"]["unblended"] is not None
    assert [one["cost_basis"] for one in as_json["missing_bases"]] == [
        "amortized",
        "net_amortized",
        "public_on_demand",
    ]
    shares = sum(row.cost_usd for row in summary.remainder)
    assert shares == summary.totals.remainder


@pytest.mark.slow
@pytest.mark.parametrize("method", [1, 3])
def test_every_version_of_the_method_leaves_null_what_no_export_tells(
    close: Close, method: int
) -> None:
    made = close({ONE: NET, OTHER: NET}, method=method)
    assert made.manifest.totals["net_amortized"] is None
    assert made.manifest.totals["amortized"] is not None
    assert made.manifest.totals["amortized"].difference == 0


@pytest.mark.slow
def test_a_payer_without_commitments_needs_none_of_their_columns(close: Close) -> None:
    lines = [line for line in WORLD.lines if line["type"] in ("Usage", "Tax", "Credit")]
    made = close(
        dict.fromkeys(PAYERS, COMMITMENTS),
        world=replace(WORLD, lines=lines),
    )
    assert made.manifest.missing_bases == ()
    totals = made.manifest.totals
    assert totals["amortized"] == totals["unblended"] == totals["net_amortized"]


def test_a_legacy_report_without_net_columns_has_no_discounts(
    closed_legacy_world: Publication,
) -> None:
    """AWS leaves them out of a report whose account has none; net is then amortized."""
    made = closed_legacy_world
    assert made.manifest.missing_bases == ()
    assert made.manifest.totals["net_amortized"] == made.manifest.totals["amortized"]


@pytest.mark.slow
def test_a_legacy_report_with_some_net_columns_needs_all_that_its_lines_need(
    tmp_path: Path,
) -> None:
    net = {"lineItem/NetUnblendedCost": "unblended"}
    write_legacy(WORLD, tmp_path / "bill", more=net)
    made = _close(tmp_path, [tmp_path / "bill"], WORLD)
    assert made.manifest.missing_bases == tuple(
        MissingBasis(
            payer_account_id=payer,
            cost_basis="net_amortized",
            exports=("report",),
            columns=tuple(sorted(NET[1:])),
        )
        for payer in PAYERS
    )
    assert made.manifest.totals["amortized"] is not None


@pytest.mark.slow
def test_an_export_that_gains_the_column_makes_a_revision_that_says_what_changed(
    without_public: Publication, tmp_path: Path
) -> None:
    original = without_public.path.parents[3]
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    first = tmp_path / without_public.path.relative_to(original)
    data = next((tmp_path / ONE).rglob("data"))
    for folder in (data, data.parent / "metadata"):
        for file in [path for path in folder.rglob("*") if path.is_file()]:
            file.unlink()
        for below in sorted(folder.rglob("*"), reverse=True):
            below.rmdir()
        folder.rmdir()
    write_cur2(WORLD, tmp_path / ONE, [ONE])
    second = close_month(
        OCTOBER,
        Settings(
            bill=tuple(str(tmp_path / payer) for payer in PAYERS),
            pods=(str(tmp_path / "pods"),),
            home=tmp_path / "home",
        ),
        lambda _: None,
    )
    assert (second.revision, second.replaces) == (2, 1)
    told = "\n".join(compare(first, second.path, lambda _: None))
    assert "totals.public_on_demand is not in this export in A" in told
    assert "rows not in this export) in A" in told


def _summary(publication: Publication) -> Summary:
    return summarize(Revision(publication.revision, publication.path, publication.manifest))


def _told(summary: Summary) -> str:
    out = io.StringIO()
    print_summary(Console(file=out, width=80), summary, "Published")
    return " ".join(out.getvalue().split())


def _of_payer(table: pa.Table, payer: str) -> pa.Table:
    names = {"bill_payer_account_id", "payer_account_id"} & set(table.column_names)
    return table.filter(pc.equal(table[names.pop()], payer))


def _table(publication: Publication, name: str) -> pa.Table:
    folder = publication.path / name
    files = (
        sorted(folder.glob("*.parquet"))
        if folder.is_dir()
        else [publication.path / f"{name}.parquet"]
    )
    return pa.concat_tables(pq.ParquetFile(file).read() for file in files)


def _money_columns(publication: Publication) -> dict[str, dict[str, str]]:
    """Columns of amounts by published table, and the basis of each."""
    prefixes = {"public_on_demand_": "public_on_demand", "net_": "net_amortized"}
    scad = {
        name: next(
            (
                basis
                for prefix, basis in prefixes.items()
                if name.startswith(f"split_line_item_{prefix}")
            ),
            "amortized",
        )
        for name in _table(publication, "scad").column_names
        if name.endswith("_cost")
    }
    found = {"scad": scad}
    for table in ("unallocated", "remainder", "chargeback"):
        found[table] = {
            name: max((b for b in BASES if name.startswith(b)), key=len)
            for name in _table(publication, table).column_names
            if name.endswith("_usd")
        }
    return found


def test_amounts_of_this_world_are_not_zero_where_they_are_known(
    closed_world: Publication,
) -> None:
    """Or the tests above would prove little."""
    for totals in closed_world.manifest.totals.values():
        assert totals is not None
        assert totals.bill > Decimal(0)
