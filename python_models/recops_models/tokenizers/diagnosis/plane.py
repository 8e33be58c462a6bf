"""Projection of codewords and items to two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.tokenizers.diagnosis.capacity import spread_per_dim

_ITEMS = 1500
RHO = 0.25
"""Noise level of :attr:`Plane.confusion`."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Level 0 on the first two principal axes of its codewords, weighted by their items.

    Attributes:
        words: ``[K, 2]``, codewords.
        load: ``[K]``, number of items per codeword.
        confusion: ``[K]``, κ of the nearest other codeword in use, at ρ = ¼.
        items: ``[n, 2]``, a sample of the items.
        explained: share of the codewords' variance on the two axes.
    """

    words: NDArray[np.float64]
    load: NDArray[np.float64]
    confusion: NDArray[np.float64]
    items: NDArray[np.float64]
    explained: float

    @staticmethod
    def of(codebook: Tensor, latents: Tensor, codes: Tensor, *, seed: int = 0) -> Plane:
        """Return the projection of level 0.

        Args:
            codebook: ``[K, d]``.
            latents: ``[N, d]``.
            codes: ``[N]``.
            seed: seed of the sample of items.
        """
        words = codebook.double()
        load = torch.bincount(codes.long(), minlength=len(words)).double()
        centre = (load[:, None] * words).sum(dim=0) / load.sum()
        weighted = (words - centre) * load[:, None].sqrt()
        _, singular, axes = torch.linalg.svd(weighted, full_matrices=False)
        # The SVD leaves signs open: make the largest entry of each axis positive.
        axes = axes[:2] * axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)).sign()
        axes = torch.cat([axes, axes.new_zeros(2 - len(axes), axes.shape[1])])
        sample = np.random.default_rng(seed).permutation(len(latents))[:_ITEMS]
        items = latents.double()[torch.from_numpy(np.sort(sample))]
        power = singular.square()
        return Plane(
            words=((words - centre) @ axes.T).numpy(),
            load=load.numpy(),
            confusion=_confusion(words, load, RHO * spread_per_dim(latents.double())),
            items=((items - centre) @ axes.T).numpy(),
            explained=float(power[:2].sum() / power.sum()) if power.sum() else 1.0,
        )


def _confusion(words: Tensor, load: Tensor, sigma: float) -> NDArray[np.float64]:
    used = (load > 0).nonzero()[:, 0]
    distance = torch.cdist(words[used], words[used])
    distance.fill_diagonal_(torch.inf)
    confusion = torch.zeros(len(words), dtype=torch.float64)
    nearest = distance.min(dim=1).values if len(used) > 1 else distance[:, 0]
    confusion[used] = torch.exp(-nearest.square() / (8 * sigma**2)) if sigma else 0.0
    return np.asarray(confusion.numpy())
