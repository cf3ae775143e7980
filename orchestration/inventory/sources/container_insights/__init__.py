"""CloudWatch Container Insights: pods and nodes from the agent's performance events.

In the order of the flow: ``lines`` (where events lie: a folder, S3, a log group),
``events`` (a line as a sample of a pod or node), ``hours`` (a day's samples as pod-hours
and node-hours), ``source`` (days asked for and kept). What the events cannot know is in
``docs/sources.md``.
"""

from orchestration.inventory.sources.container_insights.source import (
    ContainerInsightsExport,
    ContainerInsightsLogs,
)

__all__ = ["ContainerInsightsExport", "ContainerInsightsLogs"]
