"""Triton kernels of codebook overlap."""
