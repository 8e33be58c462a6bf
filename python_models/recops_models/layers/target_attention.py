"""Target attention: how much each event of a history matters to a candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from recops_models.layers.mlp import MLP, ActivationName, activation

AttentionWeights = Literal["softmax", "raw", "uniform"]

_CHUNK = 1 << 19
"""Hidden units computed at a time on a CPU, 2 MB, so that each layer finds the last one's output in
the cache: forward and backward 101 ms instead of 181 ms (B=1024, T=100, d=36, hidden 80 and 40, one
thread of an AMD EPYC, minima of interleaved runs on a busy machine)."""
_SPARSE = 0.5
"""Below this share of places that hold an event, the events alone are scored: forward and backward
11.5 ms instead of 33.4 ms where a seventh do, 18.3 instead of 30.5 where three eighths do (B=512,
T=50, d=16, hidden 80 and 40, one thread of an Intel Xeon, minima of interleaved runs)."""
_SHORT = 16
"""With fewer events a row the same, whose matrix would cost more than they: 2.3 ms instead of 8.8
for one event a row, 4.9 instead of 11.8 for five, 14.9 instead of 16.5 for twenty (as above, no
place empty)."""


class PairLinear(nn.Module):
    """``h = W [q, k, q − k, q ∘ k] + b`` for each key k of a row, without that 4d-wide input.

    With ``W = [W_q, W_k, W_−, W_∘]``, ``h = (W_q + W_−) q + b + M_q k`` where ``M_q = W_k − W_− +
    W_∘ diag(q)`` is one matrix a row. So the keys go through one batched product of a quarter of
    the arithmetic, and memory is O(B (T + d) · hidden) where the written-out form keeps O(B T · 4d)
    more for its backward pass.

    Args:
        width: d, of the query and of the keys.
        hidden: of the output.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        written_out = nn.Linear(4 * width, hidden)  # Initialised as the layer that it stands for.
        self.weight, self.bias = written_out.weight, written_out.bias

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """``[B, d]`` and ``[B, T, d]`` to ``[B, T, hidden]``."""
        of_query, of_key, of_difference, of_product = self.weight.t().chunk(4)  # (d, hidden) each
        row = torch.addmm(self.bias, query, of_query + of_difference)  # (B, hidden)
        matrix = (of_key - of_difference) + query[:, :, None] * of_product  # (B, d, hidden)
        return torch.baddbmm(row[:, None], keys, matrix)

    def of_pairs(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """``[B, d]`` and ``[N, d]``, key n of query ``row[n]``, to ``[N, hidden]``: twice the
        arithmetic a pair, and no matrix a query.
        """
        of_query, of_key, of_difference, of_product = self.weight.t().chunk(4)
        own = torch.addmm(self.bias, query, of_query + of_difference)
        hidden = torch.addmm(own.index_select(0, row), keys, of_key - of_difference)
        return torch.addmm(hidden, query.index_select(0, row) * keys, of_product)


class EventAttention(nn.Module, ABC):
    """``Σ_t w_t k_t`` over a history's events, w of the scores of a candidate with each of them.

    "raw" takes the scores as they are: their sum tells how strong the interest is. "softmax"
    normalises them over the history. "uniform" is the control that looks at no candidate: ``w_t``
    is one over the length. A history of length 0 gives zero, and padding changes nothing.

    Args:
        weights: "softmax", "raw" or "uniform".

    Raises:
        ValueError: unknown weights.
    """

    def __init__(self, weights: AttentionWeights) -> None:
        super().__init__()
        if weights not in get_args(AttentionWeights):
            raise ValueError(
                f"{type(self).__name__}: weights must be softmax, raw or uniform, got {weights!r}"
            )
        self.weights = weights

    @abstractmethod
    def scores(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T]`` of a query ``[B, d]`` with keys ``[B, T, d]``; past the lengths ``[B]`` they
        may be anything finite.
        """

    def attention(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T]``: w, 0 past the lengths ``[B]``."""
        absent = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
        if self.weights == "uniform":
            return (~absent).to(keys.dtype) / lengths.clamp(min=1)[:, None]
        scores = self.scores(query, keys, lengths)
        if self.weights == "softmax":
            # The least number and not −∞, of which a row of length 0 would make NaN.
            scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min).softmax(-1)
        return scores.masked_fill(absent, 0)

    def forward(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """``[B, d]`` from a query ``[B, d]``, keys ``[B, T, d]`` and lengths ``[B]``."""
        return pool(self.attention(query, keys, lengths), keys)


class TargetAttention(EventAttention):
    """``Σ_t w_t k_t`` with ``w_t = MLP([q, k_t, q − k_t, q ∘ k_t])`` over a history's events.

    "raw" is the paper's; "softmax" is its released code's and DIEN's; with "uniform" there is no
    MLP. See :class:`EventAttention`.

    Source: Zhou et al., Deep Interest Network, KDD 2018, §4.3, equation 3, and its released code
    for the subtraction and the product. O(B T d · hidden) time.

    Args:
        width: d, of the query and of the keys.
        hidden: the widths of the MLP's hidden layers, one at least.
        activation_name: between them. Dice is refused: padding would enter its batch statistics.
        weights: "softmax", "raw" or "uniform".

    Raises:
        ValueError: no hidden layer, Dice, or unknown weights.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int] = (80, 40),
        *,
        activation_name: ActivationName = "sigmoid",
        weights: AttentionWeights = "softmax",
    ) -> None:
        super().__init__(weights)
        if not hidden:
            raise ValueError("TargetAttention: hidden must name one layer at least")
        if activation_name == "dice":
            raise ValueError(
                "TargetAttention: attention_activation must not be dice, since padding would enter "
                "its batch statistics"
            )
        if weights == "uniform":
            return
        self.pair = PairLinear(width, hidden[0])
        self.score = nn.Sequential(
            activation(activation_name, hidden[0]),
            MLP(hidden[0], hidden[1:], 1, activation_name=activation_name),
        )

    def scores(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T]``, a few rows at a time where that keeps them in the cache; events alone where
        most places hold none, or where they are few.
        """
        if keys.is_cuda or torch.compiler.is_compiling():
            return self._score(query, keys)
        T = keys.shape[1]
        present = (torch.arange(T, device=keys.device) < lengths[:, None]).flatten()
        if present.sum() < max(_SPARSE * len(present), _SHORT * len(query)):
            place = present.nonzero().squeeze(1)
            events = keys.flatten(0, 1).index_select(0, place)
            scores: Tensor = self.score(self.pair.of_pairs(query, events, place // T)).squeeze(1)
            return scores.new_zeros(len(present)).index_copy(0, place, scores).view(keys.shape[:2])
        rows = max(1, _CHUNK // max(1, T * self.pair.hidden))
        chunks = zip(query.split(rows), keys.split(rows), strict=True)
        return torch.cat([self._score(*chunk) for chunk in chunks])

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        hidden = self.pair(query, keys)  # (B, T, hidden)
        scores: Tensor = self.score(hidden.flatten(0, 1)).view(keys.shape[:2])
        return scores


class BilinearAttention(EventAttention):
    """``Σ_t w_t k_t`` with ``w = softmax_t(q·W k_t)`` over a history's events; 0 for no history.

    Source: Zhou et al., Deep Interest Evolution Network, AAAI 2019, equation 8. W begins as a
    linear layer. O(B (T + d) d) time.

    Args:
        width: d, of the query and of the keys.
        weights: see :class:`EventAttention`; the paper's is "softmax". "uniform" has no W.
    """

    def __init__(self, width: int, *, weights: AttentionWeights = "softmax") -> None:
        super().__init__(weights)
        if weights != "uniform":
            self.weight = nn.Parameter(nn.Linear(width, width, bias=False).weight.detach())

    def scores(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T]``: q·W k."""
        return torch.bmm(keys, (query @ self.weight)[:, :, None]).squeeze(-1)


def pool(weights: Tensor, keys: Tensor) -> Tensor:
    """``Σ_t w_t k_t``: ``[B, d]`` of weights ``[B, T]`` and keys ``[B, T, d]``."""
    return torch.bmm(weights[:, None], keys).squeeze(1)
