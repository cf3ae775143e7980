"""A real browser, and a Dagster that it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from orchestration.lake.settings import Settings
from tests.browser.deployment import CHROMIUM, FLAGS, serve

expect.set_options(timeout=180_000)


@dataclass(frozen=True)
class Room:
    """The operating room: where it is served, and what its steps are set to."""

    address: str
    settings: Settings


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's package ``chromium``."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} not found: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1600, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(180_000)
        yield page


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Room]:
    """A deployment of which nothing is set but its home, and that closed nothing yet."""
    settings = Settings(home=tmp_path_factory.mktemp("room"), _env_file=None)
    with serve(settings.home, {}) as address:
        yield Room(address, settings)
