"""The command line: close a month, read it back, look whether one could be closed.

Holds arguments, progress and exit codes. Whatever works is imported by the command that
needs it, so that ``podledger --help`` answers at once.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.close.ending import ending_at_once
from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from orchestration.lake.months import Month
    from orchestration.lake.settings import Settings

app = typer.Typer(
    help="Split the AWS bill of Kubernetes nodes among pods, exactly, and close the month.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
catalogue_app = typer.Typer(
    help="The catalogue of EC2 instance types.", no_args_is_help=True
)
app.add_typer(catalogue_app, name="catalogue")
reservations_app = typer.Typer(
    help="Capacity reservations, Capacity Blocks and Dedicated Hosts.",
    no_args_is_help=True,
)
app.add_typer(reservations_app, name="reservations")

MonthArgument = Annotated[
    str, typer.Argument(metavar="MONTH", help="Billing month, like 2026-10.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object; money as exact strings.")
]

_SAMPLE_MONTH = "2026-10"
_REVISIONS = "data/published/billing_month=2026-10/revision="
_SECONDS_BETWEEN_LINES = 2.0
_SPINNER_COLUMNS = 3


def main() -> None:
    """Run the command line; what went wrong is one paragraph on stderr, and exit code 1."""
    # Dagster warns those who write assets, of what it may yet change; not those who run.
    warnings.filterwarnings("ignore", module=r"dagster\b")
    try:
        app()
    except PodledgerError as error:
        _refuse(str(error))


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


@app.command(epilog="Example: podledger close 2026-10")
def close(
    month: Annotated[
        str | None,
        typer.Argument(
            metavar="MONTH",
            help="Billing month, like 2026-10. Default: the last month that has ended, or"
            " the sample month if no inputs are set.",
        ),
    ] = None,
    method: Annotated[
        int | None,
        typer.Option(metavar="1|2|3", help="Version of the split, over PODLEDGER_METHOD."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Close a month: read, split, check, publish. Exit code 0 only if published."""
    settings = _settings(**({} if method is None else {"method": method}))
    when = _usual_month(settings) if month is None else _month(month)
    run_id = str(uuid.uuid4())
    with ending_at_once(run_id), _progress() as progress:
        progress("Loading")
        from orchestration.cli.runner import close_month
        from orchestration.close.summary import summarize
        from orchestration.ledger.book import find_revision

        publication = close_month(when, settings, progress, run_id=run_id)
        progress("Reading the published files back")
        summary = summarize(
            find_revision(settings.published, when, publication.revision, settings.remote)
        )
    if as_json:
        _print_json({**summary.as_json(), "is_new": publication.is_new})
        return
    if publication.is_reproduced:
        headline = (
            f"{when} is unchanged: another version of podledger made the figures of"
            f" revision {publication.revision} again, and they are the same"
        )
    elif not publication.is_new:
        headline = (
            f"{when} is unchanged: the same deliveries, inventory and method as revision"
            f" {publication.revision}, which stays"
        )
    elif publication.replaces is not None:
        headline = (
            f"{when} is published as revision {publication.revision}; it replaces revision"
            f" {publication.replaces}"
        )
    else:
        headline = f"{when} is published as revision {publication.revision}"
    _print_summary(summary, headline)


@app.command(epilog="Example: podledger summary 2026-10 --revision 1 --json")
def summary(
    month: MonthArgument,
    revision: Annotated[
        int | None, typer.Option(metavar="N", help="Revision; the newest by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a published month, from its published files alone."""
    when = _month(month)
    settings = _settings()
    with _progress() as progress:
        from orchestration.close.summary import summarize
        from orchestration.ledger.book import find_revision

        found = find_revision(settings.published, when, revision, settings.remote)
        progress(f"Reading revision {found.number} of {when}")
        read = summarize(found)
    if as_json:
        _print_json(read.as_json())
    else:
        _print_summary(read, f"{when}, revision {found.number}")


@app.command(epilog=f"Example: podledger diff {_REVISIONS}001 {_REVISIONS}002")
def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="Folder or s3:// prefix of a revision.")
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="Folder or s3:// prefix of another.")
    ],
) -> None:
    """Compare two published revisions to the last unit. Exit code 1: they differ."""
    with _progress() as progress:
        from orchestration.ledger.diff import compare_places

        differences = 0
        for difference in compare_places(a, b, progress):
            differences += 1
            print(difference)
    if differences:
        raise typer.Exit(1)
    print("The same: every file, row and amount.")


