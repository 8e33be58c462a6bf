"""Codebooks level by level: k-means of what the levels before left over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models.tokenizers.clustering.kmeans import KMeansSettings, kmeans
from recops_models.tokenizers.clustering.points import NEAREST, Assign, Points
from recops_models.tokenizers.fitting import Fitting

LEVELS = "levels.safetensors"
_KIND = "tokenizer-levels"


def residual_kmeans(
    points: Points,
    sizes: Sequence[int],
    given: Fitting,
    *,
    settings: KMeansSettings | None = None,
    kept: Sequence[Tensor] = (),
    assign: Assign | None = None,
    groups: int = 1,
    patience: int = 1,
) -> tuple[Tensor, ...]:
    """One codebook a level.

    r₀ = x; level l's codebook is the k-means of r_l; r_{l+1} = r_l − c_l[s_l], s_l by ``assign``.
    With groups, the dimensions are cut into as many equal pieces, the first L / groups levels are
    learnt of the first piece alone, and so on.

    Args:
        points: N of them, finite.
        sizes: K_l ≤ N.
        given: seed, callbacks, and the folder in which every finished level is kept, the state of
            the generator beside it, so that a resumed run draws on as one never stopped.
        settings: of :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`.
        kept: codebooks of the first levels, which stay as they are.
        assign: of residuals to codewords; None: to the nearest by the settings' metric.
        groups: divides L and D.
        patience: of :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`.

    Returns:
        ``[K_l, D / groups]`` float32 a level. O(N · D · Σ K_l / groups) a pass.

    Raises:
        CorruptFileError: the folder's file is damaged.
    """
    settings = settings or KMeansSettings()
    assign = assign or NEAREST[settings.metric]
    rng = np.random.default_rng(given.seed)
    path = None if given.folder is None else given.folder / LEVELS
    books = list(kept)
    if path is not None and given.resume and path.exists():
        tensors, meta = load_tensors(path, kind=_KIND)
        books = [tensors[f"codebook_{level}"] for level in range(len(tensors))]
        rng.bit_generator.state = meta["rng"]
    pieces = pieces_of(points.dim, groups)
    for level, size in enumerate(sizes):
        group, place = divmod(level, len(sizes) // groups)
        if not place:
            residual = points.within(pieces[group])
        if level == len(books):
            given.callbacks.start(f"level {level}")
            book = kmeans(
                residual,
                size,
                rng=rng,
                settings=settings,
                callbacks=given.callbacks,
                assign=assign,
                patience=patience,
            )
            books.append(book)
            if path is not None:
                tensors = {f"codebook_{at}": each for at, each in enumerate(books)}
                save_tensors(path, tensors, kind=_KIND, meta={"rng": rng.bit_generator.state})
        residual = residual.left_by(books[level], assign)
    return tuple(books)


def pieces_of(dim: int, groups: int) -> list[slice]:
    """The dimensions of each group."""
    width = dim // groups
    return [slice(start, start + width) for start in range(0, width * groups, width)]
