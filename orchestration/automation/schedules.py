"""When the jobs run by the calendar. Both are off until somebody switches them on.

Arrival of a bill is not a calendar matter: see ``deliveries.py``.
See https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from orchestration.automation.jobs import daily_refresh, monthly_close
from orchestration.lake.months import Month

CLOSE_CRON = "0 6 5 * *"
"""The 5th at 06:00 UTC: the bill has settled for most, and its invoice is out."""

REFRESH_CRON = "0 7 * * *"
"""After the first delivery of the day; AWS delivers up to three times a day."""


def _month_of_tick(context: dg.ScheduleEvaluationContext) -> Month:
    tick = context.scheduled_execution_time
    return Month(tick.year, tick.month)


@dg.schedule(
    job=monthly_close,
    cron_schedule=CLOSE_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Close the month before, on the 5th at 06:00 UTC. Turn it on instead of"
    " bill_deliveries if months are to be closed on a date, or in addition.",
)
def monthly_close_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the month that ended before the tick."""
    month = _month_of_tick(context).previous
    return dg.RunRequest(run_key=month.key, partition_key=month.key)


@dg.schedule(
    job=daily_refresh,
    cron_schedule=REFRESH_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Refresh the open month every day at 07:00 UTC, without publishing it. Not"
    " needed if bill_deliveries is on, which does it whenever AWS delivers.",
)
def daily_refresh_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the month that the tick lies in."""
    month = _month_of_tick(context)
    return dg.RunRequest(
        run_key=context.scheduled_execution_time.date().isoformat(), partition_key=month.key
    )
