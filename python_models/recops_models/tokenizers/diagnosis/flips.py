"""Rates at which codes change under noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import recops
from recops_models.tokenizers.diagnosis.content import FlipRates
from recops_models.training.device import array, to_host


def flip_rates(
    latents: Tensor,
    codebooks: Sequence[Tensor],
    scales: Sequence[float],
    rho: float,
    *,
    samples: int,
    seed: int,
) -> FlipRates:
    """Return the shares of items whose greedy codes change under Gaussian noise.

    ``levels``: noise of σ_l = ρ · scales[l] is added to the clean input r_l of level l, and its
    nearest codeword changes; see :func:`recops.code_flip_rate`. ``path``: noise of σ₀ is added to
    the latent, and any of its codes changes. A collapsed codebook never flips, so the rate alone
    does not measure robustness.

    Args:
        latents: ``[N, d]`` float32.
        codebooks: ``[K_l, d]`` per level.
        scales: spread of each level's input, see
            :func:`~recops_models.tokenizers.diagnosis.capacity.spread_per_dim`.
        rho: noise level.
        samples: noisy copies per latent.
        seed: seed of the noise.
    """
    sigma = torch.tensor([rho * scale for scale in scales], device=latents.device)
    levels = recops.code_flip_rate(latents, codebooks, sigma, samples=samples, seed=seed)
    clean, _ = recops.rq_encode(latents, codebooks)
    generator = torch.Generator().manual_seed(seed)
    changed = 0.0
    for _ in range(samples):
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        noisy, _ = recops.rq_encode(latents + sigma[0] * noise, codebooks)
        changed += float(to_host((noisy != clean).any(dim=1)).double().mean())
    return {"rho": rho, "levels": array(levels).tolist(), "path": changed / samples}
