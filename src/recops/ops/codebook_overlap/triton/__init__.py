"""Triton kernels of codebook overlap, for CUDA.

Squared distances are sums of squared differences, as on the CPU, so close codewords lose no digits.
The K × K matrix is not stored in the forward pass, and in blocks of rows in the backward pass. Sums
run in a fixed order, without atomics. No launcher waits for the device.
"""

from recops.ops.codebook_overlap.triton.launch import codebook_overlap, codebook_overlap_backward

__all__ = ["codebook_overlap", "codebook_overlap_backward"]
