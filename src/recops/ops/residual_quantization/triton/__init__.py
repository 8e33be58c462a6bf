"""Triton kernels of greedy encoding and of the nearest codeword, for CUDA.

Tensor cores score all codewords in 16 bits. The rounding of rows and codewords is measured, so that
every score has a bound. Rows that the bounds do not decide are decided in float32. The codes are
therefore those of the CPU kernel, except where two float32 scores differ by their own rounding.

No launcher waits for the device, so a call can be captured in a CUDA graph after one call that
compiles. Sizes beyond the limits of :mod:`.launch` use the composite.
"""

from recops.ops.residual_quantization.triton.launch import nearest_codes, rq_encode

__all__ = ["nearest_codes", "rq_encode"]
