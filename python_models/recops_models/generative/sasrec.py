"""SASRec: causal self-attention over the history, and a softmax over all or sampled items.

Source: Kang and McAuley, Self-Attentive Sequential Recommendation, 2018. The loss is the full
softmax of Klenitskiy and Vasilev, 2023, which makes SASRec a strong baseline; the original has one
sampled negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models import workers
from recops_models.generative.item_rows import rows_or_mean
from recops_models.generative.item_softmax import item_softmax_loss
from recops_models.generative.ranker import Ranker, Ranking, check_lengths, top_unseen
from recops_models.generative.sampled_softmax import negatives_shape, sampled_softmax_loss
from recops_models.generative.windows import at_rows, target_rows
from recops_models.layers.attention import CausalBlock
from recops_models.layers.dropout import Dropout
from recops_models.layers.padded_rows import draw_rows
from recops_models.setting_checks import check_at_least, check_heads, check_shares


@dataclass(frozen=True)
class SASRecConfig:
    """Sizes of SASRec.

    Attributes:
        history: T, number of most recent events that are read.
        width: d.
        heads: attention heads; must divide ``width``.
        layers: transformer blocks.
        dropout: on the embeddings and within the blocks.
        negatives: items drawn uniformly per target for a sampled softmax, shared by as many
            targets; 0: a softmax over all items.

    Raises:
        ValueError: a size is too small, the heads do not divide the width, or the dropout is
            outside [0, 1).

    Example:
        >>> from recops_models.generative.sasrec import SASRecConfig
        >>> SASRecConfig(width=64, heads=3)
        Traceback (most recent call last):
            ...
        ValueError: sasrec: heads must divide width 64, got 3
    """

    history: int = 50
    width: int = 64
    heads: int = 2
    layers: int = 1
    dropout: float = 0.4
    negatives: int = 0

    def __post_init__(self) -> None:
        check_at_least("sasrec", self, history=1, width=1, heads=1, layers=1, negatives=0)
        check_shares("sasrec", self, "dropout")
        check_heads("sasrec", self.width, self.heads)


class SASRec(Ranker):
    """SASRec: ``logits_t = E h_t + b``, with h a causal transformer over ``√d · E[history] + P``.

    Input and output share the item table E.

    Args:
        num_items: N.
        config: sizes.

    Example:
        >>> import torch
        >>> from recops_models.generative.sasrec import SASRec, SASRecConfig
        >>> model = SASRec(num_items=5, config=SASRecConfig(history=4, width=8))
        >>> history, target = torch.tensor([[1, 2, 3, 0]]), torch.tensor([[2, 3, 4, 0]])
        >>> model.loss(history, target).backward()
        >>> model.eval().decode(history, lengths=torch.tensor([3]), k=2).items.shape
        torch.Size([1, 2])
    """

    def __init__(self, num_items: int, config: SASRecConfig) -> None:
        super().__init__()
        self.num_items, self.config = num_items, config
        self.item = nn.Embedding(1 + num_items, config.width, padding_idx=0)
        self.place = nn.Parameter(torch.empty(config.history, config.width))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            CausalBlock(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        draw_rows(self.item, 0.02)
        nn.init.normal_(self.place, std=0.02)

    @property
    def window(self) -> int:
        """T, the number of events that are read."""
        return self.config.history

    def item_vectors(self) -> Tensor:
        """See :meth:`Ranker.item_vectors`; these are the embeddings of events."""
        return self.item.weight[1:].detach()

    def with_items(self, rows: Tensor) -> SASRec:
        """See :meth:`Recommender.with_items`; a new item has the mean embedding and the mean bias.

        Its logit is then the mean logit of the items of training.
        """
        table, bias = self.item.weight.detach(), self.item_bias.detach()
        items = rows_or_mean(table[1:], rows)
        with torch.random.fork_rng(devices=[]):
            model = SASRec(len(rows), self.config).to(table.device)
        weights = self.state_dict()
        weights["item.weight"] = torch.cat([table[:1], items])
        weights["item_bias"] = rows_or_mean(bias, rows)
        model.load_state_dict(weights)
        return model.train(self.training)

    def encode(self, history: Tensor) -> Tensor:
        """Return the state after each event, ``[B, T, d]``.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
        """
        events = self.item(history) * self.config.width**0.5  # (B, T, d)
        x = self.dropout(events + self.place[: history.shape[1]])
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def logits(self, state: Tensor) -> Tensor:
        """Return the logits of all items ``[..., N]`` from states ``[..., d]``."""
        return F.linear(state, self.item.weight[1:], self.item_bias)

    def loss(self, history: Tensor, target: Tensor, *, rows: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy of the next items; see :meth:`Ranker.loss`.

        With ``negatives`` K, items are drawn from torch's generator; K targets share K of them.
        """
        rows = target_rows(target) if rows is None else rows
        state, item = at_rows(self.encode(history), rows), at_rows(target, rows) - 1
        if not self.config.negatives:
            losses = item_softmax_loss(state, self.item.weight[1:], self.item_bias, item)
            return workers.share_of_mean(losses)
        shape = negatives_shape(len(item), self.config.negatives)
        drawn = torch.randint(self.num_items, shape, device=item.device)
        return workers.share_of_mean(
            sampled_softmax_loss(state, item, drawn, self._look_up, self.num_items)
        )

    def _look_up(self, item: Tensor) -> tuple[Tensor, Tensor]:
        return self.item(item + 1), self.item_bias[item]

    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of all items after each history, ``[B, N]``."""
        last = (lengths[:, None, None] - 1).expand(-1, -1, self.config.width)
        return self.logits(self.encode(history).gather(1, last).squeeze(1))

    def decode(
        self, history: Tensor, lengths: Tensor, k: int, excluded: Sequence[Tensor] | None = None
    ) -> Ranking:
        """Return the ``k`` best items; scores are logits. See :meth:`Ranker.decode`."""
        check_lengths("SASRec", lengths)
        return top_unseen(self.score_all(history, lengths), excluded, k)
