"""Metrics, intervals, tests, baselines by counting, and the report of a run."""
