"""CAN in plain torch with the weights of a recops CAN: embedding rows and batched products."""

from __future__ import annotations

from itertools import pairwise

import plain_embedding
import torch
import torch.nn.functional as F
from plain_dice import plain_layers
from torch import Tensor, nn

from recops_models.click.can import Can
from recops_models.examples.batch import Batch
from recops_models.layers.coaction import CoAction, ids_of
from recops_models.layers.target_attention import TargetAttention


class PlainCan(nn.Module):
    """Forward pass of a CAN with co-action tables, on the modules of ``model``."""

    def __init__(self, model: Can) -> None:
        super().__init__()
        self.model = model
        self.head = plain_layers(model.head)

    def forward(self, batch: Batch) -> Tensor:
        """Return logits ``[B]``."""
        model = self.model
        embedding, unit = model.embedding, model.unit
        assert isinstance(unit, CoAction)
        lengths = embedding.lengths(batch)
        keys = plain_embedding.keys(embedding, batch)
        present = (torch.arange(keys.shape[1]) < lengths[:, None])[..., None]
        interest = (
            (keys * present).sum(1)
            if model.attention is None
            else _attend(
                model.attention.each[0], plain_embedding.query(embedding, batch), keys, lengths
            )
        )
        context = plain_embedding.context(embedding, batch)
        parts = [context, interest, *_coactions(unit, batch)]
        return self.head(torch.cat(parts, -1)).squeeze(-1)


def _attend(attention: TargetAttention, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
    """Compute DIN's attention from its concatenated input of width 4d."""
    first, (activation, last) = attention.pair, attention.score
    query = query[:, None].expand_as(keys)
    rows = torch.cat([query, keys, query - keys, query * keys], -1)
    scores = last(activation(F.linear(rows, first.weight, first.bias))).squeeze(-1)
    absent = torch.arange(keys.shape[1]) >= lengths[:, None]
    weights = scores.masked_fill(absent, torch.finfo(scores.dtype).min).softmax(-1)
    return (weights.masked_fill(absent, 0)[..., None] * keys).sum(1)


def _coactions(unit: CoAction, batch: Batch) -> list[Tensor]:
    """Return the co-actions of each pair, order by order and layer by layer."""
    network, outputs = unit.network, []
    for pair, (induction, fed) in zip(unit.pairs, unit._keys, strict=True):
        history, lengths = ids_of(batch, pair.fed)
        params = unit.params[induction](batch.features[pair.induction])
        row = unit.feeds[fed](history)
        present = (torch.arange(history.shape[1]) < lengths[:, None])[..., None]
        layers, begin = [], 0
        for inputs, width in pairwise(network.dims):
            bias = begin + inputs * width
            end = bias + network.bias * width
            layers.append(
                (params[:, begin:bias].unflatten(1, (inputs, width)), params[:, bias:end])
            )
            begin = end
        for order in range(1, network.orders + 1):
            hidden = row**order
            for layer, (weight, bias) in enumerate(layers, 1):
                hidden = hidden @ weight
                if network.bias:
                    hidden = hidden + bias[:, None]
                if layer < len(layers):
                    hidden = hidden.tanh()
                if network.concat_hidden or layer == len(layers):
                    outputs.append((hidden * present).sum(1))
    return outputs
