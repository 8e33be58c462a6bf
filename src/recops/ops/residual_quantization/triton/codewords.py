"""Codewords in the form that the kernels read, prepared once per call without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops.residual_quantization.composite import _shift
from recops.ops.residual_quantization.triton.kernels.half_norms import half_norms
from recops.ops.residual_quantization.triton.table import Configuration

_LARGEST_EXPONENT = 4
"""The largest entry of scaled codewords is 8 to 16, as that of scaled rows."""

_MOST_EXPONENT = 40
"""Levels whose scale is outside 2^-40 … 2^40 are decided in float32."""

_LEAST_SHARE = 2.0**-12
"""Norms below this share of the largest count as this share. Small codewords lose more digits."""

_LEAST_NORM = 1e-15
_STEP = 2.0**-24


class Codewords(NamedTuple):
    """Codewords of all levels: exact, rounded, and with bounds.

    ``facts [L, 4]`` holds per level 1/t, for the power of two t by which codewords are scaled; the
    largest ratio of γ to κ; and the largest κ. κ bounds the norm of a scaled codeword, and γ the
    norm of what rounding took from it. The second fact is +inf where only float32 can decide. The
    last column is unused: it aligns the levels to 16 bytes.
    """

    words: Tensor  # [Σ K_l, D], as given
    rounded: Tensor  # [Σ K_l + padding, padded D]
    halves: Tensor  # [Σ K_l] float32: ½‖c‖²
    scaled_halves: Tensor  # [Σ K_l] float32: ½‖t c‖²
    norms: Tensor  # [Σ K_l] float32: κ
    facts: Tensor  # [L, 4] float32
    starts: Tensor  # [L + 1] int32: first codeword of each level
    shift: Tensor  # [D] float32, of level 0
    no_shift: Tensor  # [D] float32: zeros, of the other levels
    is_bad: Tensor  # [1] int32: whether a codeword or its squared norm is not finite


def prepare(words: Tensor, sizes: Sequence[int], configuration: Configuration) -> Codewords:
    """Shift, scale and round the codewords of all levels.

    Args:
        words: ``[Σ K_l, D]``, contiguous.
        sizes: K_l.
        configuration: launch configuration.
    """
    total, dim = words.shape
    scan = configuration.kernels["scan_codewords"].tiles
    padded_dim = -(-dim // scan["BLOCK_DIM"]) * scan["BLOCK_DIM"]
    operand: torch.dtype = getattr(torch, configuration.operand)
    rounded = words.new_zeros((total + scan["BLOCK_CODES"], padded_dim), dtype=operand)
    halves, scaled_halves, norms = (words.new_empty(total, dtype=torch.float32) for _ in range(3))
    facts = words.new_empty((len(sizes), 4), dtype=torch.float32)
    starts = words.new_zeros(len(sizes) + 1, dtype=torch.int32)
    shift = _shift(words[: sizes[0]].float())
    no_shift = torch.zeros_like(shift)
    launch = configuration.kernels["half_norms"]
    inflation = 1 + (dim + 16) * _STEP
    start = 0
    for level, size in enumerate(sizes):
        own = slice(start, start + size)
        offset = no_shift if level else shift
        half_norms[(-(-size // launch.tiles["BLOCK_CODES"]),)](
            words, offset, halves, start, size, dim, **launch.tiles, num_warps=launch.num_warps,
            num_stages=launch.num_stages, enable_fp_fusion=True,
        )  # fmt: skip
        wide = words[own].float() - offset
        exponent = _LARGEST_EXPONENT - torch.frexp(wide.abs().amax())[1]
        in_range = exponent.abs() <= _MOST_EXPONENT
        exponent = exponent.where(in_range, 0)
        scale = ((exponent + 127) << 23).view(torch.float32)  # exactly 2 to the exponent
        wide = (wide * scale).where(in_range, 0)
        rounded[own, :dim] = wide
        lost = torch.linalg.vector_norm(wide - rounded[own, :dim].float(), dim=1) * inflation
        norm = torch.linalg.vector_norm(wide, dim=1) * inflation
        largest = norm.amax() + _LEAST_NORM
        norms[own] = norm.clamp(min=largest * _LEAST_SHARE)
        scaled_halves[own] = halves[own] * scale * scale
        loss = ((lost + _LEAST_NORM) / norms[own]).amax() * inflation
        facts[level, :3] = torch.stack([1 / scale, loss.where(in_range, torch.inf), largest])
        start += size
        starts[level + 1 :] += size
    is_bad = ~(halves.isfinite().all() & words.isfinite().all())
    return Codewords(
        words, rounded, halves, scaled_halves, norms, facts, starts, shift, no_shift,
        is_bad.to(torch.int32)[None],
    )  # fmt: skip
