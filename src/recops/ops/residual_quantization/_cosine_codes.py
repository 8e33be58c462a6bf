"""Codes by cosine, computed by the kernels of squared distance.

With the direction u(x) = x/‖x‖, ‖u(x) − u(c)‖² = 2 − 2 cos(x, c). The largest cosine is therefore
the smallest distance between directions. A zero vector has no direction, and its cosine with any
vector counts as 0. An extra dimension represents zero codewords, at distance √2 from every
direction. A zero row has the same distance to all codewords and takes the lowest codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._dtypes import compute_dtype, widened
from recops._host import is_on_host
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._data_checks import DataChecks
from recops.ops.residual_quantization._codebooks import fake_nearest

_CPU_BLOCK_ROWS, _BLOCK_ROWS = 2048, 1 << 17
"""Rows per block, on the CPU and on other devices.

On the CPU, the directions and the beam search of one block stay in cache. On another device, each
block waits for the checks of the ops.
"""

_MIN_NORM = 1e-15
"""Smallest norm whose square float32 holds; the largest such norm is its inverse."""


@torch.library.custom_op("recops::cosine_nearest_codes", mutates_args=())
def _cosine_nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    words = _directions(codebook, x, "nearest_codes: codebook", checks := DataChecks(optional=True))
    checks.read()
    return _nearest(x, words, k)


@torch.library.custom_op(
    "recops::cosine_rq_encode",
    mutates_args=(),
    schema="(Tensor x, Tensor codewords, SymInt[] sizes, SymInt beam, SymInt kept) "
    "-> (Tensor, Tensor)",
)
def _cosine_rq_encode(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], beam: int, num_paths: int
) -> tuple[Tensor, Tensor]:
    """Return the best paths: codes ``[N, num_paths, L]`` and squared errors ``[N, num_paths]``."""
    checks = DataChecks(optional=True)
    levels = [
        (book, _directions(book, x, f"rq_encode: codebooks[{level}]", checks))
        for level, book in enumerate(codewords.split(sizes))
    ]
    checks.read()
    codes = x.new_full((len(x), num_paths, len(levels)), -1, dtype=torch.int32)
    sq_error = x.new_full((len(x), num_paths), torch.inf, dtype=compute_dtype(x.dtype))
    rows = _CPU_BLOCK_ROWS if is_on_host(x) else _BLOCK_ROWS
    for first in range(0, len(x), rows):
        block = slice(first, first + rows)
        paths, errors = _greedy(x[block], levels) if beam == 1 else _beams(x[block], levels, beam)
        codes[block, : paths.shape[1]] = paths[:, :num_paths]
        sq_error[block, : errors.shape[1]] = errors[:, :num_paths]
    not_finite = _length(x)[:, 0].isnan()
    codes.masked_fill_(not_finite[:, None, None], -1)
    return codes, sq_error.masked_fill_(not_finite[:, None], torch.nan)


def _greedy(x: Tensor, levels: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the path of nearest codewords ``[n, 1, L]`` and its squared error ``[n, 1]``."""
    residual = x.to(compute_dtype(x.dtype), copy=True)
    codes = x.new_empty((len(x), 1, len(levels)), dtype=torch.int32)
    for level, (book, words) in enumerate(levels):
        index, _ = _nearest(residual, words, 1)
        residual -= ops.rq_decode(index, book, [len(book)])
        codes[:, 0, level] = index[:, 0]
    return codes, residual.square().sum(1, keepdim=True)


