"""Real Prometheus servers for the tests of this folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.inventory.sources.prometheus import world
from tests.inventory.sources.prometheus.server import missing_programs, serving

Serve = Callable[[Iterable[str]], contextlib.AbstractContextManager[str]]
"""Starts a Prometheus that holds OpenMetrics lines; gives ``host:port``."""


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Debian's package ``prometheus``; in CI, doing without it is a failure."""
    if message := missing_programs():
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return lambda lines: serving(lines, tmp_path_factory.mktemp("prometheus"))


@pytest.fixture(scope="session")
def world_server(serve: Serve) -> Iterator[str]:
    """The world of ``world.py`` in a Prometheus."""
    with serve(world.open_metrics()) as address:
        yield address
