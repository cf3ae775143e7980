"""``podledger reservations``: what EC2 says of what was bought ahead of time."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.arguments import settings_in_use
from orchestration.cli.console import progress_line
from orchestration.lake.errors import PodledgerError

reservations = typer.Typer(
    help="Capacity reservations, Capacity Blocks and Dedicated Hosts.",
    no_args_is_help=True,
)


@reservations.command(
    epilog="Example: podledger reservations refresh --region us-east-1"
    " --role-arn arn:aws:iam::111122223333:role/podledger",
)
def refresh(
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R", help="Region to ask, repeatable; all that are enabled by default."
        ),
    ] = None,
    role_arn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARN", help="Role to assume in another account to ask, repeatable."
        ),
    ] = None,
) -> None:
    """Keep what EC2 says of reservations and hosts. Exit code 1: somebody refused."""
    settings = settings_in_use()
    with progress_line() as progress:
        progress("Loading")
        from orchestration.bill.ec2 import refresh as ask

        done = ask(
            settings.reservations,
            regions=region or (),
            role_arns=role_arn or (),
            progress=progress,
        )
    for kept, words in (
        (done.reservations, "capacity reservations"),
        (done.hosts, "Dedicated Hosts"),
    ):
        print(
            f"{kept.path} has {kept.total:,} {words}: {len(kept.added):,} new,"
            f" {len(kept.changed):,} changed, {len(kept.not_listed):,} that EC2 does not"
            " list and that stay as they were."
        )
        for word, names in (("new", kept.added), ("changed", kept.changed)):
            if names:
                print(f"{word}: {', '.join(names)}")
    if done.refusals:
        raise PodledgerError(
            "Not everybody answered, and what the files had of them stays: "
            f"{'; '.join(str(one) for one in done.refusals)}. Allow what is missing"
            " (deploy/iam-policy.json), or name the Regions to ask with --region."
        )
