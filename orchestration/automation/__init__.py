"""What starts what: jobs, schedules, the sensor of deliveries, and alerts of failed runs.

It uses every room of the flow, and none of them knows it.
"""
