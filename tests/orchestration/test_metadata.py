"""What a materialization says: exact money, tables that render, and figures that add up."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import resource
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestration.close.charts import daily_costs
from orchestration.close.controls import Control
from orchestration.close.glance import controls
from orchestration.close.overview import OTHERS, DayCost, Overview, read_overview
from orchestration.close.publish import Publication
from orchestration.engines.metadata import money, table
from orchestration.lake.schemas import SHOWN_BASIS
from orchestration.lake.settings import PROJECT_DIR

Metadata = dict[str, Any]


@pytest.fixture(scope="module")
def home(closed_world: Publication) -> Path:
    return closed_world.path.parents[2]


@pytest.fixture(scope="module")
def overview(closed_world: Publication, home: Path) -> Overview:
    return read_overview(home / "warehouse" / "podledger.duckdb", closed_world.month)


@pytest.fixture(scope="module")
def said(home: Path) -> dict[str, Metadata]:
    """Metadata of the last materialization of every asset of the world's close."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        found = {}
        for key in instance.get_asset_keys():
            event = instance.get_latest_materialization_event(key)
            assert event is not None
            assert event.asset_materialization is not None
            metadata = event.asset_materialization.metadata
            found[key.to_user_string()] = {k: v.value for k, v in metadata.items()}
        return found


def test_money_is_exact_in_text_and_a_number_beside_it_can_be_plotted() -> None:
    said = money(billed_usd=Decimal("1234.5000000001"))
    assert said["billed_usd"].value == "1,234.5000000001"
    assert said["billed_usd_rounded"].value == 1234.5


def test_a_table_puts_numbers_at_the_right_and_survives_any_name() -> None:
    found = table(
        ("name", "USD", "n"), [("a|b\nc", Decimal("2.005"), 1000), (None, Decimal(0), 1)]
    )
    assert found.value == (
        "| name | USD | n |\n| :-- | --: | --: |\n"
        "| a\\|b c | 2.00 | 1,000 |\n|  | 0.00 | 1 |"
    )


NASTY = [
    "[x]",
    "[bold]loud[/bold]",
    "[a](https://example.com)",
    "![a](x.png)",
    "a|b",
    "a\\|b",
    "*stars* and __lines__",
    "`code`",
    "<b>bold</b>",
    "<script>alert(1)</script>",
    "&lt;",
    "~~gone~~",
    ":warning:",
    "- [ ] box",
    "# title",
    "größe-模型",
]
"""Names that Kubernetes or a tag of AWS may carry, or a person may give."""


GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_as_it_is_in_a_table_of_markdown(name: str) -> None:
    tokens = GITHUB.parse(str(table(("name", "n"), [(name, 1)]).value))
    cells = [
        cell for opening, cell in itertools.pairwise(tokens) if opening.type == "td_open"
    ]
    assert [shown(cell) for cell in cells] == [name, "1"]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_as_it_is_in_a_finding(name: str) -> None:
    row = Control("control", None, None, None, None, None, False, "warning", name)
    tokens = GITHUB.parse(str(controls([row])["warnings"].value))
    (line,) = [token for token in tokens if token.children]
    assert name in row.finding
    # What is before is our own, and bold.
    assert shown(line).endswith(f": {row.finding}")


def test_a_warning_is_none_of_the_controls_that_failed() -> None:
    rows = [
        Control("a", None, None, None, None, None, True, "blocking", "fine"),
        Control("b", None, None, None, None, None, False, "warning", "look at it"),
    ]
    told = controls(rows)
    assert set(told) == {"controls_passed", "warnings"}
    assert told["controls_passed"].value == "1 of 2, 1 warning"
    broken = Control("c", None, None, None, None, None, False, "blocking", "broken")
    told = controls([*rows, broken])
    assert told["controls_passed"].value == "1 of 3, 1 warning"
    assert "broken" in str(told["controls_failed"].value)
    assert "broken" not in str(told["warnings"].value)


def shown(cell: Token) -> str:
    """What a reader sees of a cell."""
    assert {child.type for child in cell.children} <= {
        *("text", "text_special", "strong_open", "strong_close")
    }
    return "".join(child.content for child in cell.children)


