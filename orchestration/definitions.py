"""Everything that Dagster loads, put together; nothing is defined here.

See https://docs.dagster.io/guides/build/projects-and-components
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from orchestration.automation.alerts import failed_months
from orchestration.automation.deliveries import bill_deliveries
from orchestration.automation.jobs import daily_refresh, monthly_close
from orchestration.automation.schedules import (
    daily_refresh_schedule,
    monthly_close_schedule,
)
from orchestration.bill.assets import bill, reservations
from orchestration.close.assets import close_models, published_month
from orchestration.close.checks import close_checks
from orchestration.close.presence import Presence
from orchestration.close.turns import taking_turns
from orchestration.distribution.assets import charges, cost_models, policy
from orchestration.engines.dbt.in_process import dbt_resource
from orchestration.inventory.assets import inventory, ownership
from orchestration.lake.inputs import InputsOfMonth
from orchestration.lake.months import Month
from orchestration.lake.settings import Settings
from orchestration.sample.inputs import resolve_inputs
from orchestration.split.assets import accelerator_equivalents, node_hour_models, pod_costs


@dg.resource(description="Settings of this deployment, read from PODLEDGER_* variables.")
def settings_from_environment(context: dg.InitResourceContext) -> Iterator[Settings]:
    """Read when a run starts, so that loading the definitions needs no environment.

    What asks for them within a run is a step of it: the run takes its turn before.
    """
    settings = Settings()
    run, instance = context.run, context.instance
    if run is None or instance is None:
        yield settings
        return
    key = run.tags.get("dagster/partition")
    month = Month.parse(key).label if key else None
    presence = Presence.of_this_process(run.run_id, run.job_name, month)
    tell = context.log.info if context.log else print
    with taking_turns(settings, instance, presence, tell):
        yield settings


@dg.resource(
    required_resource_keys={"settings"},
    description="Roots of a month's bill and pods: the deployment's, or the sample's.",
)
def inputs_of_settings(context: dg.InitResourceContext) -> InputsOfMonth:
    """Only here meet the steps and the sample, which a month without roots is made of."""
    return partial(resolve_inputs, context.resources.settings)


defs = dg.Definitions(
    assets=[
        bill,
        reservations,
        inventory,
        ownership,
        node_hour_models,
        accelerator_equivalents,
        pod_costs,
        policy,
        cost_models,
        charges,
        close_models,
        published_month,
    ],
    asset_checks=[close_checks],
    jobs=[monthly_close, daily_refresh],
    schedules=[monthly_close_schedule, daily_refresh_schedule],
    sensors=[bill_deliveries, failed_months],
    # The steps of a month wait for one another, and each process of its own would import
    # Dagster, dbt and the kernel again, 5 to 9 s a step. Months run side by side, as runs.
    executor=dg.in_process_executor,
    resources={
        "settings": settings_from_environment,
        "inputs": inputs_of_settings,
        "dbt": dbt_resource(),
    },
)
