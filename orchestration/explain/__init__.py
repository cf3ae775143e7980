"""From a figure back to its bill lines: why a team, a workload or a pod costs what it does.

Reads a published revision, and the lake's detail where the lake still holds what the
revision was made from. Each level adds up to the one above, to the last unit, or there is
no explanation. Knows no Dagster and no dbt, and never opens the warehouse.
"""
