"""Catalogue of items as input of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from recops_models.callbacks import Callbacks
from recops_models.data import Dataset, named_split
from recops_models.item_vectors import ItemVectors
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.behaviour import behaviour_pairs, exposures
from recops_models.tokenizers.metrics import SidMetrics, sid_metrics
from recops_models.tokenizers.sids import Sids
from recops_models.training.device import AUTO


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items to tokenize.

    Attributes:
        items: item vectors.
        pairs: ``[E, 2]`` i64, ids of items that occur close together in a history; None: unknown.
        weights: ``[N]`` f32, number of events per item; None: unknown.
        keys: ``[N]``, ids as in the source; None: the ids of ``items``.
    """

    items: ItemVectors
    pairs: Tensor | None = None
    weights: Tensor | None = None
    keys: list[str] | list[int] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def check(self, tokenizer: Tokenizer) -> None:
        """Check that ``tokenizer`` can be fitted to the items; see :meth:`Tokenizer.check_fit`."""
        ids = torch.from_numpy(self.items.item_ids)
        tokenizer.check_fit(self._vectors(), ids, pairs=self.pairs, weights=self.weights)

    def fit(
        self,
        tokenizer: Tokenizer,
        *,
        seed: int,
        callbacks: Callbacks | None = None,
        folder: Path | None = None,
        resume: bool = False,
        device: str | torch.device = AUTO,
    ) -> None:
        """Fit ``tokenizer`` to the items; see :meth:`Tokenizer.fit`."""
        ids = torch.from_numpy(self.items.item_ids)
        tokenizer.fit(
            self._vectors(),
            ids,
            seed=seed,
            callbacks=callbacks,
            pairs=self.pairs,
            weights=self.weights,
            folder=folder,
            resume=resume,
            device=device,
        )

    def evaluate(self, tokenizer: Tokenizer) -> tuple[Sids, SidMetrics]:
        """Return the codes of all items, and their metrics.

        See :func:`~recops_models.tokenizers.metrics.sid_metrics`.
        """
        vectors = self._vectors()
        codes = tokenizer.encode(vectors, weights=self.weights)
        sids = Sids(self.items.item_ids, codes.numpy(), self.keys)
        return sids, sid_metrics(tokenizer, vectors, codes)

    def _vectors(self) -> Tensor:
        return torch.from_numpy(self.items.vectors)


def read_catalogue(dataset: Dataset, make: Callable[[Dataset, pa.Table], ItemVectors]) -> Catalogue:
    """Return the items of a data set, with pairs and weights from its training part only.

    Args:
        dataset: split by :func:`recops_models.data.named_split`.
        make: builds item vectors from the data set and its training part.
    """
    _, split = named_split(dataset)
    histories = split.histories()
    ids = dataset.item_vocabulary.ids
    return Catalogue(
        make(dataset, split.train),
        behaviour_pairs(histories, ids),
        exposures(histories, len(ids)),
        dataset.item_keys,
    )
