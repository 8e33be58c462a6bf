"""Tokenizers that quantize an encoder's latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

import recops
from recops_models.tokenizers.autoencoder import Autoencoder
from recops_models.tokenizers.base import Fitting, Tokenizer
from recops_models.tokenizers.residual_kmeans import residual_kmeans

_NETWORK = "network."


class LatentTokenizer(Tokenizer):
    """``codes = rq_encode(Enc(x))`` and ``x̂ = Dec(Σ codewords)``.

    A subclass learns the two, and overrides :meth:`_latents` where latents are but a part of the
    encoder's outputs. Latents are computed on one thread; see
    :func:`~recops_models.tokenizers.threads.one_thread`.
    """

    network: Autoencoder | None = None
    codebooks: tuple[Tensor, ...] = ()

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Greedily, in the space of latents; see :meth:`Tokenizer.encode`."""
        points = self._check("encode", vectors)
        codes, _ = recops.rq_encode(self._latents(points), self._books())
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Through the decoder; see :meth:`Tokenizer.decode`."""
        return self._network().vectors(recops.rq_decode(codes, self._books()))

    def latents(self, vectors: Tensor) -> Tensor:
        """``[N, d]`` float32: what is quantized of ``vectors [N, D]``."""
        return self._latents(self._check("latents", vectors))

    def _latents(self, points: Tensor) -> Tensor:
        network = self._network()
        if points.shape[1] != len(network.mean):
            raise ValueError(
                f"{self._name}: vectors must have the dimension {len(network.mean)}, "
                f"as those learnt from, got {points.shape[1]}"
            )
        return network.latents(points)[:, : self.settings.width].contiguous()

    def _learn_codebooks(
        self, points: Tensor, kept: tuple[Tensor, ...], given: Fitting
    ) -> tuple[Tensor, ...]:
        return residual_kmeans(self._latents(points), self.vocab_sizes, given, kept=kept)

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        self.codebooks = self._learn_codebooks(points, self._books()[:keep_levels], given)

    @abstractmethod
    def _new_network(self, points: Tensor) -> Autoencoder:
        """An untrained network for vectors like ``points``."""

    def _state(self) -> dict[str, Tensor]:
        weights = {_NETWORK + name: value for name, value in self._network().state_dict().items()}
        return weights | {f"codebook_{at}": book for at, book in enumerate(self._books())}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        network = self._new_network(torch.zeros(1, len(state[_NETWORK + "mean"])))
        network.load_state_dict(
            {k.removeprefix(_NETWORK): v for k, v in state.items() if k.startswith(_NETWORK)}
        )
        self.network = network.eval()
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))

    def _network(self) -> Autoencoder:
        if self.network is None:
            raise self._not_fitted()
        return self.network

    def _books(self) -> tuple[Tensor, ...]:
        if not self.codebooks:
            raise self._not_fitted()
        return self.codebooks
