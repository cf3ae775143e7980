"""Spark: its session, and the files and tables that it reads and writes."""
