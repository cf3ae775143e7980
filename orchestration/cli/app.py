"""The application: which commands there are, in the order of the help."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from orchestration.cli.catalogue import catalogue
from orchestration.cli.close import close
from orchestration.cli.collect import collect
from orchestration.cli.console import refuse
from orchestration.cli.diff import diff
from orchestration.cli.doctor import doctor
from orchestration.cli.explain import explain
from orchestration.cli.export import export
from orchestration.cli.months import months
from orchestration.cli.policy import policy
from orchestration.cli.reservations import reservations
from orchestration.cli.sample import sample
from orchestration.cli.summary import summary
from orchestration.cli.verify import verify
from orchestration.lake.errors import PodledgerError

_REVISIONS = "data/published/billing_month=2026-10/revision="

app = typer.Typer(
    help="Split the AWS bill of Kubernetes nodes among pods, exactly, and close the month.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command, example in (
    (close, "close 2026-10"),
    (summary, "summary 2026-10 --revision 1 --json"),
    (explain, "explain 2026-10 --team research"),
    (months, "months 2026-10"),
    (diff, f"diff {_REVISIONS}001 {_REVISIONS}002"),
    (verify, "verify 2026-10"),
    (sample, "sample --out /tmp/podledger"),
    (collect, "collect --cluster prod --to s3://bucket/pods"),
    (doctor, "doctor --month 2026-10"),
):
    app.command(epilog=f"Example: podledger {example}")(command)
app.add_typer(policy, name="policy")
app.add_typer(export, name="export")
app.add_typer(catalogue, name="catalogue")
app.add_typer(reservations, name="reservations")


def main() -> None:
    """Run the command line; what went wrong is one paragraph on stderr, and exit code 1."""
    # Dagster warns those who write assets, of what it may yet change; not those who run.
    warnings.filterwarnings("ignore", module=r"dagster\b")
    try:
        app()
    except PodledgerError as error:
        refuse(str(error))


def _version(is_asked: bool) -> None:
    if is_asked:
        from orchestration.ledger.provenance import code_version

        print(f"podledger {code_version()}")
        raise typer.Exit


@app.callback()
def _everywhere(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of podledger itself; its help is the application's."""
