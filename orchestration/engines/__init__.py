"""What the work runs on: DuckDB, Spark, dbt and Dagster."""
