"""Says that a month failed, where somebody reads it.

Holds the one way out: a line in ``alerts.log`` below the home, and the sensor's own log.
What watches a file, or Dagster+ and its alert policies, carries it on; podledger keeps no
secrets of chat or mail. Why a run failed is told by ``failures.py``.
See https://docs.dagster.io/guides/automate/run-status-sensors
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg

from orchestration.automation.failures import EVENTS, why
from orchestration.automation.jobs import daily_refresh, monthly_close
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings


@dg.run_failure_sensor(
    monitored_jobs=[monthly_close, daily_refresh],
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Report in one paragraph which month failed and why: in the log of this"
    " sensor and as a line of alerts.log in PODLEDGER_HOME. Turn it on first.",
)
def failed_months(
    context: dg.RunFailureSensorContext, settings: dg.ResourceParam[Settings]
) -> None:
    """Tell of one failed run."""
    records = context.instance.all_logs(context.dagster_run.run_id, of_type=EVENTS)
    events = [record.dagster_event for record in records if record.dagster_event]
    key = context.dagster_run.tags.get("dagster/partition")
    paragraph = tell(context.dagster_run, events, Month.parse(key) if key else None)
    context.log.error(paragraph)
    write(settings.home / "alerts.log", paragraph, dt.datetime.now(dt.UTC))


def tell(run: dg.DagsterRun, events: list[dg.DagsterEvent], month: Month | None) -> str:
    """One paragraph: the job, its month, the reason, and where to look.

    Args:
        run: That failed.
        events: Of the run.
        month: That it was for, if it was for one.
    """
    subject = f"{run.job_name} of {month}" if month else run.job_name
    reason = why(events, month) or (
        "No step says why: the process was stopped, or could not be started."
    )
    return f"{subject} failed. {reason} Run {run.run_id} in Dagster has every event."


def write(log: Path, paragraph: str, at: dt.datetime) -> None:
    """Append one line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{at:%Y-%m-%dT%H:%M:%SZ} {' '.join(paragraph.split())}\n")
