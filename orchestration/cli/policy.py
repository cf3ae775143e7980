"""``podledger policy``: check it, show it, and say who carries what something cost."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.arguments import (
    JsonOption,
    MonthArgument,
    read_month,
    settings_in_use,
    usual_month,
)
from orchestration.cli.console import print_json, progress_line
from orchestration.lake.errors import PodledgerError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.distribution.policy_file import Policy
    from orchestration.distribution.trial import Trial
    from orchestration.lake.months import Month
    from orchestration.lake.settings import Settings

policy = typer.Typer(
    help="The distribution policy: who carries idle, system and shared cost.",
    no_args_is_help=True,
)

FileArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="A policy, or scad or separate, which are built in. Default: the one in use.",
    ),
]


@policy.command(epilog="Example: podledger policy check config/policy.yml")
def check(
    file: FileArgument = None,
    month: Annotated[
        str | None,
        typer.Option(metavar="MONTH", help="Month to try it on; the newest by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a policy is valid, and what it would make of the newest month."""
    settings = settings_in_use()
    with progress_line() as progress:
        progress("Loading")
        from orchestration.distribution.trial import newest_month, try_policy

        when = read_month(month) if month else newest_month(settings.warehouse)
        chosen = _policy(settings, file, when)
        trial = None
        if when is not None:
            progress(f"Distributing {when} by {chosen.name}")
            trial = try_policy(settings.warehouse, when, chosen)
    if as_json:
        print_json(_as_json(chosen, trial))
        return
    from orchestration.distribution.terminal import print_trial

    print_trial(_console(), chosen, trial)


@policy.command(epilog="Example: podledger policy show --sql")
def show(
    file: FileArgument = None,
    sql: Annotated[bool, typer.Option("--sql", help="Show the SQL of each rule.")] = False,
) -> None:
    """Show the policy in use: its version and text, or its rules as SQL."""
    settings = settings_in_use()
    chosen = _policy(settings, file, None)
    if sql:
        from orchestration.distribution.statements import script_of
        from orchestration.distribution.trial import newest_month

        when = newest_month(settings.warehouse) or usual_month(settings)
        for number, rule in enumerate(chosen.rules, start=1):
            print(script_of(number, rule, when.key).text, end="\n\n")
        return
    print(f"# {chosen.name}, version {chosen.sha256[:12]}")
    print(chosen.text.rstrip("\n"))


@policy.command(epilog="Example: podledger policy explain 2026-10 --category support")
def explain(
    month: MonthArgument,
    namespace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who carries what this namespace cost."),
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who carries what it cost.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who carries what it cost.")
    ] = None,
    node_pool: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who carries what it cost.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who carries this part of the remainder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say who carries what something cost. What somebody pays: podledger explain."""
    when, settings = read_month(month), settings_in_use()
    what = {
        name: value
        for name, value in {
            "cluster": cluster,
            "namespace": namespace,
            "workload": workload,
            "node_pool": node_pool,
            "category": category,
        }.items()
        if value is not None
    }
    if not what:
        raise PodledgerError(
            "Name what you want the carriers of: --workload, --namespace, --cluster,"
            " --node-pool or --category. What a team is charged, and why, is in podledger"
            f" explain {when} --team NAME."
        )
    from orchestration.distribution.month import kept_policy
    from orchestration.distribution.trial import carriers
    from orchestration.lake.lake import Lake

    kept = kept_policy(Lake(settings.home, settings.remote), when)
    found = carriers(settings.warehouse, when, kept, what)
    if as_json:
        print_json(
            {"month": when.label, **what, "carriers": [one.as_json() for one in found]}
        )
        return
    from orchestration.distribution.terminal import print_carriers

    print_carriers(_console(), when, what, found)


@policy.command(epilog="Example: podledger policy compare scad separate new-policy.yml")
def compare(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="Policies. Default: scad, separate and the one in use.",
        ),
    ] = None,
    month: Annotated[
        str | None,
        typer.Option(metavar="MONTH", help="Month to try them on; the newest by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who would pay what under several policies, side by side. Nothing is changed."""
    settings = settings_in_use()
    with progress_line() as progress:
        progress("Loading")
        from orchestration.distribution.trial import compare_policies, newest_month

        when = read_month(month) if month else newest_month(settings.warehouse)
        if when is None:
            raise PodledgerError(
                "No month was computed yet to try policies on. Run podledger close."
            )
        chosen = [_policy(settings, file, when) for file in files or ("scad", "separate")]
        if not files:
            chosen.append(_policy(settings, None, when))
        unique = list({one.name: one for one in chosen}.values())
        basis, rows = compare_policies(settings.warehouse, when, unique)
    if as_json:
        told = [row.as_json() for row in rows]
        print_json({"month": when.label, "basis": basis, "teams": told})
        return
    from orchestration.distribution.terminal import print_comparison

    print_comparison(_console(), when, basis, rows)


def _policy(settings: Settings, file: str | None, month: Month | None) -> Policy:
    """The policy that is named, or the one that a close would use."""
    from orchestration.distribution.policy_file import BUILT_IN, read_policy
    from orchestration.lake.months import Month
    from orchestration.sample.inputs import find_inputs

    if file is not None:
        where = file if file in BUILT_IN else str(Path(file).expanduser().resolve())
    else:
        inputs = find_inputs(settings, month or Month(2026, 10))
        where = inputs.policy if inputs else settings.policy or "separate"
    return read_policy(where, settings.labels)


def _as_json(chosen: Policy, trial: Trial | None) -> dict[str, Any]:
    from orchestration.distribution.terminal import warnings_of

    found: dict[str, Any] = {
        "policy": chosen.name,
        "sha256": chosen.sha256,
        "rules": [{"name": rule.name, "key": rule.key} for rule in chosen.rules],
        "month": None,
        "warnings": [],
    }
    if trial is None:
        return found
    for rule, result in zip(found["rules"], trial.rules, strict=True):
        rule["matched"] = result.matched
        rule["taken_usd"] = _exact(result.taken_usd[trial.basis])
        rule["left_usd"] = _exact(result.left_usd[trial.basis])
    return {
        **found,
        "month": trial.month,
        "basis": trial.basis,
        **{f"{name}_usd": _exact(usd) for name, usd in trial.by_type.items()},
        "unassigned": [{**asdict(one), "usd": _exact(one.usd)} for one in trial.unassigned],
        "warnings": warnings_of(chosen, trial),
    }


def _exact(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:f}"


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
