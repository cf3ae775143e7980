"""How files of tests are dealt to the processes of ``pytest -n 2``.

A file goes to one process, whole, for what it makes once is made in one process. Files
that share something dear go together. What shares nothing stands alone: homes and ports
are each test's own, and dbt has a folder of its own in every run.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/bill/test_spark.py": "spark",
    "tests/split/test_spark.py": "spark",
    "tests/test_close_on_spark.py": "spark",
    "tests/test_close_of_purchases.py": "purchases",
    "tests/test_close_of_remainder.py": "purchases",
    "tests/docs/test_pages.py": "purchases",
    "tests/explain/test_worlds.py": "purchases",
}
"""Files that share a server or a closed month, and its name."""

LONG = (
    *TOGETHER,
    "tests/test_close_",
    "tests/test_fargate",
    "tests/test_killed",
    "tests/test_mutations",
    "tests/sample/",
    "tests/browser/",
)
"""How the names begin of files that take long: they go first, so that both processes end
at about the same time."""


def group(nodeid: str) -> str:
    """What a test goes with: the name of its group, or its file."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


def place(nodeid: str) -> tuple[bool, str]:
    """What tests are ordered by."""
    return not nodeid.startswith(LONG), group(nodeid)


class WholeFiles(LoadScopeScheduling):
    """Deals groups of files in the order of the tests."""

    def __init__(self, config: Any, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
