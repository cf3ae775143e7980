"""Why a run failed, in one paragraph: read from the run's own events.

Holds what the command line and the alert say of a failed close. Events carry the findings
of the controls, so neither needs the warehouse, which another run may hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from orchestration.close.catalogue import catalogue
from orchestration.lake.months import Month

EVENTS = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
}
"""What is read."""


def why(events: Sequence[dg.DagsterEvent], month: Month | None) -> str | None:
    """The reason of a failed run; None if nothing of it tells.

    A refusal of our own is told in its words, a blocking control by its finding and by
    what to do. Anything else is an error of the program, and is told with its causes.

    Args:
        events: Of the run; those that are not in ``EVENTS`` are passed over.
        month: That the run was for.
    """
    failure = next((event for event in events if event.is_step_failure), None)
    if failure is None:
        return _why_between_steps(events)
    failed = list(_failed_controls(events))
    if failed:
        return (
            f"{month or 'The month'} is not published, because a control failed."
            f" {' '.join(failed)} Earlier revisions are unchanged."
        )
    error = failure.step_failure_data.error
    return _told(error, [f"The step {failure.step_key} failed."])


def _why_between_steps(events: Iterable[dg.DagsterEvent]) -> str | None:
    """Why the run itself failed: while it waited, say."""
    failure = next((event for event in events if event.is_job_failure), None)
    error = failure.job_failure_data.error if failure else None
    return _told(error, []) if error else None


def _told(error: Any, reasons: list[str]) -> str:
    """A refusal of our own in its words; of another error, all that led to it."""
    while error is not None:
        if error.cls_name == "PodledgerError":
            return str(error.message.split(": ", 1)[1].strip())
        reasons.append(error.message.strip())
        error = error.cause
    return " ".join(" ".join(reasons).split())


def _failed_controls(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    for event in events:
        if event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        evaluation = event.asset_check_evaluation_data
        rule = catalogue().get(evaluation.check_name)
        if rule and rule.severity == "blocking" and not evaluation.passed:
            yield (
                f"{rule.name} ({evaluation.description}). To do, by {rule.who}:"
                f" {rule.what_to_do}"
            )
