"""``podledger explain``: a figure of a published month, back to its bill lines."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.arguments import (
    JsonOption,
    MonthArgument,
    read_month,
    settings_in_use,
)
from orchestration.cli.console import print_json, progress_line
from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from orchestration.explain.explain import Question

_ROWS = 10
"""Rows of each level that are printed, where nothing else is asked for."""


def explain(
    month: MonthArgument,
    team: Annotated[
        str | None, typer.Option(metavar="NAME", help="What a team is charged.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(metavar="CLUSTER/NAMESPACE", help="What a namespace is charged."),
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option(metavar="CLUSTER/NAMESPACE/NAME", help="What a workload is charged."),
    ] = None,
    pod: Annotated[
        str | None, typer.Option(metavar="UID", help="What a pod cost: its uid or name.")
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Only that day, in UTC.")
    ] = None,
    basis: Annotated[
        str | None,
        typer.Option(
            metavar="BASIS",
            help="unblended, amortized, net_amortized or public_on_demand. Default:"
            " amortized, where the exports tell it.",
        ),
    ] = None,
    revision: Annotated[
        int | None, typer.Option(metavar="N", help="Revision; the newest by default.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Rows of each level; the others are added up in one. Default: 10 on the"
            " terminal, all in JSON and of a pod's day.",
        ),
    ] = None,
    follow: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="How many rows of each level, the largest first, are followed down to"
            " the bill. Default: 1, and all of a pod's day.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain a figure: back through rules, pods and node-hours to the bill's lines."""
    when, settings = read_month(month), settings_in_use()
    question = _question(team, namespace, workload, pod, day, basis)
    is_whole = pod is not None and day is not None
    with progress_line() as progress:
        progress("Loading")
        from orchestration.explain.explain import explain as explain_figure
        from orchestration.explain.figure import Reach
        from orchestration.lake.inputs import name_of_root
        from orchestration.lake.lake import Lake
        from orchestration.ledger.book import find_revision

        found = find_revision(settings.published, when, revision, settings.remote)
        progress(f"Explaining {question.name} in revision {found.number} of {when}")
        explanation = explain_figure(
            found,
            Lake(settings.home, settings.remote),
            when,
            question,
            Reach(
                limit or (None if is_whole or as_json else _ROWS),
                follow if follow is not None else (None if is_whole else 1),
            ),
            partial(name_of_root, settings),
        )
    if as_json:
        print_json(explanation.as_json())
        return
    from rich.console import Console

    from orchestration.explain.terminal import print_explanation

    print_explanation(Console(highlight=False), explanation)


def _question(
    team: str | None,
    namespace: str | None,
    workload: str | None,
    pod: str | None,
    day: str | None,
    basis: str | None,
) -> Question:
    """What is asked for.

    Raises:
        PodledgerError: None or several of the four, or one that is not spelled as it is.
    """
    from orchestration.explain.explain import Question

    if sum(one is not None for one in (team, namespace, workload, pod)) != 1:
        raise PodledgerError(
            "Name one of --team, --namespace, --workload and --pod: whose figure is to be"
            " explained."
        )
    cluster, _, name = (namespace or "").partition("/")
    if namespace is not None and not (cluster and name):
        raise PodledgerError(
            f"--namespace {namespace!r} is not CLUSTER/NAMESPACE, like atlas/foundation."
        )
    parts = (workload or "").split("/", 2)
    if workload is not None and not (len(parts) == 3 and all(parts)):
        raise PodledgerError(
            f"--workload {workload!r} is not CLUSTER/NAMESPACE/NAME, like"
            " atlas/foundation/atlas-70b-pretrain."
        )
    try:
        when = None if day is None else dt.date.fromisoformat(day)
    except ValueError as error:
        raise PodledgerError(f"--day {day!r} is not a day, like 2026-10-14.") from error
    return Question(
        team=team,
        namespace=(cluster, name) if namespace is not None else None,
        workload=(parts[0], parts[1], parts[2]) if workload is not None else None,
        pod=pod,
        day=when,
        basis=basis,
    )
