"""``podledger sample``: the invented month, as AWS and Kubernetes would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.arguments import SAMPLE_MONTH, read_month, settings_in_use
from orchestration.cli.console import progress_line


def sample(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Home to make it in; PODLEDGER_HOME by default."),
    ] = None,
    month: Annotated[
        str, typer.Option(metavar="MONTH", help="Billing month, like 2026-10.")
    ] = SAMPLE_MONTH,
) -> None:
    """Make the sample month: exports and inventories as AWS and Kubernetes write them."""
    when = read_month(month)
    home = out.expanduser().resolve() if out else settings_in_use().home
    with progress_line() as progress:
        progress(f"Making the sample month {when}")
        from orchestration.sample import ensure_sample

        made = ensure_sample(home, when)
    print(f"PODLEDGER_BILL={','.join(str(root) for root in made.bill_roots)}")
    print(f"PODLEDGER_PODS={','.join(str(root) for root in made.pod_roots)}")
    print(f"PODLEDGER_CAPACITY_BLOCKS={made.capacity_blocks}")