def test_a_chart_that_cannot_be_drawn_says_why_and_stops_nothing() -> None:
    """The engine of the library ends its process where it gets too little memory."""
    script = (
        "import datetime as dt; from decimal import Decimal; from types import *;"
        "from orchestration.close.glance import chart;"
        "from orchestration.close.overview import DayCost;"
        "days = [DayCost(dt.date(2026, 10, 1), 'ml', Decimal(3))];"
        "print(chart(SimpleNamespace(days=days, basis='amortized'))['daily_costs'].value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"The chart is missing: it could not be drawn here \(the chart library was ended by"
        r" SIG\w+, most likely for want of memory\)\. The figures are not touched by that\."
        r"\n",
        done.stdout,
    )


def test_the_overview_has_the_totals_that_were_published(
    overview: Overview, closed_world: Publication
) -> None:
    assert overview.totals == closed_world.manifest.totals


def test_the_days_add_up_to_pods_and_unallocated(overview: Overview) -> None:
    """What is drawn grey is drawn too: nothing is left out of the picture."""
    total = overview.totals[SHOWN_BASIS]
    drawn = sum((one.cost_usd for one in overview.days), Decimal(0))
    assert drawn == total.pods + total.unallocated


def test_the_chart_names_what_it_draws_and_is_the_same_twice() -> None:
    days = [
        DayCost(dt.date(2026, 10, day), name, Decimal(day))
        for name in ("ml / größe <&>", OTHERS)
        for day in (1, 31)
    ]
    svg = daily_costs(days, SHOWN_BASIS)
    assert "ml / größe &lt;&amp;&gt;" in svg
    assert "31" in svg
    assert svg == daily_costs(days, SHOWN_BASIS)


def test_the_published_month_answers_the_analyst_at_a_glance(
    said: dict[str, Metadata], closed_world: Publication
) -> None:
    month = said["published_month"]
    law = closed_world.manifest.totals["unblended"]
    assert Decimal(month["billed_usd"].replace(",", "")) == law.bill
    assert month["billed_usd_rounded"] == pytest.approx(float(law.bill), abs=0.01)
    assert month["residual_usd"] == "0.00"
    assert month["bill_revision"] == 1
    assert month["dagster/row_count"] == closed_world.manifest.row_counts["scad"]
    assert month["dagster/uri"] == str(closed_world.path)
    assert "cluster-0 / ns-0" in month["top_namespaces"]
    assert month["daily_costs"].startswith(
        "![Cost of every day](data:image/svg+xml;base64,"
    )
    assert all(
        one.delivery_id in month["deliveries"] for one in closed_world.manifest.deliveries
    )


@pytest.mark.parametrize(
    ("asset", "key"),
    [
        ("raw/bill_lines", "billed_usd_rounded"),
        ("raw/bill_lines", "deliveries"),
        ("raw/pod_hours", "sources"),
        ("pod_costs", "pods_usd"),
        ("unallocated_costs", "unallocated_usd"),
        ("int_node_hours", "instance_types"),
        ("rpt_month_totals", "law"),
        ("rpt_month_by_namespace", "top_namespaces"),
        ("fct_daily_costs", "daily_costs"),
        ("fct_daily_costs", "dagster/row_count"),
        ("fct_close_controls", "controls_passed"),
        ("fct_unallocated", "by_reason"),
        ("fct_bill_remainder", "by_category"),
        ("fct_split_line_items", "split_usd"),
    ],
)
def test_every_asset_shows_its_own_figure(
    said: dict[str, Metadata], asset: str, key: str
) -> None:
    assert key in said[asset]


def test_what_lies_in_the_lake_says_where_and_how_many_rows(
    said: dict[str, Metadata], home: Path
) -> None:
    tables = [path for path in (home / "lake").rglob("billing_month=*") if path.is_dir()]
    assert tables
    for folder in tables:
        name = folder.parent.relative_to(home / "lake").as_posix()
        assert said[name]["dagster/row_count"] >= 0
        if name != "raw/ownership":
            assert said[name]["dagster/uri"] == str(folder)
