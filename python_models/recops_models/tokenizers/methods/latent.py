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

_NETWORK = "network."


class NetworkTokenizer(Tokenizer):
    """``codes = quantize(Enc(x))`` and ``x̂ = Dec(dequantize(codes))``.

    Encoder and decoder run on one thread
    (:func:`~recops_models.tokenizers.clustering.threads.one_thread`).
    """

    network: Autoencoder | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        return ("network",)

    def encode(self, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """The codes of the latents; see :meth:`Tokenizer.encode`."""
        return self._quantize(self.latents(vectors))

    def decode(self, codes: Tensor) -> Tensor:
        """Through the decoder; see :meth:`Tokenizer.decode`."""
        return self._fitted_network().vectors(self._dequantize(codes))

    def latents(self, vectors: Tensor) -> Tensor:
        """``[N, d]`` float32: what is quantized of ``vectors [N, D]``."""
        points = self._check("encode", vectors)
        network = self._fitted_network()
        self._check_width("encode", points, len(network.mean))
        return network.latents(points)

    @abstractmethod
    def _new_network(self, points: Tensor) -> Autoencoder:
        """An untrained network for vectors like ``points [N, D]``."""

    @abstractmethod
    def _quantize(self, latents: Tensor) -> Tensor:
        """Codes ``[N, L]`` int32."""

    @abstractmethod
    def _dequantize(self, codes: Tensor) -> Tensor:
        """What the decoder takes."""

    def _start_network(self, points: Tensor, given: Fitting) -> Autoencoder:
        """An untrained network, of the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(given.seed)
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
    """Residual quantization of latents: codes by :func:`recops.rq_encode`, Dec(Σ codewords)."""

    codebooks: tuple[Tensor, ...] = ()
    """Of the fitted tokenizer: ``[K_l, d]`` float32 a level."""

    @property
    def _clustering(self) -> KMeansSettings:
        """How codebooks are learnt, and what is nearest."""
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
        self, points: Tensor, kept: tuple[Tensor, ...], given: Fitting
    ) -> tuple[Tensor, ...]:
        latents = TensorPoints(self.latents(points))
        return residual_kmeans(
            latents, self.vocab_sizes, given, settings=self._clustering, kept=kept
        )

    def _refit(self, points: Tensor, keep_levels: int, given: Fitting) -> None:
        self.codebooks = self._learn_codebooks(points, self.codebooks[:keep_levels], given)

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | {f"codebook_{at}": each for at, each in enumerate(self.codebooks)}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        super()._restore(state)
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))
