"""How many codes change when vectors are seen with noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import recops


def flip_rates(
    latents: Tensor,
    codebooks: Sequence[Tensor],
    scales: Sequence[float],
    rho: float,
    *,
    samples: int,
    seed: int,
) -> dict[str, object]:
    """Shares of items whose greedy codes Gaussian noise changes.

    ``levels``: the level's own clean input r_l gets noise of σ_l = ρ · scales[l], and its nearest
    codeword changes. ``path``: the latent gets noise of σ₀, and any of its codes changes. A
    collapsed codebook never flips: the rate alone is no measure of robustness.

    Args:
        latents: ``[N, d]`` float32.
        codebooks: L of ``[K_l, d]``.
        scales: L, see :func:`~recops_models.tokenizers.diagnosis.capacity.spread_per_dim`.
        rho: of the noise.
        samples: noisy copies of each latent.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    clean, _ = recops.rq_encode(latents, codebooks)

    def changed(inputs: Tensor, books: Sequence[Tensor], codes: Tensor, sigma: float) -> float:
        rates = []
        for _ in range(samples):
            noise = torch.randn(inputs.shape, generator=generator)
            noisy, _ = recops.rq_encode(inputs + sigma * noise, books)
            rates.append(float((noisy != codes).any(dim=1).double().mean()))
        return sum(rates) / samples

    levels, inputs = [], latents
    for level, (book, scale) in enumerate(zip(codebooks, scales, strict=True)):
        codes = clean[:, level : level + 1]
        levels.append(changed(inputs, [book], codes, rho * scale))
        inputs = inputs - recops.rq_decode(codes, [book])
    return {
        "rho": rho,
        "levels": levels,
        "path": changed(latents, codebooks, clean, rho * scales[0]),
    }
