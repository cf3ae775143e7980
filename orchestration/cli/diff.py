"""``podledger diff``: two published revisions, compared to the last unit."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.console import progress_line


def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="Folder or s3:// prefix of a revision.")
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="Folder or s3:// prefix of another.")
    ],
) -> None:
    """Compare two published revisions to the last unit. Exit code 1: they differ."""
    with progress_line() as progress:
        from orchestration.ledger.diff import compare_places

        differences = 0
        for difference in compare_places(a, b, progress):
            differences += 1
            print(difference)
    if differences:
        raise typer.Exit(1)
    print("The same: every file, row and amount.")
