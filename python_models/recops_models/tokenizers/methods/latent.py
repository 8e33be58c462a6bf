"""Tokenizers that quantize an encoder's latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

import recops
from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.dotted import below
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.points import TensorPoints
from recops_models.tokenizers.clustering.residual_kmeans import residual_kmeans
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder
from recops_models.training.device import fork_generators

_NETWORK = "network."


class NetworkTokenizer(Tokenizer):
    """Tokenizer with an autoencoder: ``codes = quantize(Enc(x))``, ``x̂ = Dec(dequantize(codes))``.

    Encoder and decoder run on one thread
    (:func:`~recops_models.tokenizers.clustering.threads.one_thread`).
    """

    network: Autoencoder | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        return ("network",)

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """Return the codes of the latents; see :meth:`Tokenizer.encode`."""
        return self._quantize(self.latents(vectors))

    def decode(self, codes: Tensor) -> Tensor:
        """Return the decoder's output; see :meth:`Tokenizer.decode`."""
        return self._fitted_network().vectors(self._dequantize(codes))

    def latents(self, vectors: Tensor) -> Tensor:
        """Return the latents ``[N, d]`` float32 of ``vectors [N, D]``."""
        points = self._check("encode", vectors)
        network = self._fitted_network()
        self._check_width("encode", points, len(network.mean))
        return network.latents(points)

    @abstractmethod
    def _new_network(self, points: Tensor) -> Autoencoder:
        """Return an untrained network for ``points [N, D]``."""

    @abstractmethod
    def _quantize(self, latents: Tensor) -> Tensor:
        """Return codes ``[N, L]`` int32 of latents."""

    @abstractmethod
    def _dequantize(self, codes: Tensor) -> Tensor:
        """Return the decoder's input for codes."""

    def _start_network(self, points: Tensor, fitting: Fitting) -> Autoencoder:
        """Return an untrained network that depends on the seed only."""
        with fork_generators(fitting.device, fitting.seed):
            return self._new_network(points)

    def _state(self) -> dict[str, Tensor]:
        weights = self._fitted_network().state_dict()
        return {_NETWORK + name: value for name, value in weights.items()}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        network = self._new_network(torch.zeros(1, len(state[_NETWORK + "mean"])))
        network.load_state_dict(below(_NETWORK, state))
        self.network = network.eval()

    def _fitted_network(self) -> Autoencoder:
        if self.network is None:
            raise self._not_fitted()
        return self.network


class LatentTokenizer(NetworkTokenizer):
    """Tokenizer by residual quantization of latents, with :func:`recops.rq_encode`."""

    codebooks: tuple[Tensor, ...] = ()
    """``[K_l, d]`` float32 per level; empty before :meth:`fit`."""

    @property
    def _clustering(self) -> KMeansSettings:
        """Settings of k-means for the codebooks."""
        return KMeansSettings()

    @property
    def metric(self) -> Metric:
        return self._clustering.metric

    def _quantize(self, latents: Tensor) -> Tensor:
        codes, _ = recops.rq_encode(latents, self.codebooks, metric=self.metric)
        return codes

    def _dequantize(self, codes: Tensor) -> Tensor:
        self._fitted_network()
        return recops.rq_decode(codes, self.codebooks)

    def _learn_codebooks(
        self, points: Tensor, fixed: tuple[Tensor, ...], fitting: Fitting
    ) -> tuple[Tensor, ...]:
        latents = TensorPoints(self.latents(points).to(fitting.device))
        return residual_kmeans(
            latents, self.vocab_sizes, fitting, settings=self._clustering, fixed=fixed
        )

    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        self.codebooks = self._learn_codebooks(points, self.codebooks[:keep_levels], fitting)

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | {f"codebook_{at}": each for at, each in enumerate(self.codebooks)}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        super()._restore(state)
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))
