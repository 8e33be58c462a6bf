"""How many codes change when vectors are seen with noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import recops
from recops_models.tokenizers.diagnosis.content import FlipRates


def flip_rates(
    latents: Tensor,
    codebooks: Sequence[Tensor],
    scales: Sequence[float],
    rho: float,
    *,
    samples: int,
    seed: int,
) -> FlipRates:
    """Shares of items whose greedy codes Gaussian noise changes.

    ``levels``: the level's own clean input r_l gets noise of σ_l = ρ · scales[l], and its nearest
    codeword changes, see :func:`recops.code_flip_rate`. ``path``: the latent gets noise of σ₀, and
    any of its codes changes. A collapsed codebook never flips: the rate alone is no measure of
    robustness.

    Args:
        latents: ``[N, d]`` float32.
        codebooks: L of ``[K_l, d]``.
        scales: L, see :func:`~recops_models.tokenizers.diagnosis.capacity.spread_per_dim`.
        rho: of the noise.
        samples: noisy copies of each latent.
        seed: of the noise.
    """
    sigma = torch.tensor([rho * scale for scale in scales])
    levels = recops.code_flip_rate(latents, codebooks, sigma, samples=samples, seed=seed)
    clean, _ = recops.rq_encode(latents, codebooks)
    generator = torch.Generator().manual_seed(seed)
    changed = 0.0
    for _ in range(samples):
        noise = torch.randn(latents.shape, generator=generator)
        noisy, _ = recops.rq_encode(latents + sigma[0] * noise, codebooks)
        changed += float((noisy != clean).any(dim=1).double().mean())
    return {"rho": rho, "levels": levels.tolist(), "path": changed / samples}
