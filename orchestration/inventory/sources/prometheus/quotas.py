"""The quotas of a window: what namespaces may request, by the hour.

Holds what ``kube_resourcequota`` tells, where the source is asked for it. Quotas are not
held on through hours without a sample: one that was deleted looks the same.
"""

from __future__ import annotations

import numpy as np

from orchestration.inventory.sources.prometheus import queries
from orchestration.inventory.sources.prometheus.gathering import Asker, Floats, own
from orchestration.inventory.sources.prometheus.names import resource_name
from orchestration.kubernetes.quotas import limited_request

Quotas = dict[str, dict[str, Floats]]
"""Namespace -> resource -> quantity by hour: cores, GiB, or units of an extended one."""


def find_quotas(asker: Asker) -> Quotas:
    """Ask for the quotas of the window.

    Returns:
        Means over the samples of each hour; of several quotas on one resource, all of which
        bind, the smallest. NaN where there is none.
    """
    found: Quotas = {}
    for series in asker.ask(queries.QUOTAS):
        limited = limited_request(series.labels.get("resource", ""))
        namespace = own(series.labels, "namespace")
        if limited is None or not namespace:
            continue
        values = found.setdefault(namespace, {}).setdefault(
            resource_name(limited), np.full(asker.window.count, np.nan)
        )
        here = values[series.positions]
        values[series.positions] = np.fmin(here, series.values)
    # Servers take means in doubles, as of requests.
    return {
        namespace: {
            resource: np.round(values) / 2**30
            if resource == "memory"
            else np.round(values, 6)
            for resource, values in resources.items()
        }
        for namespace, resources in found.items()
    }
