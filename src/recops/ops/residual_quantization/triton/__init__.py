"""Triton kernels of residual quantization, for CUDA.

Greedy encoding scores all codewords in 16 bits on tensor cores. The rounding of rows and codewords
is measured, so that every score has a bound. Rows that the bounds do not decide are decided in
float32. The codes are therefore those of the CPU kernel, except where two float32 scores differ by
their own rounding.

Sums by code sort the rows by code and add them in a fixed order, without atomics.

No launcher waits for the device, so a call can be captured in a CUDA graph after one call that
compiles. Sizes beyond the limits of a launcher use the composite.
"""

from recops.ops.residual_quantization.triton.beams import rq_encode_beams
from recops.ops.residual_quantization.triton.codes import (
    accumulate_codes,
    rq_decode,
    rq_decode_backward,
)
from recops.ops.residual_quantization.triton.launch import nearest_codes, rq_encode

__all__ = [
    "accumulate_codes",
    "nearest_codes",
    "rq_decode",
    "rq_decode_backward",
    "rq_encode",
    "rq_encode_beams",
]
