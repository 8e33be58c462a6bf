"""Scores of whole items, for the items that the beams found [I]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.generative.item_softmax import item_softmax_loss
from recops_models.generative.sampled_softmax import negatives_shape, sampled_softmax_loss
from recops_models.generative.unirec.config import UniRecConfig
from recops_models.generative.unirec.item_table import ItemTable


class ItemScores(nn.Module):
    """Scores ``s(i | history) = ⟨LayerNorm(h), e_i⟩ + b_i`` from the item table of the encoder.

    h is the history's state and e the table that embeds its events. ``log p(path)`` comes from rank
    heads that share no weights with this table; s adds what the table knows about whole items.

    Training draws K items uniformly from the N items with training events, shared by K targets of
    the batch, and takes a softmax over them and the target. Scores of drawn items are raised by
    ``ln(N / K)``, so that their sum estimates the sum over all items. Then s estimates
    ``log p(i | history)`` up to a constant per history, and can be added to ``log p(path)``. A
    target costs 1 + K scores and a request one score per beam; nothing scores the whole catalogue.
    With ``negatives=0`` the softmax is over all items with training events, N scores per target.

    An item without training events has no learned row: that part of its score is the mean of the
    other items found. With content vectors in the table, an item without content gets the mean of
    the other part, ``⟨LayerNorm(h), W c_i⟩``.

    The UniRec paper has no such scores. Dense scores of generated candidates are the idea of LIGER
    (Yang et al., Unifying Generative and Dense Retrieval for Sequential Recommendation, arXiv
    2411.18814); sampled softmax is from Jean et al., 2015 (arXiv 1412.2007).

    Args:
        events: ``[N]``, number of training events per item.
        config: sizes.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.item_scores import ItemScores
        >>> from recops_models.generative.unirec.item_table import ItemTable
        >>> scores = ItemScores(torch.tensor([3, 1, 0]), UniRecConfig(width=8))  # events per item
        >>> scores(torch.randn(2, 8), torch.tensor([[1, 2], [3, 0]]), ItemTable(3, 8)).shape
        torch.Size([2, 2])
    """

    known: Tensor
    known_items: Tensor

    def __init__(self, events: Tensor, config: UniRecConfig) -> None:
        super().__init__()
        self.negatives = config.negatives
        self.norm = nn.LayerNorm(config.width)
        self.bias = nn.Embedding(1 + len(events), 1, padding_idx=0)
        known = F.pad(events > 0, (1, 0))
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("known_items", known.nonzero()[:, 0], persistent=False)
        nn.init.zeros_(self.bias.weight)

    def forward(self, state: Tensor, item: Tensor, table: ItemTable) -> Tensor:
        """Return scores ``[B, k]``, in O(B · k · d).

        Args:
            state: ``[B, d]``.
            item: ``[B, k]``, 1-based; 0: no item. Items beyond the table were added after training.
            table: embeddings of N items.
        """
        row, state = item.where(item < len(self.known), 0), self.norm(state)
        scores: Tensor = (table.learned(row) @ state[..., None] + self.bias(row))[..., 0]
        scores = _or_mean(scores, self.known[row])
        content = table.content_scores(state, item)
        return scores if content is None else scores + _or_mean(*content)

    def score_all(self, state: Tensor, table: ItemTable) -> Tensor:
        """Return the scores of all items of the table, ``[n, N]``; −inf without training events.

        Args:
            state: ``[n, d]``.
            table: embeddings of N items.
        """
        return F.linear(self.norm(state), table.all_items(), self._all_biases())

    def loss(self, state: Tensor, target: Tensor, table: ItemTable) -> Tensor:
        """Return ``−log softmax`` of each target among the drawn items, ``[n]``.

        Draws from torch's generator. A drawn item that equals the target is ignored. With
        ``negatives=0`` the softmax is over all items, and nothing is drawn.

        Args:
            state: ``[n, d]``.
            target: ``[n]``, 1-based.
            table: embeddings of N items.

        Raises:
            ValueError: no item has training events.
        """
        items = self.known_items
        if not len(items):
            raise ValueError("UniRec: prior must be above 0 for at least one item, got all 0")
        if not self.negatives:
            bias = self._all_biases()
            return item_softmax_loss(self.norm(state), table.all_items(), bias, target - 1)
        shape = negatives_shape(len(target), self.negatives)
        drawn = items[torch.randint(len(items), shape, device=items.device)]
        return sampled_softmax_loss(
            self.norm(state), target, drawn, lambda item: self._look_up(item, table), len(items)
        )

    def _look_up(self, item: Tensor, table: ItemTable) -> tuple[Tensor, Tensor]:
        return table(item), self.bias(item)[:, 0]

    def _all_biases(self) -> Tensor:
        """Return b ``[N]``; −inf without training events."""
        return self.bias.weight[1:, 0].masked_fill(~self.known[1:], -torch.inf)


def _or_mean(values: Tensor, is_known: Tensor) -> Tensor:
    """Return ``values [B, k]``; unknown ones become the mean of the known values of their row."""
    count = is_known.sum(1, keepdim=True).clamp(min=1)
    return values.where(is_known, values.where(is_known, 0).sum(1, keepdim=True) / count)
