"""RQ-VAE: an autoencoder trained through its own residual quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

import recops
from recops_models.setting_checks import check_at_least
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.points import TensorPoints
from recops_models.tokenizers.clustering.residual_kmeans import residual_kmeans
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder
from recops_models.tokenizers.methods.item_task import (
    OWNER,
    ItemBatch,
    LatentSettings,
    train_network,
)
from recops_models.tokenizers.methods.latent import LatentTokenizer

_START = KMeansSettings(iterations=10)


@dataclass(frozen=True)
class RQVAESettings(LatentSettings):
    """Beside those of every network.

    Attributes:
        commitment: β, weight of the pull of latents towards their codewords.
        rotation: the gradient through the quantizer turned and scaled as the quantizer did, in
            place of straight through (Fifty et al., 2024).
        start: of the codebooks: k-means of the untrained encoder's latents, or uniform in ±1/K.

    Raises:
        ValueError: a commitment below 0, and see
            :class:`~recops_models.tokenizers.methods.item_task.LatentSettings`.
    """

    commitment: float = 0.25
    rotation: bool = False
    start: Literal["kmeans", "random"] = "kmeans"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(OWNER, self, commitment=0)


class QuantizedNetwork(nn.Module):
    """An autoencoder and codebooks with the objective of :class:`RQVAE`."""

    def __init__(
        self, autoencoder: Autoencoder, codebooks: tuple[Tensor, ...], settings: RQVAESettings
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.codebooks = nn.ParameterList(nn.Parameter(book.clone()) for book in codebooks)
        self._settings = settings

    def loss(self, batch: ItemBatch) -> Tensor:
        latents = self.autoencoder.encode(batch.x)
        quantized, _, commitment, codebook_loss = recops.straight_through(
            latents, list(self.codebooks), rotation=self._settings.rotation
        )
        error = (batch.x - self.autoencoder.decode(quantized)).square().sum(dim=1).mean()
        return error + codebook_loss + self._settings.commitment * commitment

    def books(self) -> tuple[Tensor, ...]:
        """``[K_l, d]`` a level."""
        return tuple(book.detach().clone() for book in self.codebooks)


class RQVAE(LatentTokenizer):
    """``L = ‖x̃ − Dec(q)‖² + Σ_l ‖sg(r_l) − c_l‖² + β ‖r_l − sg(c_l)‖²``.

    ``r₀ = Enc(x̃)``, c_l the codeword of level l nearest to r_l, ``r_{l+1} = r_l − c_l``,
    ``q = Σ c_l``; the gradient of q passes straight on to the encoder. Sums over dimensions, means
    over items; ``x̃`` is x of unit scale
    (:class:`~recops_models.tokenizers.methods.autoencoder.Autoencoder`).

    Known to leave many codes unused, above all with ``start=random``; nothing here works against
    it. :class:`~recops_models.tokenizers.methods.rqp_vae.RQPVAE` does.

    Source: Rajput et al., "Recommender systems with generative retrieval" (TIGER), 2023, section
    3.1: the loss, β = 0.25, k-means for a start. Scale, widths and optimizer are our choice.
    """

    method = "rq-vae"
    settings_type = RQVAESettings
    settings: RQVAESettings

    def _fit(self, points: Tensor, given: Fitting) -> None:
        autoencoder = self._start_network(points, given)
        scaled = autoencoder.to_scale(points)
        codebooks = self._start_codebooks(autoencoder, points, given)
        network = self._join(autoencoder, codebooks, self.settings.batch_of(len(points)))
        train_network(network, scaled, self.settings, given)
        self.network, self.codebooks = autoencoder, network.books()

    def _join(
        self, autoencoder: Autoencoder, codebooks: tuple[Tensor, ...], batch: int
    ) -> QuantizedNetwork:
        """The network to train, ``batch`` items a step."""
        return QuantizedNetwork(autoencoder, codebooks, self.settings)

    def _start_codebooks(
        self, autoencoder: Autoencoder, points: Tensor, given: Fitting
    ) -> tuple[Tensor, ...]:
        if self.settings.start == "kmeans":
            latents = TensorPoints(autoencoder.latents(points))
            return residual_kmeans(latents, self.vocab_sizes, Fitting(given.seed), settings=_START)
        generator = torch.Generator().manual_seed(given.seed)
        return tuple(
            (2 * torch.rand(size, self.settings.width, generator=generator) - 1) / size
            for size in self.vocab_sizes
        )

    def _new_network(self, points: Tensor) -> Autoencoder:
        return Autoencoder(points, self.settings.hidden, self.settings.width)
