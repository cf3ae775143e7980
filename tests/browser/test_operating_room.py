"""What a person sees in Dagster, in a browser: the flow, a close, a month that broke."""

from __future__ import annotations

import re
from contextlib import suppress

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from orchestration.automation.failures import why
from orchestration.close.catalogue import catalogue
from orchestration.close.summary import summarize
from orchestration.definitions import defs
from orchestration.engines.instance import open_instance
from orchestration.lake.lake import Lake
from orchestration.lake.months import Month
from orchestration.ledger.book import latest
from tests.browser.conftest import Room
from tests.browser.deployment import ask

OCTOBER = Month(2026, 10)
BROKEN = "rounding_is_accounted_for"
_CLICKS = 6
_A_MOMENT_MS = 5_000
LINEAGE = """{
  assetNodes(assetKeys: [{path: ["fct_split_line_items"]}]) {
    metadataEntries {
      ... on TableColumnLineageMetadataEntry {
        lineage { columnName columnDeps { assetKey { path } columnName } }
      }
    }
  }
}"""


def wait_for_a_run(room: Room, page: Page) -> None:
    """Wait until the instance knows a run."""
    for _ in range(600):
        found = ask(room.address, "{ runsOrError { ... on Runs { results { runId } } } }")
        if found["runsOrError"]["results"]:
            return
        page.wait_for_timeout(500)
    raise AssertionError("no run was launched within five minutes")


@pytest.fixture(scope="module")
def closed(room: Room, browser: Browser) -> Room:
    """The sample month, closed by a run that was launched in the browser."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(180_000)
        page.goto(f"{room.address}/locations/podledger/jobs/monthly_close")
        page.get_by_role("button", name="Materialize all").click()
        page.get_by_placeholder("No matching partitions").click()
        page.keyboard.type(OCTOBER.key)
        page.keyboard.press("Enter")
        launch = page.get_by_role("button", name="Launch 1 run")
        launch.click()
        # Leaving the page earlier would take the request back.
        wait_for_a_run(room, page)
        page.goto(f"{room.address}/runs")
        expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=600_000)
    return room


@pytest.fixture
def broken(closed: Room, monkeypatch: pytest.MonkeyPatch) -> str:
    """The month after a file of the lake was tampered with; gives what its close says."""
    (path,) = Lake(closed.settings.home).files("raw/bill_files", OCTOBER)
    with duckdb.connect() as connection:
        connection.execute(f"create table rows as from read_parquet('{path}')")
        connection.execute("update rows set rounding_moved_usd = 0.02 where rowid = 0")
        connection.execute(f"copy (select * exclude (billing_month) from rows) to '{path}'")
    monkeypatch.setenv("PODLEDGER_HOME", str(closed.settings.home))
    job = defs.resolve_job_def("monthly_close")
    graph = defs.resolve_asset_graph()
    after_the_split = [
        key for key in graph.executable_asset_keys if graph.get(key).group_name == "close"
    ]
    with open_instance(closed.settings) as instance:
        result = job.execute_in_process(
            partition_key=OCTOBER.key,
            instance=instance,
            asset_selection=after_the_split,
            raise_on_error=False,
        )
    return why(result.all_events, OCTOBER) or ""


def test_the_graph_flows_through_the_four_rooms_from_left_to_right(
    room: Room, page: Page
) -> None:
    page.goto(f"{room.address}/asset-groups")
    places = {}
    for name in ("bill", "inventory", "split", "close"):
        node = page.locator("svg").get_by_text(name, exact=True)
        expect(node).to_be_visible()
        places[name] = (node.bounding_box() or {})["x"]
    assert places["bill"] == places["inventory"] < places["split"] < places["close"]


def test_a_model_shows_what_each_of_its_columns_is_made_from(
    room: Room, page: Page
) -> None:
    page.goto(f"{room.address}/assets/fct_split_line_items")
    row = page.get_by_role("row").filter(has_text="column_lineage")
    made_from = "split_line_item_split_cost int_pod_costs__itemized.amortized_split_usd"
    table = page.get_by_role("row", name=made_from, exact=True)
    for _ in range(_CLICKS):
        # The page draws the row again as more of the asset arrives, and a click gets lost.
        row.get_by_text("[Show Markdown]").click()
        with suppress(AssertionError):
            expect(table).to_be_visible(timeout=_A_MOMENT_MS)
            break
    expect(table).to_be_visible()
    (asset,) = ask(room.address, LINEAGE)["assetNodes"]
    (entry,) = (one for one in asset["metadataEntries"] if one.get("lineage"))
    deps = {one["columnName"]: one["columnDeps"] for one in entry["lineage"]}
    assert deps["split_line_item_split_cost"] == [
        {
            "assetKey": {"path": ["int_pod_costs__itemized"]},
            "columnName": "amortized_split_usd",
        }
    ]


def test_a_run_from_the_ui_publishes_the_month(closed: Room, page: Page) -> None:
    revision = latest(closed.settings.published, OCTOBER)
    assert revision is not None
    page.goto(f"{closed.address}/assets/published_month?view=partitions")
    expect(page.get_by_text("Materialized (1)")).to_be_visible()
    page.goto(f"{closed.address}/assets/published_month")
    bill = revision.manifest.totals["unblended"].bill
    expect(page.get_by_text(f"{bill:,f}".rstrip("0"))).to_be_visible()
    first = summarize(revision).namespaces[0]
    name = f"{first.cluster_name} / {first.namespace}"
    expect(page.get_by_role("cell", name=name, exact=True)).to_be_visible()
    row = page.get_by_role("row").filter(has_text="daily_costs")
    row.get_by_text("[Show Markdown]").click()
    expect(page.get_by_alt_text("Cost of every day")).to_be_visible()
    width = page.get_by_alt_text("Cost of every day").evaluate("one => one.naturalWidth")
    assert width > 0


def test_the_controls_of_a_good_month_are_green(closed: Room, page: Page) -> None:
    page.set_viewport_size({"width": 1600, "height": 1800})
    page.goto(f"{closed.address}/assets/fct_close_controls?view=checks")
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    said = page.locator("body").aria_snapshot()
    blocking = [rule.name for rule in catalogue().values() if rule.severity == "blocking"]
    assert [name for name in blocking if f"{name} Succeeded" not in said] == []


def test_a_broken_month_shows_the_control_that_failed_and_what_to_do(
    broken: str, closed: Room, page: Page
) -> None:
    assert broken.startswith(
        f"2026-10 is not published, because a control failed. {BROKEN} ("
    )
    assert catalogue()[BROKEN].what_to_do in broken
    page.goto(
        f"{closed.address}/assets/fct_close_controls?view=checks&checkDetail={BROKEN}"
    )
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(catalogue()[BROKEN].what_to_do)).to_be_visible()
    expect(page.get_by_text(re.compile("0.02")).first).to_be_visible()
