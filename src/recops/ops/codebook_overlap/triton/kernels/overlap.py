"""Overlap of two Gaussians as a function of the squared distance of their centres."""

from __future__ import annotations

import triton
import triton.language as tl

_LOG2_E = tl.constexpr(1.4426950408889634)
_TWO_OVER_ROOT_PI = tl.constexpr(1.1283791670955126)


@triton.jit
def _decay(exponent):
    """Return 2^exponent for exponents of at most 0, at least 2^-126; NaN stays NaN."""
    power = tl.exp2(tl.where(exponent < -126.0, -126.0, exponent))
    return tl.where(power > 1.0, 1.0, power)


@triton.jit
def _complementary_error(x, square):
    """Return erfc(x) for x ≥ 0; csrc/codebook_overlap/distance_kernels-inl.h has the method."""
    t = 1 / (1 + x / 2)
    p = t * 0.21953675 - 1.03896772
    p = p * t + 1.80190451
    p = p * t - 1.18089868
    p = p * t + 0.02935955
    p = p * t - 0.07482035
    p = p * t + 0.07578867
    p = p * t + 0.55244335
    p = p * t + 1.44133950
    p = p * t - 1.82568550
    return t * _decay(p - square * _LOG2_E)


@triton.jit
def overlap_and_slope(sq_distance, scale, MINIMUM: tl.constexpr):
    """Return κ_ij, and the slope for which slope · (c_j − c_i) = ∂κ_ij/∂c_i.

    ``scale · sq_distance`` is the exponent of the Gaussian: δ²/8σ² or δ²/4σ². With ``MINIMUM``, κ
    is erfc of its root, whose slope counts as 0 at the cusp.
    """
    square = sq_distance * scale
    if MINIMUM:
        root = tl.sqrt_rn(square)
        is_equal = square == 0
        overlap = tl.where(is_equal, 1.0, _complementary_error(root, square))
        overlap = tl.where(overlap > 1.0, 1.0, overlap)
        slope = _decay(square * -_LOG2_E) / tl.where(is_equal, 1.0, root)
        slope = tl.where(is_equal, 0.0, slope * (_TWO_OVER_ROOT_PI * scale))
    else:
        overlap = _decay(square * -_LOG2_E)
        slope = overlap * (2 * scale)
    return overlap, slope
