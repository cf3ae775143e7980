"""What SQL runs on: dbt, and what Dagster needs to know of it."""
