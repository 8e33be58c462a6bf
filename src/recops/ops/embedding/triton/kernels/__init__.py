"""Triton kernels of sums by row."""
