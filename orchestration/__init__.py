"""podledger: what each pod, team and model really cost, and whether it adds up to the bill.

One room a folder, in the order in which data flows: ``bill``, ``inventory``, ``split``,
``close``. Domain modules import neither Dagster nor dbt; ``assets.py``, ``checks.py`` and
``jobs.py`` in each room do, and are thin.
"""
