"""The dbt project as Dagster runs it.

Files: ``project.py`` (where it lies, and what is made of it once), ``translator.py``
(models as assets), ``lineage.py`` (what each column is made from), ``in_process.py`` (dbt
in this process), ``build.py`` (the models of a month).
"""