def _beams(x: Tensor, levels: list[tuple[Tensor, Tensor]], beam: int) -> tuple[Tensor, Tensor]:
    """Return the best paths ``[n, ≤ beam, L]`` by squared error, and their squared errors."""
    rows, dim = x.shape
    residual = widened(x)[:, None]  # (n, beams, D), in the order of paths
    paths = x.new_empty((rows, 1, 0), dtype=torch.int32)
    path_score = residual.new_zeros((rows, 1))  # Σ 2 − 2 cos
    for book, words in levels:
        k = min(beam, len(book))
        # At most `beam` continuations of one parent can survive.
        index, distance = _nearest(residual.flatten(0, 1), words, k)
        index, order = index.sort(dim=1)
        candidates = (rows, paths.shape[1] * k)
        distance = distance.gather(1, order).view(candidates)
        score = path_score.repeat_interleave(k, 1) + distance  # in the order of paths
        best = score.sort(dim=1, stable=True).indices[:, :beam].sort(dim=1).values
        path_score = score.gather(1, best)
        codes = index.view(candidates).gather(1, best)
        parents = (best // k)[:, :, None]
        paths = paths.gather(1, parents.expand(-1, -1, paths.shape[2]))
        paths = torch.cat([paths, codes[:, :, None]], dim=2)
        chosen = ops.rq_decode(codes.view(-1, 1), book, [len(book)])
        residual = residual.gather(1, parents.expand(-1, -1, dim))
        residual = residual - chosen.view(residual.shape)
    sq_error, order = residual.square().sum(2).sort(dim=1, stable=True)
    return paths.gather(1, order[:, :, None].expand_as(paths)), sq_error


def _nearest(x: Tensor, words: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest of the directions ``words [K, D + 1]``, and 2 − 2 cos of each."""
    length = _length(x)
    scaled = torch.empty((len(x), words.shape[1]), dtype=length.dtype, device=x.device)
    torch.div(x, length.where(length != 0, 1), out=scaled[:, :-1])
    scaled[:, -1] = 0
    index, distance = ops.nearest_codes(scaled, words, k)
    lowest = torch.arange(k, dtype=torch.int32, device=x.device)
    return index.where(length != 0, lowest), distance.where(length != 0, 2)


def _directions(codebook: Tensor, x: Tensor, name: str, checks: DataChecks) -> Tensor:
    """Return the directions of codewords ``[K, D + 1]``; the last column is 1 for zero codewords.

    ``checks`` gains the check that lengths are finite.
    """
    if not len(codebook):
        raise ValueError(f"{name} must hold at least one codeword, got none")
    wide = codebook.to(compute_dtype(x.dtype))
    length = _length(wide)

    def error(wrong: list[int]) -> Exception:
        norm = float(torch.linalg.vector_norm(wide[wrong[0]]))
        return ValueError(f"{name}[{wrong[0]}] must have a finite norm, got {norm}")

    checks.add(length.isnan(), error)
    zero = length == 0
    return torch.cat([wide / length.where(~zero, 1), zero.to(wide.dtype)], dim=1)


def _length(x: Tensor) -> Tensor:
    """Return the norm of each row ``[N, 1]`` in the dtype of computation, NaN if not finite."""
    wide = widened(x)
    if not is_on_host(wide):  # A branch would wait for the device, and MPS has no float64.
        return _scaled_length(wide)
    length: Tensor = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    extreme = ~((length > _MIN_NORM) & (length < 1 / _MIN_NORM))
    if extreme.any():  # float32 cannot hold these squares, but float64 may.
        exact = torch.linalg.vector_norm(wide, dim=1, keepdim=True, dtype=torch.float64)
        length = torch.where(extreme, exact.to(length.dtype), length)
        length = length.where(length.isfinite(), torch.nan)
    return length


def _scaled_length(wide: Tensor) -> Tensor:
    """Return the norm of each row ``[N, 1]`` without overflow of squares, NaN if not finite."""
    if wide.shape[1] == 0:
        return wide.new_zeros((len(wide), 1))
    largest = wide.abs().amax(1, keepdim=True)
    scale = largest.where((largest > 0) & largest.isfinite(), 1)
    length: Tensor = torch.linalg.vector_norm(wide / scale, dim=1, keepdim=True) * scale
    return length.where(length.isfinite(), torch.nan)


_cosine_nearest_codes.register_fake(fake_nearest)


@_cosine_rq_encode.register_fake
def _(
    x: Tensor, codewords: Tensor, sizes: Sequence[int], beam: int, num_paths: int
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], num_paths)
    codes = x.new_empty((*shape, len(sizes)), dtype=torch.int32)
    return codes, x.new_empty(shape, dtype=compute_dtype(x.dtype))


# Autocast computes in float32, as for the ops they call: 16 bits would change the codes.
autocast_to_float32("cosine_nearest_codes")
autocast_to_float32("cosine_rq_encode")
