"""``podledger catalogue``: the catalogue of EC2 instance types."""

from __future__ import annotations

import typer

from orchestration.cli.console import progress_line
from orchestration.lake.errors import PodledgerError

catalogue = typer.Typer(help="The catalogue of EC2 instance types.", no_args_is_help=True)


@catalogue.command(epilog="Example: podledger catalogue refresh")
def refresh() -> None:
    """Rewrite the catalogue of instance types from EC2's DescribeInstanceTypes."""
    with progress_line() as progress:
        progress("Asking EC2 for its instance types")
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        from orchestration.bill.catalogue import SEED
        from orchestration.bill.catalogue import refresh as rewrite

        try:
            done = rewrite(boto3.client("ec2"), SEED)
        except (BotoCoreError, ClientError) as error:
            raise PodledgerError(
                f"EC2 does not list its instance types ({error}), and the catalogue is as"
                " it was. Check the AWS credentials, the Region, and that the role allows"
                " ec2:DescribeInstanceTypes."
            ) from error
    print(
        f"{SEED} has {done.total:,} instance types: {len(done.added):,} new,"
        f" {len(done.changed):,} changed, {len(done.not_listed):,} that this Region does"
        " not list and that stay as they were."
    )
    for word, names in (("new", done.added), ("changed", done.changed)):
        if names:
            print(f"{word}: {', '.join(names)}")
