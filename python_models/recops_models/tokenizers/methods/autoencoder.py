"""An encoder and a decoder, with item vectors brought to one scale before and back after."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.layers.mlp import MLP
from recops_models.tokenizers.clustering.threads import one_thread

_ROWS = 8192


class Autoencoder(nn.Module):
    """``x̃ = (x − mean) / scale``, ``h = MLP(x̃)``, ``x̂ = MLP(z) · scale + mean``.

    ``scale`` is one number, the root mean square of x − mean over all items and dimensions, so that
    losses weigh the same whatever the vectors' length, and no direction is blown up.

    Args:
        points: ``[N, D]``, which tell mean and scale; where all are equal the scale is 1.
        hidden: widths of the encoder's hidden layers; the decoder has them reversed.
        width: d, of the latents z that the decoder takes.
        outputs: of the encoder; d, or 2d for means and log variances.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, points: Tensor, hidden: Sequence[int], width: int, outputs: int | None = None
    ) -> None:
        super().__init__()
        dim = points.shape[1]
        self.encoder = MLP(dim, hidden, outputs or width, activation_name="relu")
        self.decoder = MLP(width, tuple(reversed(hidden)), dim, activation_name="relu")
        mean = points.double().mean(dim=0)
        scale = (points - mean).square().mean().sqrt()
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float().where(scale > 0, torch.ones(())))

    def encode(self, scaled: Tensor) -> Tensor:
        """``[N, D]`` of one scale to ``[N, outputs]``."""
        hidden: Tensor = self.encoder(scaled)
        return hidden

    def decode(self, latents: Tensor) -> Tensor:
        """``[N, d]`` to ``[N, D]`` of one scale."""
        decoded: Tensor = self.decoder(latents)
        return decoded

    def to_scale(self, vectors: Tensor) -> Tensor:
        """x̃ of x."""
        return (vectors - self.mean) / self.scale

    @torch.no_grad()
    def latents(self, vectors: Tensor) -> Tensor:
        """The encoder's outputs ``[N, outputs]`` for vectors as they are; O(N) memory."""
        with one_thread():
            pieces = vectors.split(_ROWS)  # Of no rows: one piece of none.
            return torch.cat([self.encode(self.to_scale(piece)) for piece in pieces])

    @torch.no_grad()
    def vectors(self, latents: Tensor) -> Tensor:
        """The vectors ``[N, D]`` as they were, for latents ``[N, d]``."""
        with one_thread():
            pieces = latents.split(_ROWS)
            return torch.cat([self.decode(piece) * self.scale + self.mean for piece in pieces])
