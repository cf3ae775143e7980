"""The collector: a long-running program that writes pod-hours from a cluster's own API.

Holds ``podledger collect``. It watches pods, nodes and device claims, keeps what changed
and when, and writes each finished hour as files that the file source reads as they lie.
The core (``pods``, ``nodes``, ``devices``, ``history``, ``hours``) is pure: objects and
times in, rows out. The shell (``api``, ``watching``, ``owners``, ``stores``, ``journal``,
``collect``) talks to servers. Nothing here knows of bills, months or Dagster.
"""
