"""Insert and remove items of a trained UniRec."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import recops
from recops_models.generative.unirec.item_table import checked_content
from recops_models.generative.unirec.model import UniRec
from recops_models.training.device import array


class LiveItems:
    """A trained UniRec with a catalogue that changes; no weight is trained again.

    A new item has a path, from its attributes and the frozen tokenizer, and the next free index. It
    is decoded like any other item, since paths are scored token by token. In histories it has
    tokens and no learned embedding (:meth:`UniRec.with_catalogue`). A removed item is never
    recommended; histories may still contain it.

    Each change creates a new :attr:`model`; earlier ones keep their items. The cost of an insertion
    is a merge of the catalogue, see :class:`recops.SidCatalog`.

    Args:
        model: trained, with all its N items.

    Raises:
        ValueError: ``model`` belongs to another ``LiveItems`` whose catalogue has changed.

    Example:
        >>> import torch
        >>> from recops_models.generative.live_items import LiveItems
        >>> from recops_models.generative.unirec import UniRec, UniRecConfig

        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> config = UniRecConfig(num_attributes=0, history=4, width=8, heads=2)
        >>> live = LiveItems(UniRec(paths, (2, 3), torch.ones(3), config).eval())
        >>> live.insert(torch.tensor([[1, 2], [1, 0]])).tolist()
        [3, 4]

        >>> history, lengths = torch.tensor([[4, 1, 0, 0]]), torch.tensor([2])
        >>> sorted(live.model.decode(history, lengths, k=5).items[0].tolist())
        [0, 1, 2, 3, 4]
        >>> live.remove(torch.tensor([0]))
        >>> sorted(live.model.decode(history, lengths, k=4).items[0].tolist())
        [1, 2, 3, 4]
    """

    def __init__(self, model: UniRec) -> None:
        trained = model.item.num_embeddings - 1
        if (model.num_items, model.trie.num_items) != (trained, trained):
            raise ValueError(
                f"LiveItems: model must decode the {trained} items that it was trained on, got "
                f"{model.trie.num_items} of {model.num_items}; use the LiveItems it belongs to"
            )
        self.catalog = recops.SidCatalog(model.vocab_sizes)
        self._trained, self._paths = model, model.paths[1:] - 1
        self._prior = model.prior
        known = model.item.content
        self._content = None if known is None else known[:0]
        self.catalog.insert(np.arange(len(self._paths)), array(self._paths))
        self.model: UniRec = model

    def insert(self, paths: Tensor, content: Tensor | None = None) -> Tensor:
        """Insert items and return their indices, ``[n]`` i64; an index is never used twice.

        Args:
            paths: ``[n, m + L]`` integers, from 0: attributes, then codes.
            content: ``[n, D]``, content vectors of the items; a model with ``item_content`` needs
                them.

        Raises:
            ValueError: wrong number of tokens, a token out of range, or ``content`` is missing or
                of another shape; nothing changes.
        """
        if self._content is not None:
            width = self._content.shape[1]
            content = checked_content("LiveItems.insert", content, len(paths), width)
        first = len(self._paths)
        indices = torch.arange(first, first + len(paths))
        self.catalog.insert(array(indices), array(paths))
        self._paths = torch.cat([self._paths, paths.to(self._paths)])
        self._prior = torch.cat([self._prior, self._prior.new_zeros(len(paths))])
        if self._content is not None and content is not None:
            self._content = torch.cat([self._content, content.to(self._content)])
        self._update_model()
        return indices

    def remove(self, items: Tensor) -> None:
        """Remove items by index.

        Raises:
            ValueError: an item is not in the catalogue; nothing changes.
        """
        self.catalog.remove(array(items))
        self._update_model()

    def _update_model(self) -> None:
        self.model = self._trained.with_catalogue(
            self._paths, self._prior, self.catalog.snapshot(), self._content
        )
