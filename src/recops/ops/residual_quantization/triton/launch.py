"""Launchers of greedy encoding: one chunk of rows after another, one level after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from recops._debug import checks_data
from recops.ops._composite import composite
from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.residual_quantization.composite import _check_bits, _Levels
from recops.ops.residual_quantization.triton import beams
from recops.ops.residual_quantization.triton.codewords import Codewords, prepare
from recops.ops.residual_quantization.triton.kernels.exact import (
    NO_KEY,
    decide_pairs,
    score_all,
    write_listed,
)
from recops.ops.residual_quantization.triton.kernels.residuals import (
    round_residuals,
    squared_errors,
)
from recops.ops.residual_quantization.triton.kernels.scan import scan_codewords
from recops.ops.residual_quantization.triton.table import Configuration, select

MOST_DIMENSIONS = 32768
"""Bounds on rounding are derived for at most this many dimensions."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_INT32_MAX = 2**31 - 1

# The interpreter multiplies bfloat16 wrongly, so operands become float32 there.
_UPCAST = isinstance(scan_codewords, InterpretedFunction)


def rq_encode(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], bits: int = 0
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::rq_encode``. ``bits`` selects a method of the CPU kernel: no effect.

    Outside :func:`recops.debug`, a codeword that is not finite raises no error, because a check
    would wait for the device. All codes are then −1 and all errors NaN.
    """
    if not _fits(x, codewords, sizes):
        result: tuple[Tensor, Tensor] = composite("rq_encode")(x, codewords, sizes, bits)
        return result
    _check_bits("rq_encode", bits, 8, 16)
    _check_codewords("rq_encode", "codebooks", x, codewords, sizes)
    return encode(x, codewords, sizes)


def nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute ``recops::nearest_codes`` as one level of ``rq_encode``, or of a beam search."""
    sizes = [len(codebook)]
    fits = _fits(x, codebook, sizes) if k == 1 else beams.fits(x, codebook, sizes, k)
    if not fits or k > len(codebook):
        result: tuple[Tensor, Tensor] = composite("nearest_codes")(x, codebook, k)
        return result
    _check_codewords("nearest_codes", "codebook", x, codebook, sizes)
    if k == 1:
        index, sq_distance = encode(x, codebook, sizes)
        return index, sq_distance[:, None]
    paths, sq_distance = beams.search(x, codebook, sizes, k, k, is_strict=False)
    return paths[:, :, 0], sq_distance


def _check_codewords(
    op: str, name: str, x: Tensor, codewords: Tensor, sizes: Sequence[int]
) -> None:
    """Check that the codewords and their squared norms are finite; see :func:`recops.debug`."""
    if checks_data(x):
        _Levels(op, name, x, codewords, sizes)


def _fits(x: Tensor, codewords: Tensor, sizes: Sequence[int]) -> bool:
    """Return whether the kernels can take a shape and its dtypes on this card."""
    if not (x.ndim == codewords.ndim == 2) or x.shape[1] != codewords.shape[1]:
        return False
    rows, dim = x.shape
    return (
        x.dtype in _DTYPES
        and codewords.dtype in _DTYPES
        and rows > 0
        and 1 <= dim <= MOST_DIMENSIONS
        and len(sizes) > 0
        and min(sizes) > 0
        and sum(sizes) == len(codewords)
        # Kernels address rounded codewords by 32-bit integers; 1024 exceeds every tile.
        and (len(codewords) + 1024) * (dim + 1024) <= _INT32_MAX
        and (not x.is_cuda or capability(x) >= OLDEST_CAPABILITY)
    )


def encode(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    configuration: Configuration | None = None,
) -> tuple[Tensor, Tensor]:
    """Encode rows greedily on the current stream; see :func:`recops.rq_encode`.

    Args:
        x: ``[N, D]`` float32, bfloat16 or float16, N and D at least 1.
        codewords: ``[Σ K_l, D]``, each K_l at least 1.
        sizes: K_l.
        configuration: launch configuration; by default that of the table.

    Returns:
        Codes ``[N, L]`` int32 and squared errors ``[N]`` float32.
    """
    rows, dim = x.shape
    configuration = configuration or select(capability(x), rows, dim, max(sizes))
    x, codewords = x.contiguous(), codewords.contiguous()
    codes = x.new_empty((rows, len(sizes)), dtype=torch.int32)
    errors = x.new_empty(rows, dtype=torch.float32)
    with on_device(x):
        words = prepare(codewords, sizes, configuration)
        chunk = _Chunks(configuration, words, rows)
        for first in range(0, rows, chunk.capacity):
            own = slice(first, first + chunk.capacity)
            chunk.encode(x[own], sizes, codes[own], errors[own])
    return codes, errors


