"""Items that come and go while a trained model serves."""

from __future__ import annotations

import torch
from torch import Tensor

import recops
from recops_models.generative.unirec.model import UniRec


class LiveItems:
    """A trained UniRec, and the items it decodes now: nothing is trained again.

    A new item has a path by the frozen tokenizer and its attributes, and an index behind all
    others. It is decoded like any other, as a path is scored token by token; in histories it is its
    tokens alone (:meth:`UniRec.over`). An item that left is recommended no more, and histories may
    still hold it.

    Each change makes a model; one that is in use goes on with the items it had. Insertion costs the
    catalogue's merge, see :class:`recops.SidCatalog`.

    Args:
        model: trained, of N items.

    Raises:
        ValueError: the model is one of another ``LiveItems``, whose catalogue has changed.

    Examples:
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
                f"{model.trie.num_items} of {model.num_items}; go on with the LiveItems it is of"
            )
        self.catalog = recops.SidCatalog(model.vocab_sizes)
        self._trained, self._paths = model, model.paths[1:] - 1
        self._prior = model.prior
        self.catalog.insert(torch.arange(len(self._paths)).numpy(), self._paths.cpu().numpy())
        self.model: UniRec = model

    def insert(self, paths: Tensor) -> Tensor:
        """``[n]`` i64: the indices of new items, from the number of items that there ever were.

        Args:
            paths: ``[n, m + L]`` integers, from 0: attributes, then codes.

        Raises:
            ValueError: another number of tokens, or one outside its vocabulary; nothing changes.
        """
        first = len(self._paths)
        indices = torch.arange(first, first + len(paths))
        self.catalog.insert(indices.numpy(), paths.cpu().numpy())
        self._paths = torch.cat([self._paths, paths.to(self._paths)])
        self._prior = torch.cat([self._prior, self._prior.new_zeros(len(paths))])
        self._renew()
        return indices

    def remove(self, items: Tensor) -> None:
        """Take items out, by index.

        Raises:
            ValueError: one is not there; nothing changes.
        """
        self.catalog.remove(items.cpu().numpy())
        self._renew()

    def _renew(self) -> None:
        self.model = self._trained.over(self._paths, self._prior, self.catalog.snapshot())
