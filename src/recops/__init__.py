"""Compiled kernels for recommender systems, as torch custom ops."""

from recops._load import build_info, cpu_isa, load_ops

load_ops()

__version__ = str(build_info()["version"])

__all__ = ["__version__", "build_info", "cpu_isa"]
