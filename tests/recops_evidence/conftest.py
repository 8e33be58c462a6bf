"""Fixtures with small and real data sets."""

from atomic_files import atomic_files, ml_100k, small

__all__ = ["atomic_files", "ml_100k", "small"]
