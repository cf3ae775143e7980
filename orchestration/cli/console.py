"""What commands write: progress and errors on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from orchestration.close.summary import Summary

_SECONDS_BETWEEN_LINES = 2.0
_SPINNER_COLUMNS = 3


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """One moving line on a terminal; elsewhere plain lines, a few seconds apart.

    Always on stderr. Warnings are never left out, and stay when the work is done.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_lines()
        return
    with console.status("") as status:

        def tell(line: str) -> None:
            if line.startswith("Warning"):
                console.print(Text(line, style="yellow"))
                return
            text = Text(line)
            text.truncate(console.width - _SPINNER_COLUMNS, overflow="ellipsis")
            status.update(text)

        yield tell


def plain_lines() -> Callable[[str], None]:
    """Lines for a log: a close has hundreds to say, and a reader wants to see it move."""
    last = -_SECONDS_BETWEEN_LINES

    def tell(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if line.startswith("Warning") or now - last >= _SECONDS_BETWEEN_LINES:
            print(line, file=sys.stderr, flush=True)
            last = now

    return tell


def print_summary(summary: Summary, headline: str) -> None:
    """Print a published month as tables."""
    from rich.console import Console

    from orchestration.close import terminal

    terminal.print_summary(Console(highlight=False), summary, headline)


def print_json(found: dict[str, Any]) -> None:
    """Print one JSON object, on one line."""
    print(json.dumps(found, ensure_ascii=False))


def refuse(message: str) -> NoReturn:
    """Say what went wrong, in one paragraph, and end with exit code 1."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    told = Text.assemble(("podledger: ", "bold red"), message)
    console.print(told, soft_wrap=not console.is_terminal)
    sys.exit(1)
