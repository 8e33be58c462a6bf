"""RQ-VAE: an autoencoder with residual quantization of its latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

import recops
from recops_models.setting_checks import check_at_least
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.residual_kmeans import residual_kmeans
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder, VectorMoments
from recops_models.tokenizers.methods.item_task import (
    OWNER,
    ItemBatch,
    LatentSettings,
)
from recops_models.tokenizers.methods.items import FittedItems
from recops_models.tokenizers.methods.latent import LatentTokenizer
from recops_models.workers import share_of_mean, share_of_rows

_START = KMeansSettings(iterations=10)


@dataclass(frozen=True)
class RQVAESettings(LatentSettings):
    """Settings of :class:`RQVAE`, in addition to those of the network.

    Attributes:
        commitment: β, weight of the commitment loss.
        rotation: use the rotation trick (Fifty et al., 2024) for the gradient through the
            quantizer; otherwise the gradient is straight-through.
        start: initial codebooks: k-means of the untrained encoder's latents, or uniform in ±1/K.

    Raises:
        ValueError: ``commitment`` < 0; see also
            :class:`~recops_models.tokenizers.methods.item_task.LatentSettings`.
    """

    commitment: float = 0.25
    rotation: bool = False
    start: Literal["kmeans", "random"] = "kmeans"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(OWNER, self, commitment=0)


class QuantizedNetwork(nn.Module):
    """Autoencoder and codebooks with the objective of :class:`RQVAE`."""

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
        errors = (batch.x - self.autoencoder.decode(quantized)).square().sum(dim=1)
        loss = share_of_mean(errors) + share_of_rows(codebook_loss, len(errors))
        return loss + self._settings.commitment * share_of_rows(commitment, len(errors))

    def books(self) -> tuple[Tensor, ...]:
        """Return the codebooks, ``[K_l, d]`` per level."""
        return tuple(book.detach().clone() for book in self.codebooks)


class RQVAE(LatentTokenizer):
    """RQ-VAE with the loss ``‖x̃ − Dec(q)‖² + Σ_l ‖sg(r_l) − c_l‖² + β ‖r_l − sg(c_l)‖²``.

    Here ``r₀ = Enc(x̃)``, c_l is the codeword of level l nearest to r_l, ``r_{l+1} = r_l − c_l`` and
    ``q = Σ c_l``, whose gradient is straight-through. Sums are over dimensions, means over items;
    ``x̃`` is the scaled x (:class:`~recops_models.tokenizers.methods.autoencoder.Autoencoder`).

    RQ-VAE tends to leave many codes unused, above all with ``start=random``.
    :class:`~recops_models.tokenizers.methods.rqp_vae.RQPVAE` resets unused codes.

    Source: Rajput et al., "Recommender systems with generative retrieval" (TIGER), 2023, section
    3.1: the loss, β = 0.25, k-means start. Scale, widths and optimizer are our choice.
    """

    method = "rq-vae"
    settings_type = RQVAESettings
    settings: RQVAESettings

    def _fit_items(self, items: FittedItems, fitting: Fitting) -> None:
        autoencoder = self._start_network(items, fitting)
        codebooks = self._start_codebooks(autoencoder, items, fitting)
        network = self._join(autoencoder, codebooks, self.settings.batch_of(len(items)))
        self._train(network, autoencoder, items, self.settings, fitting)
        self.network, self.codebooks = autoencoder, network.books()

    def _join(
        self, autoencoder: Autoencoder, codebooks: tuple[Tensor, ...], batch: int
    ) -> QuantizedNetwork:
        """Return the network to train, with ``batch`` items per step."""
        return QuantizedNetwork(autoencoder, codebooks, self.settings)

    def _start_codebooks(
        self, autoencoder: Autoencoder, items: FittedItems, fitting: Fitting
    ) -> tuple[Tensor, ...]:
        if self.settings.start == "kmeans":
            latents = items.points(autoencoder.latents, fitting.device)
            start = Fitting(fitting.seed, device=fitting.device)
            return residual_kmeans(latents, self.vocab_sizes, start, settings=_START)
        generator = torch.Generator().manual_seed(fitting.seed)
        return tuple(
            (2 * torch.rand(size, self.settings.width, generator=generator) - 1) / size
            for size in self.vocab_sizes
        )

    def _new_network(self, moments: VectorMoments) -> Autoencoder:
        return Autoencoder(moments, self.settings.hidden, self.settings.width)
