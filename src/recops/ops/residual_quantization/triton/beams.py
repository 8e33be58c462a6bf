"""Launchers of beam search and of the k nearest codewords.

Scores of rows with all codewords are computed once, in float32. Products between codewords of
different levels are in a table, so that a continuation of a path needs no residual. Each level then
selects the best continuations of each row, and the errors of the last paths order them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from recops._checks import check_integer
from recops.ops._composite import composite
from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.residual_quantization.composite import _check_bits, _Levels, _shift
from recops.ops.residual_quantization.triton.kernels.half_norms import half_norms
from recops.ops.residual_quantization.triton.kernels.paths import order_paths, path_errors
from recops.ops.residual_quantization.triton.kernels.products import store_products
from recops.ops.residual_quantization.triton.kernels.selection import (
    merge_lists,
    select_children,
)

MOST_BEAMS = 1024
MOST_LEVELS = 16
"""Largest number of levels, which kernels unroll."""

MOST_CODEWORDS = 1 << 21
"""Largest number of codewords, for the limit of a grid's second dimension."""

MOST_TABLE_VALUES = 1 << 28
"""Largest number of products between codewords of different levels: 1 GB."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_INT32_MAX = 2**31 - 1


class ProductTiles(NamedTuple):
    """Tile of the products of at most ``most_rows`` rows with codewords."""

    most_rows: int
    rows: int
    words: int
    dim: int
    num_warps: int


class BeamSelection(NamedTuple):
    """Number of continuations that one program selects from, for at most ``most_beams`` paths.

    ``entries`` is the number of entries of the lists that one program merges, but it merges at
    least two.
    """

    most_beams: int
    candidates: int
    entries: int


class ErrorTiles(NamedTuple):
    """Paths and columns of one program of the squared errors."""

    paths: int
    columns: int


class BeamConfiguration(NamedTuple):
    """Tile sizes of all kernels.

    ``chunk_values`` limits the entries of the workspace, which rows share chunk by chunk.
    """

    products: ProductTiles
    selection: BeamSelection
    errors: ErrorTiles = ErrorTiles(paths=8, columns=128)
    chunk_values: int = 1 << 25


PRODUCTS = (
    ProductTiles(most_rows=2048, rows=32, words=64, dim=32, num_warps=4),
    ProductTiles(most_rows=2**63, rows=128, words=64, dim=32, num_warps=8),
)
SELECTIONS = (
    BeamSelection(most_beams=128, candidates=1024, entries=1024),
    BeamSelection(most_beams=MOST_BEAMS, candidates=8192, entries=4096),
)
"""Tiles by size. They follow from instruction counts and were not tuned on a GPU."""


def rq_encode_beams(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], beam: int, num_paths: int, bits: int = 0
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::rq_encode_beams``. ``bits`` selects a method of the CPU kernel: no effect.

    Outside :func:`recops.debug`, a codeword that is not finite raises no error, because a check
    would wait for the device. Codes of the rows that it reaches are −1 and their errors NaN.
    """
    if beam == 1 or not fits(x, codewords, sizes, beam):
        result: tuple[Tensor, Tensor] = composite("rq_encode_beams")(
            x, codewords, sizes, beam, num_paths, bits
        )
        return result
    op = "rq_encode" if num_paths < beam else "rq_encode_beams"
    _Levels(op, "codebooks", x, codewords, sizes)  # checks the codewords where data is checked
    check_integer(op, "beam", beam, least=1, most=_INT32_MAX // max(sizes))
    check_integer(op, "kept", num_paths, least=1, most=beam)
    _check_bits(op, bits, 16)
    return search(x, codewords, sizes, beam, num_paths, is_strict=True)


def fits(x: Tensor, codewords: Tensor, sizes: Sequence[int], beam: int) -> bool:
    """Return whether the kernels can take a shape and its dtypes on this card."""
    if not (x.ndim == codewords.ndim == 2) or x.shape[1] != codewords.shape[1]:
        return False
    return (
        x.dtype in _DTYPES
        and codewords.dtype in _DTYPES
        and min(x.shape) > 0
        and 0 < len(sizes) <= MOST_LEVELS
        and min(sizes) > 0
        and sum(sizes) == len(codewords) <= MOST_CODEWORDS
        and 1 <= beam <= MOST_BEAMS
        and beam * max(sizes) <= _INT32_MAX
        and _table_values(sizes) <= MOST_TABLE_VALUES
        and capability(x) >= OLDEST_CAPABILITY
    )


def search(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    beam: int,
    num_paths: int,
    *,
    is_strict: bool,
    configuration: BeamConfiguration | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the best paths of each row on the current stream; see :func:`recops.rq_encode_beams`.

    Args:
        x: ``[N, D]`` that fits, as the other arguments.
        codewords: ``[Σ K_l, D]``.
        sizes: K_l.
        beam: number of paths per level.
        num_paths: number of paths that are returned, at most ``beam``.
        is_strict: whether any selected score that is not finite makes a row unknown; otherwise
            only one of +inf does.
        configuration: launch configuration; by default that of the table.

    Returns:
        Codes ``[N, num_paths, L]`` int32 and squared errors ``[N, num_paths]`` float32.
    """
    x, codewords = x.contiguous(), codewords.contiguous()
    configuration = configuration or select(len(x), beam)
    codes = x.new_empty((len(x), num_paths, len(sizes)), dtype=torch.int32)
    errors = x.new_empty((len(x), num_paths), dtype=torch.float32)
    with on_device(x):
        chunks = _Search(configuration, codewords, sizes, beam, is_strict)
        rows = max(1, configuration.chunk_values // chunks.values_per_row)
        for first in range(0, len(x), rows):
            own = slice(first, first + rows)
            chunks.encode(x[own], codes[own], errors[own])
    return codes, errors


def select(rows: int, beam: int) -> BeamConfiguration:
    """Return the configuration for a number of rows and of paths."""
    return BeamConfiguration(
        next(tiles for tiles in PRODUCTS if rows <= tiles.most_rows),
        next(tiles for tiles in SELECTIONS if beam <= tiles.most_beams),
    )


class _Segments(NamedTuple):
    """Blocks of paths and codes, one program each, that divide the continuations of a level."""

    parents: int
    codes: int
    grid: tuple[int, int]


class _Search:
    """Codewords and their products, and the launches that encode a chunk of rows."""

    def __init__(
        self,
        configuration: BeamConfiguration,
        codewords: Tensor,
        sizes: Sequence[int],
        beam: int,
        is_strict: bool,
    ) -> None:
        self.configuration, self.codewords, self.sizes = configuration, codewords, tuple(sizes)
        self.beam, self.is_strict = beam, is_strict
        self.starts = tuple(accumulate(sizes, initial=0))
        wide = codewords.float()
        self.shift = _shift(wide[: sizes[0]])
        self.words = torch.cat([wide[: sizes[0]] - self.shift, wide[sizes[0] :]])
        self.halves = wide.new_empty(len(wide))
        no_shift = torch.zeros_like(self.shift)
        half_norms[(-(-len(wide) // 32),)](
            self.words, no_shift, self.halves, 0, len(wide), wide.shape[1], BLOCK_CODES=32,
            num_warps=1, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
        self.tables = [self._table(level) for level in range(1, len(sizes))]
        # Numbers of paths before each level, and after the last.
        self.paths = [1, *(min(beam, prod(sizes[: level + 1])) for level in range(len(sizes)))]
        lists = [prod(self._segments(level).grid) for level in range(len(sizes))]
        self.values_per_row = len(wide) + beam * (2 * len(sizes) + 4 * max(lists))

    def encode(self, x: Tensor, codes: Tensor, errors: Tensor) -> None:
        """Write the codes and errors of one chunk."""
        rows, levels, beam = len(x), len(self.sizes), self.beam
        tiles, block = self.configuration.errors, _power_of_two(beam)
        warps, others = _comparison(block)
        base = self.words.new_empty((rows, len(self.words)))
        self._products(x, self.words, base, self.shift, self.halves)
        positions = base.new_empty((levels, rows, beam), dtype=torch.int32)
        scores = base.new_empty((levels, rows, beam))
        for level in range(levels):
            self._select(level, base, positions, scores)
        sizes = {"SIZES": self.sizes, "LEVELS": levels}
        path_error = base.new_empty((rows, beam))
        last = self.paths[-1]
        path_errors[(rows, -(-last // tiles.paths))](
            x, self.codewords, positions, path_error, x.shape[1], last, beam, rows * beam, **sizes,
            STARTS=self.starts, BLOCK_PATHS=tiles.paths, BLOCK_DIM=tiles.columns, num_warps=4,
            num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
        order_paths[(rows,)](
            x, positions, scores, path_error, codes, errors, x.shape[1], last, beam,
            errors.shape[1], rows * beam, **sizes, STRICT=self.is_strict, BLOCK_BEAM=block,
            BLOCK_OTHERS=others, BLOCK_DIM=256, num_warps=warps, num_stages=1,
            enable_fp_fusion=True,
        )  # fmt: skip

    def _select(self, level: int, base: Tensor, positions: Tensor, scores: Tensor) -> None:
        """Select the paths of a level: in segments, whose lists are then merged."""
        segments, rows, beam = self._segments(level), len(base), self.beam
        block = _power_of_two(beam)
        lists = prod(segments.grid)
        result = positions[level], scores[level]
        target = result if lists == 1 else _new_lists(base, lists, beam)
        candidates = segments.parents * segments.codes
        grid = (rows, *segments.grid)
        select_children[grid](
            base, self.tables[level - 1] if level else None, positions, scores, *target,
            base.shape[1], self.paths[level], beam, rows * beam, SIZES=self.sizes,
            STARTS=self.starts, LEVEL=level, STRICT=self.is_strict,
            BLOCK_PARENTS=segments.parents, BLOCK_CODES=segments.codes, BLOCK_BEAM=min(block, 128),
            num_warps=_warps(candidates), num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip
        most = max(2, self.configuration.selection.entries // block)
        while lists > 1:
            of_program = min(_power_of_two(lists), most)
            merged = -(-lists // of_program)
            source, target = target, result if merged == 1 else _new_lists(base, merged, beam)
            merge_lists[(rows, merged)](
                *source, *target, lists, beam, STRICT=self.is_strict, BLOCK_LISTS=of_program,
                BLOCK_BEAM=block, num_warps=_merge_warps(of_program * block), num_stages=1,
                enable_fp_fusion=True,
            )  # fmt: skip
            lists = merged

    def _segments(self, level: int) -> _Segments:
        size, parents = self.sizes[level], self.paths[level]
        most = self.configuration.selection.candidates
        codes = min(_power_of_two(size), most)
        block = min(_power_of_two(parents), most // codes)
        return _Segments(block, codes, (-(-parents // block), -(-size // codes)))

    def _table(self, level: int) -> Tensor:
        """Return the products of all codewords of earlier levels with those of a level."""
        start, end = self.starts[level], self.starts[level + 1]
        table = self.words.new_empty((start, end - start))
        self._products(self.words[:start], self.words[start:end], table, None, None)
        return table

    def _products(
        self, rows: Tensor, words: Tensor, out: Tensor, shift: Tensor | None, halves: Tensor | None
    ) -> None:
        tiles = self.configuration.products
        store_products[(-(-len(rows) // tiles.rows), -(-len(words) // tiles.words))](
            rows, shift, words, halves, out, len(rows), len(words), words.shape[1],
            BLOCK_ROWS=tiles.rows, BLOCK_WORDS=tiles.words, BLOCK_DIM=tiles.dim,
            num_warps=tiles.num_warps, num_stages=2, enable_fp_fusion=True,
        )  # fmt: skip


def _warps(candidates: int) -> int:
    """Return the number of warps of a selection, so that a thread has at most 32 candidates."""
    return max(1, min(8, candidates // 1024))


def _merge_warps(entries: int) -> int:
    """Return the number of warps of a merge.

    A thread has 16 entries in large merges: with 32, lists of 512 do not fit in its registers.
    """
    return 1 if entries <= 1024 else entries // 512


def _comparison(block: int) -> tuple[int, int]:
    """Return the warps that rank ``block`` paths, and how many other paths they compare at once.

    A thread has at most 32 pairs, because more would not fit in its registers.
    """
    warps = max(1, min(8, block // 128))
    return warps, max(8, min(32, 1024 * warps // block))


def _new_lists(base: Tensor, lists: int, beam: int) -> tuple[Tensor, Tensor]:
    """Return lists of positions and scores for each row of ``base``."""
    shape = (len(base), lists, beam)
    return base.new_empty(shape, dtype=torch.int32), base.new_empty(shape)


def _power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()


def _table_values(sizes: Sequence[int]) -> int:
    starts = accumulate(sizes, initial=0)
    return sum(start * size for start, size in zip(starts, sizes, strict=False))
