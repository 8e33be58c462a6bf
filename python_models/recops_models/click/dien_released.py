"""DIEN with the quirks of its authors' released code (mouna99/dien, commit 1f314d1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.click.dien import Dien, DienConfig
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.dice import Dice
from recops_models.layers.mlp import MLP


class ReleasedDien(Dien):
    """:class:`~recops_models.click.dien.Dien` with the quirks that ``config.compat`` names.

    - "cell": GRUs are TensorFlow's GRUCell. The reset gate comes before the product, attention
      enters as ``z' = (1 − a) z``, and ``reset`` and ``update`` have no effect. There is one bias,
      1 for the gates; matrices start from Glorot's uniform law (confirmed).
    - "query": the candidate passes a linear layer and a PReLU of slope 0.1 before the attention
      (confirmed).
    - "affine": batch norms always use mean 0 and variance 1, before the last MLP and in the
      auxiliary scorer. Only their learnt scale and shift remain (confirmed).
    - "auxiliary": the auxiliary loss is divided by all cells, with padding, and counts twice. The
      released code halves the cross-entropy instead, which is the same to Adam (confirmed).
    - "sums": the MLP also reads the sum of the events and its product with the candidate. The sum
      includes padding, whose row is learnt (confirmed).
    - "dice": Dice uses the statistics of the batch in evaluation too (confirmed).
    - "tables": embeddings without pretrained vectors start from Glorot's uniform law (inferred:
      it is TensorFlow's default).

    Not reproduced: two logits (a softmax of two is a sigmoid of their difference); 1e-8 added to
    probabilities (which only avoids log 0); a crash at T < 2; the choice of the checkpoint on test.

    Args:
        schema: the features, fitted.
        config: sizes; ``compat`` names the quirks.

    Example:
        >>> from recops_models.click.dien import DienConfig
        >>> from recops_models.click.dien_released import ReleasedDien
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = ReleasedDien(schema, DienConfig(width=4, compat=("released",)))
        >>> model(batch).shape
        torch.Size([3])
    """

    padding: nn.Parameter | None

    def __init__(self, schema: FittedSchema, config: DienConfig) -> None:
        super().__init__(schema, config)
        if config.has("tables"):
            for name, owner in schema.schema.tables.items():
                table = self.embedding.tables[name]
                assert isinstance(table, nn.Embedding)
                if owner.pretrained is None:
                    nn.init.xavier_uniform_(table.weight)
                    nn.init.zeros_(table.weight[: UNKNOWN + 1])

    def output_dim(self) -> int:
        """Width of the MLP's input."""
        sums = 2 * self.embedding.history_dim if self.config.has("sums") else 0
        return super().output_dim() + sums

    def _build_head(self) -> nn.Module:
        """Return the last MLP; before it, draw the row of padding that :meth:`interest` reads."""
        self.padding = None
        if self.config.has("sums"):
            self.padding = nn.Parameter(0.01 * torch.randn(self.embedding.history_dim))
        width = self.output_dim()
        head = self.config.head(width)
        if not isinstance(head, MLP):
            raise ValueError(f"dien: compat needs heads=one, got {self.config.heads}")
        if self.config.has("dice"):
            for index, layer in enumerate(head):
                if isinstance(layer, Dice):
                    head[index] = Dice(len(layer.alpha), eps=1e-9, always_batch=True)
        if self.config.has("affine"):
            head.insert(0, Affine(width))
        return head

    def auxiliary_loss(self, states: Tensor, events: Tensor, lengths: Tensor) -> Tensor | None:
        """See :meth:`Dien.auxiliary_loss`; the quirk "auxiliary" doubles it."""
        loss = super().auxiliary_loss(states, events, lengths)
        return 2 * loss if loss is not None and self.config.has("auxiliary") else loss

    def interest(
        self, query: Tensor, states: Tensor, events: Tensor, lengths: Tensor
    ) -> list[Tensor]:
        """See :meth:`Dien.interest`; the quirk "sums" adds two columns of width d in front."""
        if self.padding is None:
            return super().interest(query, states, events, lengths)
        absent = events.shape[1] - lengths[:, None]
        summed = events.sum(1) + absent * self.padding  # (U, d)
        sums = [summed.expand_as(query), query * summed]
        return [*sums, *super().interest(query, states, events, lengths)]


class Affine(nn.Module):
    """``scale · x + shift``: a batch norm with mean 0 and variance 1.

    Example:
        >>> import torch
        >>> from recops_models.click.dien_released import Affine
        >>> Affine(3)(torch.tensor([[1.0, 2.0, 3.0]])).tolist()  # scale 1 and shift 0 at the start
        [[1.0, 2.0, 3.0]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift
