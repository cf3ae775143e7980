"""Kubernetes as every source of pods needs it: accelerators, sharing, workloads.

Pure: no files, no tables, no bill.
"""
