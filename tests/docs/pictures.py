"""The pictures of ``docs/images`` that are not of Dagster, from the sample month.

    python -m tests.docs.pictures

Holds no test. It closes the sample month in a home of its own, so that what is shown is
what a first user sees, and takes the pictures with Debian's Chromium.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from orchestration.cli.dbt_docs import SAMPLE_MONTH, build_page
from orchestration.cli.runner import close_month
from orchestration.close.summary import summarize
from orchestration.close.terminal import print_summary
from orchestration.lake.settings import PROJECT_DIR, Settings
from orchestration.ledger.book import find_revision

IMAGES = PROJECT_DIR / "docs" / "images"
_COLUMNS = 80
_CUT = "namespaces by cost"
"""Section before which the picture ends: it is a look, not the whole."""

_PAPER = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        *((36, 41, 47), (180, 35, 24), (22, 110, 60), (146, 96, 10)),
        *((9, 86, 170), (110, 64, 170), (20, 110, 120), (90, 96, 104)),
    ],
)
_SHEET = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: {background}; color: {foreground}; }}
pre {{ display: inline-block; margin: 0; padding: 8px 28px;
  font: 14px/1.42 "DejaVu Sans Mono", monospace; }}
</style><pre>{code}</pre>"""


def statement(settings: Settings) -> str:
    """The beginning of what ``podledger summary`` prints, as an HTML page."""
    revision = find_revision(settings.published, SAMPLE_MONTH, None)
    shown = dataclasses.replace(
        summarize(revision), path=Path("data", *revision.path.parts[-3:])
    )
    with Path("/dev/null").open("w") as nowhere:
        console = Console(
            file=nowhere, record=True, width=_COLUMNS, highlight=False, force_terminal=True
        )
        print_summary(console, shown, f"{SAMPLE_MONTH}, revision {revision.number}")
    page = console.export_html(theme=_PAPER, code_format=_SHEET, inline_styles=True)
    shown, cut, _ = page.partition(_CUT)
    if not cut:
        raise SystemExit(f"The summary has no section {_CUT!r} any more: choose another.")
    return f"{shown.rstrip().rpartition('<span')[0].rstrip()}</pre>"


@contextmanager
def browser_page(width: int, height: int) -> Iterator[Page]:
    """An empty page in Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=2
        )
        browser.close()


def main() -> None:
    """Write the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="podledger-pictures-") as folder:
        settings = Settings(home=Path(folder), _env_file=None)
        close_month(SAMPLE_MONTH, settings, lambda line: print(line, file=sys.stderr))
        docs = build_page(settings, Path(folder) / "docs.html")
        with browser_page(720, 400) as page:
            page.set_content(statement(settings))
            page.locator("pre").screenshot(path=IMAGES / "statement.png")
        with browser_page(1600, 700) as page:
            page.goto(
                f"file://{docs}#!/model/model.podledger.fct_split_line_items"
                "?g_v=1&g_i=%2Bfct_split_line_items%2B"
            )
            page.wait_for_selector("canvas")
            page.wait_for_timeout(3000)
            page.screenshot(path=IMAGES / "lineage.png")


if __name__ == "__main__":
    main()
