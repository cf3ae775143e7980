"""The books: published revisions of closed months, and what they were made from.

Stands below the bill and the close, because all of them read revisions; only
``close/publish.py`` writes them. Knows no Dagster and no dbt.
"""
