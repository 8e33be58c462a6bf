"""Decoupled residual quantization (DRQ): a VAE, then residual k-means on its latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from recops_models.setting_checks import check_above_zero, check_at_least
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder, VectorMoments
from recops_models.tokenizers.methods.item_task import (
    OWNER,
    ItemBatch,
    LatentSettings,
    Partners,
)
from recops_models.tokenizers.methods.items import FittedItems, ItemsInMemory
from recops_models.tokenizers.methods.latent import LatentTokenizer
from recops_models.workers import share_of_mean

_LOG_VARIANCE = 10.0


@dataclass(frozen=True)
class DRQSettings(LatentSettings):
    """Settings of :class:`DRQVAE`, in addition to those of the network.

    Attributes:
        kl: β_KL, weight of the KL divergence from N(0, I).
        contrast: λ_CL, weight of InfoNCE on behaviour pairs.
        temperature: τ of InfoNCE.
        codebook_seed: seed of k-means; None: the seed of the fit.
        metric: distance of k-means. InfoNCE always uses cosine.

    Raises:
        ValueError: a weight or a seed is below 0, or the temperature is not above 0; see also
            :class:`~recops_models.tokenizers.methods.item_task.LatentSettings`.
    """

    kl: float = 1e-3
    contrast: float = 0.0
    temperature: float = 0.1
    codebook_seed: int | None = None
    metric: Literal["l2", "cosine"] = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(OWNER, self, kl=0, contrast=0, codebook_seed=0)
        check_above_zero(OWNER, self, "temperature")


@dataclass(frozen=True)
class DRQContrastSettings(DRQSettings):
    """Settings of :class:`DRQVAEContrast`, with InfoNCE by default."""

    contrast: float = 1.0


class VariationalNetwork(nn.Module):
    """VAE with the objective of :class:`DRQVAE`."""

    def __init__(self, autoencoder: Autoencoder, settings: DRQSettings) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self._settings = settings

    def loss(self, batch: ItemBatch) -> Tensor:
        mean, log_variance = self._encode(batch.x)
        latents = mean
        if self.training:
            latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = (batch.x - self.autoencoder.decode(latents)).square().sum(dim=1)
        variance = log_variance.exp()
        divergence = (mean.square() + variance - 1 - log_variance).sum(dim=1)
        loss = share_of_mean(error) + self._settings.kl * (0.5 * share_of_mean(divergence))
        if self._settings.contrast and len(batch.paired):
            partner, _ = self._encode(batch.partner)
            contrast = info_nce(mean[batch.paired], partner, self._settings.temperature)
            loss = loss + self._settings.contrast * contrast
        return loss

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.autoencoder.encode(x).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE)


class DRQVAE(LatentTokenizer):
    """Variational autoencoder, and residual k-means on its frozen latents.

    Stage 1, without codebooks: ``(μ, log σ²) = Enc(x̃)``, ``z = μ + σ ε``, and

        ``L = ‖x̃ − Dec(z)‖² + β_KL · KL(N(μ, σ²) ‖ N(0, I)) + λ_CL · InfoNCE``,

    with sums over dimensions and means over items; ``x̃`` is the scaled x
    (:class:`~recops_models.tokenizers.methods.autoencoder.Autoencoder`). Stage 2: residual k-means
    of μ. The encoder gets no gradient from codes, so stage 1 does not depend on the number, size
    and seed of the codebooks.

    Source: DRQ (arXiv 2606.01844), its two stages and losses. Widths, weights and the scale of x̃
    are our choice, since the paper does not report them.
    """

    method = "drq-vae"
    settings_type = DRQSettings
    settings: DRQSettings

    @property
    def shares_fit(self) -> bool:
        return not self.settings.contrast  # InfoNCE compares all items of a batch.

    @property
    def stages(self) -> tuple[str, ...]:
        return (*super().stages, *(f"level {level}" for level in range(len(self.vocab_sizes))))

    def _fit(self, points: Tensor, fitting: Fitting) -> None:
        pairs = fitting.pairs if self.settings.contrast else None
        partners = None if pairs is None else Partners(pairs, len(points))
        self._fit_items(ItemsInMemory(points, partners), fitting)

    def _fit_items(self, items: FittedItems, fitting: Fitting) -> None:
        autoencoder = self._start_network(items, fitting)
        network = VariationalNetwork(autoencoder, self.settings)
        self._train(network, autoencoder, items, self.settings, fitting)
        self.network = autoencoder
        self.codebooks = self._learn_codebooks(items, (), fitting)

    def _check_fit_inputs(self, dim: int, pairs: Tensor | None, weights: Tensor | None) -> None:
        if self.settings.contrast and (pairs is None or not len(pairs)):
            raise ValueError(f"{self._name}.fit: contrast needs pairs of items, got none")

    def _learn_codebooks(
        self, items: FittedItems, fixed: tuple[Tensor, ...], fitting: Fitting
    ) -> tuple[Tensor, ...]:
        seed = self.settings.codebook_seed
        if seed is not None:
            fitting = fitting.with_seed(seed)
        return super()._learn_codebooks(items, fixed, fitting)

    @property
    def _clustering(self) -> KMeansSettings:
        return KMeansSettings(metric=self.settings.metric)

    def latents(self, vectors: Tensor) -> Tensor:
        """Return μ ``[N, d]`` of ``vectors [N, D]``."""
        return super().latents(vectors)[:, : self.settings.width].contiguous()

    def _new_network(self, moments: VectorMoments) -> Autoencoder:
        sizes = self.settings
        return Autoencoder(moments, sizes.hidden, sizes.width, 2 * sizes.width)


class DRQVAEContrast(DRQVAE):
    """DRQ-VAE with a contrastive loss on pairs of items from user behaviour.

    The loss is :func:`info_nce` between an item's μ and that of a partner, drawn by frequency.
    """

    method = "drq-vae-cl"
    settings_type = DRQContrastSettings
    uses_pairs = True
    streams = False


def info_nce(anchor: Tensor, partner: Tensor, temperature: float) -> Tensor:
    """Return ``−mean_i log(exp(s_ii / τ) / Σ_j exp(s_ij / τ))``.

    Scores are cosines: ``s_ij = cos(anchor_i, partner_j)``.

    Source: van den Oord, Li, Vinyals, "Representation learning with contrastive predictive coding",
    2018.
    """
    scores = functional.normalize(anchor, dim=1) @ functional.normalize(partner, dim=1).T
    target = torch.arange(len(anchor), device=anchor.device)
    return functional.cross_entropy(scores / temperature, target)
