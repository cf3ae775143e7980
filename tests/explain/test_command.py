"""``podledger explain`` as an analyst meets it: text that adds up, and exact JSON."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest
from typer.testing import CliRunner

from orchestration.cli.app import app
from orchestration.close.publish import Publication
from orchestration.lake.errors import PodledgerError
from orchestration.ledger.status import status_of
from tests.explain.following import require_sums

AMOUNT = re.compile(r"(-?[\d,]+\.\d{10})(?: +-?\d+\.\d)?$")


@pytest.fixture
def home(closed_world: Publication, monkeypatch: pytest.MonkeyPatch) -> Publication:
    """The closed world as the home of the command line."""
    monkeypatch.setenv("PODLEDGER_HOME", str(closed_world.path.parents[2]))
    monkeypatch.setenv("COLUMNS", "100")
    return closed_world


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["explain", "2026-10", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def a_pod(closed: Publication) -> tuple[str, str, Decimal]:
    """The pod and day that cost most."""
    with duckdb.connect() as connection:
        ((uid, day, usd),) = connection.execute(
            "select split_part(line_item_resource_id, '/', -1),"
            " line_item_usage_start_date::date::varchar,"
            " sum(split_line_item_split_cost + split_line_item_unused_cost) as usd"
            f" from '{closed.path}/scad/*.parquet' group by 1, 2 order by usd desc limit 1"
        ).fetchall()
    return uid, day, usd


def sections(text: str) -> Iterator[tuple[str, list[Decimal]]]:
    """Titles of the printed tables, and the amounts at the end of their rows."""
    for block in re.split(r"\n\s*\n", text.strip()):
        title, *rows = block.strip("\n").splitlines()
        if title.startswith(" ") or not rows or "USD" not in block:
            continue
        found = [AMOUNT.search(row.rstrip()) for row in rows]
        amounts = [Decimal(one[1].replace(",", "")) for one in found if one]
        yield title, amounts


def test_a_pods_day_prints_tables_that_add_up_to_the_headline(home):
    uid, day, usd = a_pod(home)
    text = run("--pod", uid, "--day", day)
    assert f"Pod {uid} on {day}: {usd:,.10f} USD" in text
    status = status_of(home.manifest, dt.datetime.now(dt.UTC))
    reasons = "; ".join(status.reasons)
    assert f"{status.name.capitalize()}: {reasons}." in " ".join(text.split())
    tables = dict(sections(text))
    hours = next(rows for title, rows in tables.items() if title.endswith("by hour"))
    assert sum(hours) == usd
    lines = [rows for title, rows in tables.items() if title.endswith("lines of the bill")]
    resources = [
        rows
        for title, rows in tables.items()
        if title.endswith("by resource") and " at " in title
    ]
    assert len(lines) == len(resources) == len(hours)
    assert [sum(rows) for rows in lines] == [sum(rows) for rows in resources]
    assert re.search(r"\.parquet, row [\d,]+", text)
    assert "Note: Charges go to workloads, not to pods" in text


def test_json_is_one_object_whose_levels_add_up(home):
    uid, day, usd = a_pod(home)
    told = json.loads(run("--pod", uid, "--day", day, "--json"))
    assert (told["month"], told["revision"], told["day"]) == ("2026-10", 1, day)
    assert Decimal(told["figure"]["usd"]) == usd
    status = status_of(home.manifest, dt.datetime.now(dt.UTC))
    assert (told["status"], told["status_reasons"]) == (status.name, list(status.reasons))
    require_sums(told["figure"])


def test_fewer_rows_still_add_up(home):
    with duckdb.connect() as connection:
        ((name, usd),) = connection.execute(
            "select cluster_name || '/' || namespace, sum(amortized_usd)::decimal(38, 10)"
            f" from '{home.path}/charges.parquet' where charge_type = 'direct'"
            " group by 1 order by 2 desc limit 1"
        ).fetchall()
    words = ("--namespace", name, "--limit", "2", "--follow", "1")
    told = json.loads(run(*words, "--json"))["figure"]
    require_sums(told)
    (direct,) = [
        one for one in told["breakdowns"]["charges"] if one["charge_type"] == "direct"
    ]
    assert Decimal(direct["usd"]) == usd
    *shown, rest = direct["breakdowns"]["workloads"]
    assert (len(shown), rest["kind"]) == (2, "rest")
    text = run(*words)
    rows = next(rows for title, rows in sections(text) if title.endswith("by workload"))
    assert rows == [Decimal(one["usd"]) for one in (*shown, rest)]
    assert rest["name"] in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Name one of --team, --namespace, --workload and --pod"),
        (("--team", "a", "--pod", "b"), "Name one of"),
        (("--namespace", "atlas"), "'atlas' is not CLUSTER/NAMESPACE"),
        (("--workload", "atlas/x"), "'atlas/x' is not CLUSTER/NAMESPACE/NAME"),
        (("--team", "a", "--day", "yesterday"), "'yesterday' is not a day"),
        (("--team", "a", "--revision", "9"), "has no revision 9"),
    ],
)
def test_a_question_that_is_none_is_refused_with_how_to_ask(home, words, message):
    with pytest.raises(PodledgerError, match=re.escape(message)):
        run(*words)
