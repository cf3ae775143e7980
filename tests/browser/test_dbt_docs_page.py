"""dbt's documentation in a browser: the lineage of a statement is drawn whole."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from orchestration.cli.dbt_docs import build_page
from orchestration.close.publish import Publication
from orchestration.lake.settings import Settings

DRAWN = """() =>
  angular.element(document.body).injector().get("graph").graph.elements
    .filter((one) => one.group === "nodes" && one.data.display === "element")
    .map((one) => one.data.unique_id)
"""
"""What is on the canvas, by the page's own account."""


def test_the_page_draws_the_lineage_of_the_split_line_items(
    closed_world: Publication, page: Page, tmp_path: Path
) -> None:
    settings = Settings(home=closed_world.path.parents[2], _env_file=None)
    built = build_page(settings, tmp_path / "docs.html")
    page.goto(
        f"file://{built}#!/model/model.podledger.fct_split_line_items"
        "?g_v=1&g_i=%2Bfct_split_line_items"
    )
    page.wait_for_selector("canvas")
    drawn = set(page.evaluate(DRAWN))
    assert {
        "source.podledger.raw.bill_lines",
        "source.podledger.raw.pod_hours",
        "source.podledger.split.pod_costs",
        "model.podledger.int_node_hours__weighed.v2",
        "model.podledger.fct_split_line_items",
    } <= drawn
    assert "model.podledger.fct_close_controls" not in drawn
