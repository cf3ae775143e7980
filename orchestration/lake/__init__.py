"""The ground: the lake, and what every room needs to speak of a month.

Holds months, money as text, the schemas of the lake's tables, values of cells, settings and
errors, and files in folders and in S3. It knows no bill, no pod, no Dagster and no dbt.
"""