class _Chunks:
    """Workspace of one chunk of rows, and the launches that encode it."""

    def __init__(self, configuration: Configuration, words: Codewords, rows: int) -> None:
        self.configuration, self.words = configuration, words
        self.padded_dim = words.rounded.shape[1]
        block = max(
            configuration.kernels[name].tiles["BLOCK_ROWS"]
            for name in ("round_residuals", "scan_codewords")
        )
        most = max(configuration.chunk_values // self.padded_dim // block, 1) * block
        self.capacity = min(most, -(-rows // block) * block)
        new = words.facts.new_empty
        self.rounded = new((self.capacity, self.padded_dim), dtype=words.rounded.dtype)
        self.ratio, self.bound = new((2, self.capacity)).unbind()
        self.pairs = new((3, self.capacity), dtype=torch.int32)
        self.listed = new(self.capacity, dtype=torch.int32)
        self.keys = new(self.capacity, dtype=torch.int64).fill_(NO_KEY)
        # Lengths of the two lists of each level, aligned to 16 bytes.
        self.counts = new((0, 4), dtype=torch.int32)

    def encode(self, x: Tensor, sizes: Sequence[int], codes: Tensor, errors: Tensor) -> None:
        """Write the codes and errors of one chunk."""
        rows, dim = x.shape
        levels, words = len(sizes), self.words
        self.counts = codes.new_zeros((levels, 4))
        programs = self.configuration.programs
        padded_rows = self._blocks("scan_codewords", "BLOCK_ROWS", rows) * self._tile(
            "scan_codewords", "BLOCK_ROWS"
        )
        start = 0
        for level, size in enumerate(sizes):
            shift = words.no_shift if level else words.shift
            source = (x, words.words, words.starts, codes, shift)
            facts, count = words.facts[level], self.counts[level]
            self._launch(
                round_residuals, (self._blocks("round_residuals", "BLOCK_ROWS", padded_rows),),
                *source, words.is_bad, facts, self.rounded, self.ratio, self.bound,
                rows, dim, self.padded_dim, level, levels,
                BLOCK_CODES=self._tile("scan_codewords", "BLOCK_CODES"),
            )  # fmt: skip
            self._launch(
                scan_codewords, (self._blocks("scan_codewords", "BLOCK_ROWS", rows),),
                self.rounded, words.rounded, self.ratio, self.bound, words.scaled_halves,
                words.norms, codes, count, self.pairs, self.listed,
                rows, self.capacity, self.padded_dim, start, size, level, levels,
                UPCAST=_UPCAST,
            )  # fmt: skip
            self._launch(
                decide_pairs, (min(self._blocks("decide_pairs", "BLOCK_ROWS", rows), programs),),
                *source, words.halves, count, self.pairs, self.listed,
                self.capacity, dim, start, level, levels,
            )  # fmt: skip
            blocks = self._blocks("score_all", "BLOCK_CODES", size)
            by_rows = min(self._blocks("score_all", "BLOCK_ROWS", rows), max(programs // blocks, 1))
            self._launch(
                score_all, (by_rows, blocks),
                *source, words.halves, count, self.listed, self.keys,
                dim, start, size, level, levels,
            )  # fmt: skip
            self._launch(
                write_listed, (min(self._blocks("write_listed", "BLOCK_ROWS", rows), programs),),
                count, self.listed, self.keys, codes, level, levels,
            )  # fmt: skip
            start += size
        self._launch(
            squared_errors, (self._blocks("squared_errors", "BLOCK_ROWS", rows),),
            x, words.words, words.starts, codes, words.no_shift, errors,
            rows, dim, self.padded_dim, levels,
        )  # fmt: skip

    def _tile(self, kernel: str, name: str) -> int:
        return self.configuration.kernels[kernel].tiles[name]

    def _blocks(self, kernel: str, name: str, count: int) -> int:
        return -(-count // self._tile(kernel, name))

    def _launch(self, kernel: Any, grid: tuple[int, ...], *arguments: object, **more: int) -> None:
        launch = self.configuration.kernels[kernel.fn.__name__]
        kernel[grid](
            *arguments,
            **launch.tiles,
            **more,
            num_warps=launch.num_warps,
            num_stages=launch.num_stages,
            enable_fp_fusion=True,  # The default varies between versions of Triton.
        )