@app.command(epilog="Example: podledger sample --out /tmp/podledger")
def sample(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Home to make it in; PODLEDGER_HOME by default."),
    ] = None,
    month: Annotated[
        str, typer.Option(metavar="MONTH", help="Billing month, like 2026-10.")
    ] = _SAMPLE_MONTH,
) -> None:
    """Make the sample month: exports and inventories as AWS and Kubernetes write them."""
    when = _month(month)
    home = out.expanduser().resolve() if out else _settings().home
    with _progress() as progress:
        progress(f"Making the sample month {when}")
        from orchestration.sample import ensure_sample

        made = ensure_sample(home, when)
    print(f"PODLEDGER_BILL={','.join(str(root) for root in made.bill_roots)}")
    print(f"PODLEDGER_PODS={','.join(str(root) for root in made.pod_roots)}")
    print(f"PODLEDGER_CAPACITY_BLOCKS={made.capacity_blocks}")


@app.command(epilog="Example: podledger collect --cluster prod --to s3://bucket/pods")
def collect(
    cluster: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the cluster, as its rows carry it.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Folder or s3:// prefix, which PODLEDGER_PODS then names."
        ),
    ],
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig; the current by default.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default as kubectl finds it.")
    ] = None,
) -> None:
    """Collect pod-hours from a cluster's API, an hour at a time, until stopped."""
    try:
        from orchestration.collector.collect import collect as watch_and_write
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kubernetes":
            raise
        raise PodledgerError(
            "podledger collect needs the official Kubernetes client, which is not here."
            " Install podledger[collector]."
        ) from error

    def log(line: str) -> None:
        moment = dt.datetime.now(dt.UTC)
        print(f"{moment:%Y-%m-%dT%H:%M:%SZ} {line}", file=sys.stderr, flush=True)

    watch_and_write(cluster, to, context=context, kubeconfig=kubeconfig, progress=log)


@catalogue_app.command(epilog="Example: podledger catalogue refresh")
def refresh() -> None:
    """Rewrite the catalogue of instance types from EC2's DescribeInstanceTypes."""
    with _progress() as progress:
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


@reservations_app.command(
    "refresh",
    epilog="Example: podledger reservations refresh --region us-east-1"
    " --role-arn arn:aws:iam::111122223333:role/podledger",
)
def refresh_reservations(
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
    settings = _settings()
    with _progress() as progress:
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


@app.command(epilog="Example: podledger doctor --month 2026-10")
def doctor(
    month: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH", help="Billing month; the one before this by default."
        ),
    ] = None,
) -> None:
    """Look whether a month could be closed here. Exit code 1: something is in the way."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    settings = _settings()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    with _progress() as progress:
        progress("Loading")
        from orchestration.cli.examination import examine

        when = _month(month) if month else _usual_month(settings)
        findings = list(examine(settings, when, progress))
    for finding in findings:
        mark = Text("ok", style="green") if finding.is_ok else Text("not ok", style="red")
        table.add_row(mark, Text(finding.topic, style="bold"), Text(finding.text))
    Console().print(table)
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


def _month(text: str) -> Month:
    from orchestration.lake.months import Month

    return Month.parse(text)


def _usual_month(settings: Settings) -> Month:
    """The month that one would close today: the one before this, or the sample's."""
    from orchestration.lake.months import Month

    if not (settings.bill or settings.pods):
        return Month.parse(_SAMPLE_MONTH)
    today = dt.datetime.now(dt.UTC)
    return Month(today.year, today.month).previous


def _settings(**chosen: object) -> Settings:
    """The deployment's settings, with what was chosen on the command line."""
    from pydantic import ValidationError

    from orchestration.lake.settings import Settings

    try:
        return Settings(**chosen)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        wrong = "; ".join(
            f"PODLEDGER_{'_'.join(str(part) for part in one['loc']).upper()} is"
            f" {one['input']!r}: {one['msg']}"
            for one in error.errors()
        )
        raise PodledgerError(
            f"The settings are not usable: {wrong}. Correct the environment, the .env file"
            " or the option; .env.example lists every setting."
        ) from error


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """One moving line on a terminal; elsewhere plain lines, a few seconds apart.

    Always on stderr. Warnings are never left out, and stay when the work is done.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
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


def _plain() -> Callable[[str], None]:
    """Lines for a log: a close has hundreds to say, and a reader wants to see it move."""
    last = -_SECONDS_BETWEEN_LINES

    def tell(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if line.startswith("Warning") or now - last >= _SECONDS_BETWEEN_LINES:
            print(line, file=sys.stderr, flush=True)
            last = now

    return tell


def _print_summary(summary: Any, headline: str) -> None:
    from rich.console import Console

    from orchestration.close.terminal import print_summary

    print_summary(Console(highlight=False), summary, headline)


def _print_json(found: dict[str, Any]) -> None:
    print(json.dumps(found, ensure_ascii=False))


def _refuse(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    told = Text.assemble(("podledger: ", "bold red"), message)
    console.print(told, soft_wrap=not console.is_terminal)
    sys.exit(1)
