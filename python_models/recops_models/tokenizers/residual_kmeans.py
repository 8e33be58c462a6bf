"""Codebooks level by level: k-means of what the levels before left over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.kmeans import KMeansSettings, kmeans
from recops_models.tokenizers.points import Assign, Points, nearest

LEVELS = "levels.safetensors"
_KIND = "tokenizer-levels"


def residual_kmeans(
    points: Points,
    sizes: Sequence[int],
    given: Fitting,
    *,
    settings: KMeansSettings | None = None,
    kept: Sequence[Tensor] = (),
    assign: Assign = nearest,
) -> tuple[Tensor, ...]:
    """One codebook a level.

    r₀ = x; level l's codebook is the k-means of r_l; r_{l+1} = r_l − c_l[s_l], s_l by ``assign``.

    Args:
        points: N of them, finite.
        sizes: K_l ≤ N.
        given: seed, progress, and the folder in which every finished level is kept, the state of
            the generator beside it, so that a resumed run draws on as one never stopped.
        settings: of :func:`~recops_models.tokenizers.kmeans.kmeans`.
        kept: codebooks of the first levels, which stay as they are.
        assign: of residuals to codewords.

    Returns:
        ``[K_l, D]`` float32 a level. O(N · D · Σ K_l) a pass.

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
    for book in books:
        points = points.left_by(book, assign)
    for level in range(len(books), len(sizes)):
        book = kmeans(
            points,
            sizes[level],
            rng=rng,
            settings=settings or KMeansSettings(),
            progress=partial(given.report, f"level {level}"),
            assign=assign,
        )
        books.append(book)
        if path is not None:
            tensors = {f"codebook_{at}": each for at, each in enumerate(books)}
            save_tensors(path, tensors, kind=_KIND, meta={"rng": rng.bit_generator.state})
        points = points.left_by(book, assign)
    return tuple(books)
