"""Everything that Dagster loads, put together; nothing is defined here.

See https://docs.dagster.io/guides/build/projects-and-components
"""

import dagster as dg

from orchestration.bill.assets import bill, reservations
from orchestration.bill.sensor import bill_deliveries
from orchestration.close.alerts import failed_months
from orchestration.close.assets import close_models, published_month
from orchestration.close.checks import close_checks
from orchestration.close.jobs import daily_refresh, monthly_close
from orchestration.close.schedules import daily_refresh_schedule, monthly_close_schedule
from orchestration.dbt import dbt_resource
from orchestration.inventory.assets import inventory, ownership
from orchestration.settings import Settings
from orchestration.split.assets import accelerator_equivalents, node_hour_models, pod_costs


@dg.resource(description="Settings of this deployment, read from PODLEDGER_* variables.")
def settings_from_environment(_: dg.InitResourceContext) -> Settings:
    """Read when a run starts, so that loading the definitions needs no environment."""
    return Settings()


defs = dg.Definitions(
    assets=[
        bill,
        reservations,
        inventory,
        ownership,
        node_hour_models,
        accelerator_equivalents,
        pod_costs,
        close_models,
        published_month,
    ],
    asset_checks=[close_checks],
    jobs=[monthly_close, daily_refresh],
    schedules=[monthly_close_schedule, daily_refresh_schedule],
    sensors=[bill_deliveries, failed_months],
    # The steps of a month wait for one another, and each process of its own would import
    # Dagster, dbt and the kernel anew, 5 to 9 s a step. Months run side by side, as runs.
    executor=dg.in_process_executor,
    resources={"settings": settings_from_environment, "dbt": dbt_resource()},
)
