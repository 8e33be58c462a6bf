"""Codebooks level by level: k-means of what the levels before left over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

import recops
from recops.files import load_tensors, save_tensors
from recops_models.tokenizers.base import Fitting
from recops_models.tokenizers.kmeans import Assign, kmeans, nearest

LEVELS = "levels.safetensors"
_KIND = "tokenizer-levels"


def residual_kmeans(
    points: Tensor,
    sizes: Sequence[int],
    given: Fitting,
    *,
    iterations: int = 50,
    tolerance: float = 1e-4,
    kept: Sequence[Tensor] = (),
    assign: Assign = nearest,
) -> tuple[Tensor, ...]:
    """One codebook a level.

    r₀ = x; level l's codebook is the k-means of r_l; r_{l+1} = r_l − c_l[s_l], s_l by ``assign``.

    Args:
        points: ``[N, D]`` float32, finite.
        sizes: K_l ≤ N.
        given: seed, progress, and the folder in which every finished level is kept, the state of
            the generator beside it, so that a resumed run draws on as one never stopped.
        iterations: of k-means, at most, per level.
        tolerance: see :func:`~recops_models.tokenizers.kmeans.kmeans`.
        kept: codebooks of the first levels, which stay as they are.
        assign: of residuals to codewords.

    Returns:
        ``[K_l, D]`` float32 a level. O(N · D · Σ K_l) an iteration.

    Raises:
        CorruptFileError: the folder's file is damaged.
    """
    rng = np.random.default_rng(given.seed)
    path = None if given.folder is None else given.folder / LEVELS
    books = list(kept)
    if path is not None and given.resume and path.exists():
        tensors, meta = load_tensors(path, kind=_KIND)
        books = [tensors[f"codebook_{level}"] for level in range(len(tensors))]
        rng.bit_generator.state = meta["rng"]
    residual = points
    for book in books:
        residual, _ = _residual(residual, book, assign)
    for level in range(len(books), len(sizes)):
        stage = f"level {level}"
        book = kmeans(
            residual,
            sizes[level],
            rng=rng,
            iterations=iterations,
            tolerance=tolerance,
            progress=partial(given.report, stage),
            assign=assign,
        )
        residual, error = _residual(residual, book, assign)
        books.append(book)
        if path is not None:
            tensors = {f"codebook_{at}": each for at, each in enumerate(books)}
            save_tensors(path, tensors, kind=_KIND, meta={"rng": rng.bit_generator.state})
        given.report(stage, 1.0, error)
    return tuple(books)


def _residual(points: Tensor, book: Tensor, assign: Assign) -> tuple[Tensor, float]:
    """What a level leaves over, and its mean square."""
    index, distance = assign(points, book)
    left = points - recops.rq_decode(index[:, None], [book])
    return left, float(distance.numpy().mean(dtype=np.float64))
