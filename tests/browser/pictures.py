"""Takes the pictures of ``docs/images/``: the sample month in Dagster, in a browser.

Run ``make pictures``, and look at each picture before it is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Locator, Page, expect, sync_playwright

from orchestration.cli.runner import close_month
from orchestration.lake.months import Month
from orchestration.lake.settings import PROJECT_DIR, Settings
from tests.browser.deployment import CHROMIUM, FLAGS, serve

IMAGES = PROJECT_DIR / "docs" / "images"
OCTOBER = Month(2026, 10)

_WAIT_MS = 120_000


def main() -> None:
    """Close the sample month in a home that is thrown away, and take every picture."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    # make names the deployment's own, which is to know nothing of this month.
    os.environ.pop("DAGSTER_HOME", None)
    with TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), _env_file=None)
        close_month(OCTOBER, settings, print)
        with serve(settings.home, {}) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for name, take in PICTURES.items():
                context = browser.new_context(
                    viewport={"width": 1440, "height": 860}, color_scheme="light"
                )
                page = context.new_page()
                page.set_default_timeout(_WAIT_MS)
                take(page, address)
                page.screenshot(path=IMAGES / f"{name}.png")
                context.close()
                print(IMAGES / f"{name}.png")
            browser.close()


def _graph(page: Page, address: str) -> None:
    """The four rooms of the flow."""
    page.set_viewport_size({"width": 1440, "height": 520})
    page.goto(f"{address}/asset-groups")
    _settle(page, page.locator("svg").get_by_text("close", exact=True))
    expect(page.get_by_text("fetching statuses")).to_have_count(0, timeout=_WAIT_MS)


def _published(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/published_month")
    _settle(page, page.get_by_text("top_namespaces"))


def _chart(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/published_month")
    row = page.get_by_role("row").filter(has_text="daily_costs")
    row.get_by_text("[Show Markdown]").click()
    _settle(page, page.get_by_alt_text("Cost of every day"))


def _columns(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 960})
    page.goto(f"{address}/assets/fct_split_line_items")
    row = page.get_by_role("row").filter(has_text="column_lineage")
    row.get_by_text("[Show Markdown]").click()
    _settle(page, page.get_by_text("int_pods__tagged.resource_tags"))


def _controls(page: Page, address: str) -> None:
    page.goto(
        f"{address}/assets/fct_close_controls"
        "?view=checks&checkDetail=every_billed_dollar_lands_once"
    )
    _settle(page, page.get_by_text("what_to_do"))


def _partitions(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/published_month?view=partitions")
    page.get_by_text(OCTOBER.key, exact=True).first.click()
    _settle(page, page.get_by_text("billed_usd", exact=True))


def _automation(page: Page, address: str) -> None:
    page.goto(f"{address}/automation")
    _settle(page, page.get_by_text("failed_months"))


def _settle(page: Page, until: Locator) -> None:
    """Wait for what the picture is of, and a moment for what the page still moves."""
    expect(until.first).to_be_visible(timeout=_WAIT_MS)
    page.wait_for_timeout(3_000)


PICTURES: dict[str, Callable[[Page, str], None]] = {
    "graph": _graph,
    "published_month": _published,
    "daily_costs": _chart,
    "columns": _columns,
    "controls": _controls,
    "partitions": _partitions,
    "automation": _automation,
}


if __name__ == "__main__":
    main()
