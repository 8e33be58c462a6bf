"""Triton kernels of balanced assignment."""
