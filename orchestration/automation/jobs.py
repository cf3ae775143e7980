"""The jobs: close a month, or refresh the open one without publishing it.

See https://docs.dagster.io/guides/build/jobs
"""

import dagster as dg

from orchestration.close.assets import published_month

monthly_close = dg.define_asset_job(
    "monthly_close",
    selection=dg.AssetSelection.all(),
    description="Read bill and pods of a month, split, distribute, check and publish.",
)

daily_refresh = dg.define_asset_job(
    "daily_refresh",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(published_month),
    description="The same for a month that is still open: provisional, never published.",
)
