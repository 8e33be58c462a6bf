"""Autoencoder of item vectors with normalized input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.layers.mlp import MLP
from recops_models.tokenizers.clustering.threads import one_thread

_ROWS = 8192


class Autoencoder(nn.Module):
    """Autoencoder: ``x̃ = (x − mean) / scale``, ``h = MLP(x̃)``, ``x̂ = MLP(z) · scale + mean``.

    ``scale`` is one number, the root mean square of x − mean over all items and dimensions. The
    weights of losses then do not depend on the length of vectors, and the relative variance of the
    dimensions does not change.

    Args:
        points: ``[N, D]``, determine mean and scale; if all are equal the scale is 1.
        hidden: widths of the encoder's hidden layers; the decoder reverses them.
        width: d, width of the latents z.
        outputs: width of the encoder's output: d by default, or 2d for means and log variances.
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
        """Encode scaled vectors ``[N, D]`` to ``[N, outputs]``."""
        hidden: Tensor = self.encoder(scaled)
        return hidden

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents ``[N, d]`` to scaled vectors ``[N, D]``."""
        decoded: Tensor = self.decoder(latents)
        return decoded

    def to_scale(self, vectors: Tensor) -> Tensor:
        """Return x̃ of x."""
        return (vectors - self.mean) / self.scale

    @torch.no_grad()
    def latents(self, vectors: Tensor) -> Tensor:
        """Return the encoder's outputs ``[N, outputs]`` for unscaled vectors, in O(N) memory."""
        with one_thread():
            pieces = vectors.split(_ROWS)
            return torch.cat([self.encode(self.to_scale(piece)) for piece in pieces])

    @torch.no_grad()
    def vectors(self, latents: Tensor) -> Tensor:
        """Return unscaled vectors ``[N, D]`` for latents ``[N, d]``."""
        with one_thread():
            pieces = latents.split(_ROWS)
            return torch.cat([self.decode(piece) * self.scale + self.mean for piece in pieces])
