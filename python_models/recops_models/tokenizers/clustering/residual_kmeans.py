"""Residual k-means: each level's codebook is fitted to the residuals of the levels before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from recops.files import load_tensors, save_tensors
from recops_models import workers
from recops_models.tokenizers.clustering.kmeans import KMeansSettings, kmeans
from recops_models.tokenizers.clustering.points import NEAREST, Assign, Points
from recops_models.tokenizers.fitting import Fitting
from recops_models.training.device import to_host

LEVELS = "levels.safetensors"
_KIND = "tokenizer-levels"


def residual_kmeans(
    points: Points,
    sizes: Sequence[int],
    fitting: Fitting,
    *,
    settings: KMeansSettings | None = None,
    fixed: Sequence[Tensor] = (),
    assign: Assign | None = None,
    groups: int = 1,
    patience: int = 1,
) -> tuple[Tensor, ...]:
    """Return one codebook per level.

    Level l's codebook is the k-means of r_l, with r₀ = x and r_{l+1} = r_l − c_l[s_l], where
    ``assign`` gives the code s_l. With G groups, the dimensions are split into G equal parts, and
    each part has L / G levels.

    Args:
        points: N finite points on the device of ``fitting``.
        sizes: K_l ≤ N.
        fitting: seed, callbacks, folder and device. The folder gets each finished level and the
            state of the generator, so a resumed run has the same result as an uninterrupted one.
        settings: settings of :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`.
        fixed: codebooks of the first levels, which are not fitted.
        assign: assigns residuals to codewords; None: to the nearest by the settings' metric.
        groups: G, a divisor of L and D.
        patience: see :func:`~recops_models.tokenizers.clustering.kmeans.kmeans`.

    Returns:
        ``[K_l, D / G]`` float32 per level, on the host. A pass takes O(N · D · Σ K_l / G).

    Raises:
        CorruptFileError: the folder's file is damaged.
    """
    settings = settings or KMeansSettings()
    assign = assign or NEAREST[settings.metric]
    rng = np.random.default_rng(fitting.seed)
    path = None if fitting.folder is None else fitting.folder / LEVELS
    books = [book.to(fitting.device) for book in fixed]
    if path is not None and fitting.resume and path.exists():
        tensors, meta = load_tensors(path, kind=_KIND)
        books = [tensors[f"codebook_{at}"].to(fitting.device) for at in range(len(tensors))]
        rng.bit_generator.state = meta["rng"]
    pieces = pieces_of(points.dim, groups)
    for level, size in enumerate(sizes):
        group, level_in_group = divmod(level, len(sizes) // groups)
        if not level_in_group:
            residual = points.within(pieces[group])
        if level == len(books):
            fitting.callbacks.start(f"level {level}")
            book = kmeans(
                residual,
                size,
                rng=rng,
                settings=settings,
                callbacks=fitting.callbacks,
                assign=assign,
                patience=patience,
            )
            books.append(book)
            if path is not None and workers.is_first():
                tensors = {f"codebook_{at}": each for at, each in enumerate(books)}
                save_tensors(path, tensors, kind=_KIND, meta={"rng": rng.bit_generator.state})
        residual = residual.subtract_codewords(books[level], assign)
    return to_host(tuple(books))


def pieces_of(dim: int, groups: int) -> list[slice]:
    """Return the dimensions of each group."""
    width = dim // groups
    return [slice(start, start + width) for start in range(0, width * groups, width)]
