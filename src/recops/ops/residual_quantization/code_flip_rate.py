"""Share of codes that change under noise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recops._checks import FLOATS, INT64_MAX, check_integer, check_tensor
from recops._dtypes import compute_dtype, widest_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops.residual_quantization._codebooks import matching_codewords

__all__ = ["code_flip_rate"]

_MAX_SAMPLES = 2**20
"""Largest number of samples. It estimates the rate of a single row to about 0.0005."""
_MULTIPLY_ADDS = 2**34
"""Multiply-adds per call of the op. A call takes under a second, so Ctrl-C works in between."""


def code_flip_rate(
    x: Tensor, codebooks: Tensor | Iterable[Tensor], sigma: Tensor, *, samples: int, seed: int
) -> Tensor:
    """Estimate the share of codes that change when each level's residual gets Gaussian noise.

    Let r_l be the residual at level l of greedy encoding (:func:`rq_encode`) and s_l its code::

        flip_l = mean over rows and samples of 1[argmin_k ‖r_l + σ_l ε − c_lk‖² ≠ s_l], ε ~ N(0, I)

    Levels are independent: each level uses the residual of noise-free encoding. The codes of a
    collapsed codebook rarely flip, so a low rate alone is not a sign of quality.

    The noise depends only on seed, row, level, sample and dimension (Philox4x32-10 and the
    Box-Muller transform in float32), so the result is bit-identical at any thread count.

    Args:
        x: ``[N, D]`` float32, bfloat16, float16 or float64, any strides.
        codebooks: ``[L, K, D]``, or L tensors ``[K_l, D]``; of x's dtype, or float32 if x is
            16-bit. Codewords must be finite.
        sigma: ``[L]`` floating point, finite and ≥ 0: the standard deviation of the noise per
            dimension at each level, in units of x. At 0 no code flips.
        samples: number of noise samples per row and level, from 1 to 2^20.
        seed: any 64-bit integer.

    Returns:
        ``[L]`` float32 (float64 for float64). Rows that are not finite are skipped; NaN if all
        rows are skipped. Not differentiable.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, a codebook is empty, a codeword is not finite, a sigma is
            negative or not finite, or samples or seed are out of range.

    Time is O(N · samples · D · Σ K_l); no N × K matrix is made.

    Source: the perturbation of "Decoupled residual quantization for robust semantic IDs"
    (arXiv 2606.01844). The paper does not define the rate per level; it is our interpretation.

    Examples:
        >>> codebooks = torch.tensor([[[-1.0], [1.0]], [[-0.1], [0.1]]])
        >>> x, sigma = torch.tensor([[1.1], [-0.9]]), torch.tensor([0.01, 10.0])
        >>> rate = recops.code_flip_rate(x, codebooks, sigma, samples=1000, seed=0)
        >>> rate[0].item(), 0.45 < rate[1].item() < 0.55
        (0.0, True)
    """
    op = "code_flip_rate"
    check_tensor(op, "x", x, ndim=2, dtypes=FLOATS)
    codewords, sizes = matching_codewords(op, codebooks, x)
    check_tensor(op, "sigma", sigma, ndim=1, dtypes=FLOATS, device=x.device)
    if sigma.shape[0] != len(sizes):
        raise ValueError(
            f"{op}: sigma must have {len(sizes)} values, one per level, got {sigma.shape[0]}"
        )
    check_integer(op, "samples", samples, least=1, most=_MAX_SAMPLES)
    check_integer(op, "seed", seed, least=-INT64_MAX - 1, most=INT64_MAX)
    rows, block = x.shape[0], _rows_at_once(x.shape[1], sizes, samples)
    operands = (x.detach(), codewords.detach(), sizes, sigma.detach(), samples, seed)
    if torch.compiler.is_compiling() or rows <= block:
        counts = ops.code_flips(*operands, 0, rows)
    else:
        parts = [
            ops.code_flips(*operands, begin, min(begin + block, rows))
            for begin in range(0, rows, block)
        ]
        counts = torch.stack(parts).sum(0)
    counts = counts.to(widest_dtype(counts.device))
    return (counts[:-1] / (counts[-1] * samples)).to(compute_dtype(x.dtype))


def _rows_at_once(width: int, sizes: list[int], samples: int) -> int:
    return max(1, _MULTIPLY_ADDS // max(1, width * sum(sizes) * samples))


def _fake_code_flips(
    x: Tensor,
    codewords: Tensor,
    sizes: list[int],
    sigma: Tensor,
    samples: int,
    seed: int,
    begin: int,
    end: int,
) -> Tensor:
    return x.new_empty(len(sizes) + 1, dtype=torch.int64)


torch.library.register_fake("recops::code_flips", _fake_code_flips)
# Autocast computes in float32, as for encoding.
autocast_to_float32("code_flips")
