"""Harness of paired experiments: plan, execution and storage of runs, comparison, page."""
