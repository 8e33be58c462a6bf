"""Benchmarks on a CUDA GPU: ``recops bench --device cuda``."""
