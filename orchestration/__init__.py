"""podledger: what each pod, team and model really cost, and whether it adds up to the bill.

One room a folder, in the order in which data flows: ``bill``, ``inventory``, ``split``,
``close``. Below them: ``lake`` (the ground), ``kubernetes``, ``engines`` (what work runs
on), ``ledger`` (the books). Above: ``automation`` (what starts a run), ``cli``. Beside:
``collector`` (runs beside a cluster), ``sample``. Domain modules import neither Dagster nor
dbt; ``assets.py`` and ``checks.py`` in each room do, and are thin.
"""
