"""Tokenizers that quantize an encoder's latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

import recops
from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.dotted import below
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.clustering.kmeans import KMeansSettings
from recops_models.tokenizers.clustering.residual_kmeans import residual_kmeans
from recops_models.tokenizers.fitting import Fitting
from recops_models.tokenizers.methods.autoencoder import Autoencoder, VectorMoments
from recops_models.tokenizers.methods.item_task import NetworkSettings, train_network
from recops_models.tokenizers.methods.items import FittedItems, ItemsInFile, ItemsInMemory
from recops_models.training.device import fork_generators

_NETWORK = "network."


class NetworkTokenizer(Tokenizer):
    """Tokenizer with an autoencoder: ``codes = quantize(Enc(x))``, ``x̂ = Dec(dequantize(codes))``.

    Encoder and decoder run on one thread
    (:func:`~recops_models.tokenizers.clustering.threads.one_thread`).
    """

    streams = True
    network: Autoencoder | None = None

    @property
    def shares_fit(self) -> bool:
        return True

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
    def _new_network(self, moments: VectorMoments) -> Autoencoder:
        """Return an untrained network for vectors with these moments."""

    @abstractmethod
    def _fit_items(self, items: FittedItems, fitting: Fitting) -> None:
        """Fit to items in memory or in a file."""

    @abstractmethod
    def _quantize(self, latents: Tensor) -> Tensor:
        """Return codes ``[N, L]`` int32 of latents."""

    @abstractmethod
    def _dequantize(self, codes: Tensor) -> Tensor:
        """Return the decoder's input for codes."""

    def _fit(self, points: Tensor, fitting: Fitting) -> None:
        self._fit_items(ItemsInMemory(points), fitting)

    def _fit_file(self, file: VectorFile, fitting: Fitting) -> None:
        self._fit_items(ItemsInFile(file), fitting)

    def _start_network(self, items: FittedItems, fitting: Fitting) -> Autoencoder:
        """Return an untrained network that depends on the seed and the moments only."""
        moments = items.moments()
        with fork_generators(fitting.device, fitting.seed):
            return self._new_network(moments)

    def _train(
        self,
        network: nn.Module,
        autoencoder: Autoencoder,
        items: FittedItems,
        settings: NetworkSettings,
        fitting: Fitting,
    ) -> None:
        """Train ``network``, which contains ``autoencoder``, on the scaled vectors of items."""
        make_task = partial(items.task, autoencoder.to_scale)
        train_network(network, make_task, len(items), settings, fitting)

    def _state(self) -> dict[str, Tensor]:
        weights = self._fitted_network().state_dict()
        return {_NETWORK + name: value for name, value in weights.items()}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        network = self._new_network(VectorMoments.of(torch.zeros(1, len(state[_NETWORK + "mean"]))))
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
        self, items: FittedItems, fixed: tuple[Tensor, ...], fitting: Fitting
    ) -> tuple[Tensor, ...]:
        latents = items.points(self.latents, fitting.device)
        return residual_kmeans(
            latents, self.vocab_sizes, fitting, settings=self._clustering, fixed=fixed
        )

    def _refit(self, points: Tensor, keep_levels: int, fitting: Fitting) -> None:
        self.codebooks = self._learn_codebooks(
            ItemsInMemory(points), self.codebooks[:keep_levels], fitting
        )

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | {f"codebook_{at}": each for at, each in enumerate(self.codebooks)}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        super()._restore(state)
        self.codebooks = tuple(state[f"codebook_{level}"] for level in range(len(self._sizes)))
