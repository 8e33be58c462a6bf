"""Launchers of codebook overlap and its gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recops.ops._composite import composite
from recops.ops._data_checks import DataChecks
from recops.ops._shapes import check_numel, check_shape
from recops.ops._triton_device import OLDEST_CAPABILITY, capability, on_device
from recops.ops.codebook_overlap.composite import _WIDTHS, _check_arguments, _not_finite
from recops.ops.codebook_overlap.triton.kernels.pairs import sum_forces, sum_overlaps

_MOST_SIZE = 1 << 24
_MOST_VALUES = 2**31 - 1


class OverlapTiles(NamedTuple):
    """Tile sizes of both kernels. They were not tuned on a GPU.

    A thread of the only warp holds all rows of a few columns, so that loads do not limit the sums.

    A program sums over at least ``split`` codewords, and there are at most ``most_splits`` sums per
    codeword, which are added in order. ``forces`` is the largest number of pairs whose forces are
    stored at once. The gradient of a minimum takes half of ``backward_rows``, because it needs more
    registers per pair.
    """

    rows: int = 16
    backward_rows: int = 8
    others: int = 128
    dim: int = 4
    force_rows: int = 16
    force_dim: int = 64
    unroll: int = 4
    split: int = 512
    most_splits: int = 16
    forces: int = 1 << 24
    num_warps: int = 1


TILES = OverlapTiles()


def codebook_overlap(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::codebook_overlap``.

    Outside :func:`recops.debug`, a value that is not finite raises no error, because a check would
    wait for the device. The results that it reaches are then NaN.
    """
    if not _fits(codebook, usage):
        result: tuple[Tensor, Tensor] = composite("codebook_overlap")(
            codebook, usage, sigma, kernel
        )
        return result
    _check_arguments(codebook, usage, sigma, kernel)
    checks = DataChecks(optional=True)
    for name, values in (("codebook", codebook), ("usage", usage)):
        checks.add(~values.isfinite(), _not_finite(name))
    checks.read()
    return overlaps(codebook, usage, sigma, kernel)


def codebook_overlap_backward(
    grad_overlap: Tensor,
    grad_row_sums: Tensor,
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of codebook and usage."""
    op = "codebook_overlap_backward"
    grads = (grad_overlap, grad_row_sums)
    if not _fits(codebook, usage, *grads) or codebook.shape[1] == 0:
        result: tuple[Tensor, Tensor] = composite(op)(*grads, codebook, usage, sigma, kernel)
        return result
    _check_arguments(codebook, usage, sigma, kernel)
    check_numel("codebook_overlap", "grad_overlap", grad_overlap, 1)
    check_shape("codebook_overlap", "grad_row_sums", grad_row_sums, len(codebook))
    return gradients(*grads, codebook, usage, sigma, kernel)


def overlaps(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str, tiles: OverlapTiles = TILES
) -> tuple[Tensor, Tensor]:
    """Return the overlap and the row sums on the current stream; see :func:`codebook_overlap`.

    Args:
        codebook: ``[K, D]`` float32, K at least 1.
        usage: ``[K]`` float32.
        sigma: σ.
        kernel: name of the overlap.
        tiles: tile sizes.
    """
    pairs = _Pairs(codebook, usage, sigma, kernel, tiles)
    with on_device(codebook):
        sums = pairs.new_sums()
        pairs.sum_overlaps(usage, sums, 0, len(codebook), None, None)
    row_sums = _total(sums)
    return (usage * row_sums).sum(), row_sums


def gradients(
    grad_overlap: Tensor,
    grad_row_sums: Tensor,
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
    tiles: OverlapTiles = TILES,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of codebook and usage on the current stream, see above.

    With a = g_overlap · u + g_rows, the gradient of usage is κ (a + g_overlap · u).
    """
    pairs = _Pairs(codebook, usage, sigma, kernel, tiles)
    size, dim = codebook.shape
    share = grad_overlap.reshape(()) * usage
    grad = share + grad_row_sums
    sums = pairs.new_sums()
    grad_codebook = codebook.new_empty((len(sums), size, dim))
    block = max(1, min(size, tiles.forces // size))
    with on_device(codebook):
        forces = codebook.new_empty((block, size))
        for first in range(0, size, block):
            count = min(block, size - first)
            pairs.sum_overlaps(grad + share, sums, first, count, grad, forces)
            pairs.sum_forces(forces, grad_codebook, first, count)
    return _total(grad_codebook), _total(sums)


class _Pairs:
    """Launches of both kernels for one codebook."""

    def __init__(
        self, codebook: Tensor, usage: Tensor, sigma: float, kernel: str, tiles: OverlapTiles
    ) -> None:
        self.codebook, self.usage, self.tiles = codebook.contiguous(), usage.contiguous(), tiles
        padding = -codebook.shape[1] % tiles.dim
        self.columns = torch.nn.functional.pad(codebook.t(), (0, 0, 0, padding)).contiguous()
        self.is_minimum = kernel == "minimum"
        self.scale = 1 / (_WIDTHS["bhattacharyya" if self.is_minimum else kernel] * sigma * sigma)
        size = len(codebook)
        most = -(-size // (tiles.most_splits * tiles.split)) * tiles.split
        self.split = max(tiles.split, most)
        self.splits = -(-size // self.split)

    def new_sums(self) -> Tensor:
        """Return sums of every split for every codeword, not initialised."""
        return self.codebook.new_empty((self.splits, len(self.codebook)))

    def sum_overlaps(
        self,
        values: Tensor,
        sums: Tensor,
        first: int,
        count: int,
        grad: Tensor | None,
        forces: Tensor | None,
    ) -> None:
        """Write the sums of ``count`` codewords from ``first`` on, and their forces."""
        size, tiles = len(self.codebook), self.tiles
        backward_rows = tiles.backward_rows // 2 if self.is_minimum else tiles.backward_rows
        rows = tiles.rows if forces is None else backward_rows
        sum_overlaps[(-(-count // rows), self.splits)](
            self.columns, values.contiguous(), None if grad is None else self.usage, grad, sums,
            forces, size, len(self.columns), first, count, self.scale, MINIMUM=self.is_minimum,
            SPLIT=self.split, BLOCK_ROWS=rows, BLOCK_OTHERS=tiles.others,
            BLOCK_DIM=tiles.dim, num_warps=tiles.num_warps, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip

    def sum_forces(self, forces: Tensor, sums: Tensor, first: int, count: int) -> None:
        """Write the gradients of ``count`` codewords from ``first`` on."""
        size, dim = self.codebook.shape
        tiles = self.tiles
        grid = (-(-count // tiles.force_rows), -(-dim // tiles.force_dim), self.splits)
        sum_forces[grid](
            self.codebook, forces, sums, size, dim, first, count, SPLIT=self.split,
            UNROLL=tiles.unroll, BLOCK_ROWS=tiles.force_rows, BLOCK_DIM=tiles.force_dim,
            num_warps=tiles.num_warps, num_stages=1, enable_fp_fusion=True,
        )  # fmt: skip


def _total(sums: Tensor) -> Tensor:
    """Return the sum over splits, added in order."""
    return sums[0] if len(sums) == 1 else sums.sum(0)


def _fits(codebook: Tensor, *values: Tensor) -> bool:
    """Return whether the kernels can take a codebook and its vectors."""
    return (
        codebook.ndim == 2
        and all(each.dtype == torch.float32 for each in (codebook, *values))
        and 0 < len(codebook) <= _MOST_SIZE
        and codebook.numel() <= _MOST_VALUES
        and capability(codebook) >= OLDEST_CAPABILITY
    )
