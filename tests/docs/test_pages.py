"""The pages for people: links lead somewhere, commands and settings exist."""

import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from typer.main import get_command

from orchestration.cli.app import app
from orchestration.close.publish import Publication
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.purchases import RESERVED, SIZED, Closed
from tests.worlds import PAYERS

PAGES = sorted(
    page
    for folder in (".", "docs", "docs/decisions", "data", "deploy")
    for page in (PROJECT_DIR / folder).glob("*.md")
)
VARIABLES = {f"PODLEDGER_{name.upper()}" for name in Settings.model_fields}


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda one: str(one.relative_to(PROJECT_DIR)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda one: str(one.relative_to(PROJECT_DIR)))
def test_every_setting_and_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"PODLEDGER_[A-Z_]+", text)) <= VARIABLES
    commands = set(get_command(app).commands)
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S))
    shown = re.findall(r"^(?:\S+=\S+ )*(?:\S*/)?podledger ([a-z]+)", blocks, flags=re.M)
    assert set(shown) <= commands
    makefile = (PROJECT_DIR / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.M)) <= targets


QUERIES = re.findall(
    r"^```sql\n(.*?)^```",
    (PROJECT_DIR / "docs" / "close.md").read_text(),
    flags=re.M | re.S,
)
"""Of the page on the close: two for auditors, and one on idle reservations."""


def test_the_query_for_auditors_adds_the_published_files_up_to_aws_own_export(
    closed_world: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = closed_world.path.parents[2]
    monkeypatch.chdir(home)
    audited = duckdb.sql(QUERIES[0]).fetchall()
    assert [payer for payer, *_ in audited] == sorted(PAYERS)
    for payer, published, charged, billed, difference in audited:
        assert isinstance(difference, Decimal)
        assert (published, charged, difference) == (billed, billed, 0)
        exported = duckdb.sql(
            "select sum(line_item_unblended_cost) from"
            f" '{home.parent}/{payer}/**/*.parquet'"
        ).fetchall()[0][0]
        assert float(billed) == pytest.approx(float(exported), abs=1e-9)


def test_the_query_by_basis_adds_the_charges_up_to_the_other_files(
    closed_world: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(closed_world.path.parents[2])
    audited = duckdb.sql(QUERIES[1]).fetchall()
    totals = closed_world.manifest.totals
    assert {(payer, basis) for payer, basis, *_ in audited} == {
        (payer, basis) for payer in PAYERS for basis in totals
    }
    for basis, total in totals.items():
        charged = sum(usd for _, of, usd, *_ in audited if of == basis)
        assert total is not None
        assert charged == total.bill
    for _, _, charged, published, difference in audited:
        assert isinstance(difference, Decimal)
        assert (charged, difference) == (published, 0)


def test_the_query_of_idle_reservations_finds_those_that_the_remainder_has(
    closed_purchases: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = closed_purchases.path
    query = QUERIES[2].replace("published/billing_month=2026-10/revision=001", str(folder))
    found = {(hint, id_): usd for hint, _, id_, _, usd in duckdb.sql(query).fetchall()}
    assert found["team/vision", RESERVED] == Decimal("98.32")
    assert found["team/llm", SIZED] > 0
    (idle,) = duckdb.sql(
        f"select sum(amortized_usd) from '{folder}/remainder.parquet'"
        " where category = 'unused_capacity_reservations'"
    ).fetchall()[0]
    assert sum(found.values()) == idle


def test_decisions_are_numbered_in_a_row() -> None:
    folder = PROJECT_DIR / "docs" / "decisions"
    numbers = [int(page.name[:4]) for page in sorted(folder.glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    for page in folder.glob("*.md"):
        assert page.read_text().startswith(f"# {int(page.name[:4])}. ")
