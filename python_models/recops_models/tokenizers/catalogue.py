"""What a data set tells a tokenizer of its items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from torch import Tensor

from recops_models.data import Dataset, named_split
from recops_models.item_vectors import ItemVectors
from recops_models.tokenizers.behaviour import behaviour_pairs, exposures


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items to tokenize.

    Attributes:
        items: their vectors.
        pairs: ``[E, 2]`` i64, ids of items that users met together; None: unknown.
        weights: ``[N]`` f32, how often each was met; None: unknown.
    """

    items: ItemVectors
    pairs: Tensor | None = None
    weights: Tensor | None = None


def read_catalogue(dataset: Dataset, make: Callable[[Dataset, pa.Table], ItemVectors]) -> Catalogue:
    """The items of a data set; pairs and weights from its training part alone.

    Args:
        dataset: is split as :func:`recops_models.data.named_split` splits it.
        make: item vectors, from the data set and its training part.
    """
    _, split = named_split(dataset)
    histories = split.histories()
    ids = dataset.item_vocabulary.ids
    return Catalogue(
        make(dataset, split.train), behaviour_pairs(histories, ids), exposures(histories, len(ids))
    )
