"""Target attention: weights of a history's events for a candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from recops._host import reads_are_free
from recops_models.layers.mlp import MLP, ActivationName, activation

AttentionWeights = Literal["softmax", "raw", "uniform"]

_CHUNK = 1 << 19
"""Hidden units per chunk on a CPU (2 MB), so that a layer's output stays in the cache."""
_SPARSE = 0.5
"""If a smaller share of positions holds an event, only the events are scored, without padding."""

_SHORT = 16
"""Rows with fewer events are scored pair by pair: a matrix per row would cost more."""


class PairLinear(nn.Module):
    """``h = W [q, k, q − k, q ∘ k] + b`` for each key k of a row, without the 4d-wide input.

    With ``W = [W_q, W_k, W_−, W_∘]``, ``h = (W_q + W_−) q + b + M_q k``, where the matrix
    ``M_q = W_k − W_− + W_∘ diag(q)`` is computed once per row. The batched product with the keys
    needs a quarter of the arithmetic. Memory is O(B (T + d) · hidden); the equivalent dense layer
    stores O(B T · 4d) more for its backward pass.

    Args:
        width: d, of the query and of the keys.
        hidden: width of the output.

    Example:
        >>> import torch
        >>> from recops_models.layers.target_attention import PairLinear
        >>> PairLinear(width=4, hidden=8)(torch.randn(3, 4), torch.randn(3, 5, 4)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        # The equivalent layer, which gives the initial weights.
        dense = nn.Linear(4 * width, hidden)
        self.weight, self.bias = dense.weight, dense.bias

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return ``[B, T, hidden]`` for queries ``[B, d]`` and keys ``[B, T, d]``."""
        w_query, w_key, w_difference, w_product = self.weight.t().chunk(4)  # (d, hidden) each
        row = torch.addmm(self.bias, query, w_query + w_difference)  # (B, hidden)
        matrix = (w_key - w_difference) + query[:, :, None] * w_product  # (B, d, hidden)
        return torch.baddbmm(row[:, None], keys, matrix)

    def pair_hidden(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Return ``[N, hidden]``: keys ``[N, d]``, key n with row ``row[n]`` of queries ``[B, d]``.

        It takes twice the arithmetic per pair, but no matrix per query.
        """
        w_query, w_key, w_difference, w_product = self.weight.t().chunk(4)
        own = torch.addmm(self.bias, query, w_query + w_difference)
        hidden = torch.addmm(own.index_select(0, row), keys, w_key - w_difference)
        return torch.addmm(hidden, query.index_select(0, row) * keys, w_product)


class EventAttention(nn.Module, ABC):
    """``Σ_t w_t k_t`` over a history's events, with weights from scores of the candidate.

    "raw" uses the scores as weights, so their sum measures the strength of the interest. "softmax"
    normalises them over the history. "uniform" is a control without scores: ``w_t`` is one over the
    length. A history of length 0 gives zero, and padding has no effect.

    Args:
        weights: "softmax", "raw" or "uniform".

    Raises:
        ValueError: unknown weights.

    Example:
        >>> import torch
        >>> from recops_models.layers.target_attention import EventAttention
        >>> class DotAttention(EventAttention):
        ...     def scores(self, query, keys, lengths):
        ...         return (keys @ query[..., None])[..., 0]
        >>> attention = DotAttention("softmax")
        >>> query, keys = torch.zeros(1, 2), torch.randn(1, 3, 2)
        >>> attention.attention(query, keys, lengths=torch.tensor([2])).tolist()
        [[0.5, 0.5, 0.0]]
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
        """Return scores ``[B, T]`` of queries ``[B, d]`` with keys ``[B, T, d]``.

        Scores past the lengths ``[B]`` may be any finite number.
        """

    def attention(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """Return weights ``[B, T]``, 0 past the lengths ``[B]``."""
        absent = torch.arange(keys.shape[1], device=keys.device) >= lengths[:, None]
        if self.weights == "uniform":
            return (~absent).to(keys.dtype) / lengths.clamp(min=1)[:, None]
        scores = self.scores(query, keys, lengths)
        if self.weights == "softmax":
            # Not −∞, which would give NaN in a row of length 0.
            scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min).softmax(-1)
        return scores.masked_fill(absent, 0)

    def forward(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """Return ``[B, d]`` for queries ``[B, d]``, keys ``[B, T, d]`` and lengths ``[B]``."""
        return pool(self.attention(query, keys, lengths), keys)


class TargetAttention(EventAttention):
    """``Σ_t w_t k_t`` with ``w_t = MLP([q, k_t, q − k_t, q ∘ k_t])`` over a history's events.

    The paper's weights are "raw", those of its released code and of DIEN "softmax". With "uniform"
    there is no MLP. See :class:`EventAttention`. O(B T d · hidden) time.

    Source: Zhou et al., Deep Interest Network, KDD 2018, §4.3, equation 3; the difference and the
    product are from its released code.

    Args:
        width: d, of the query and of the keys.
        hidden: widths of the MLP's hidden layers, at least one.
        activation_name: activation of the hidden layers. Dice is refused, since padding would enter
            its batch statistics.
        weights: "softmax", "raw" or "uniform".

    Raises:
        ValueError: no hidden layer, Dice, or unknown weights.

    Example:
        >>> import torch
        >>> from recops_models.layers.target_attention import TargetAttention
        >>> attention = TargetAttention(width=4)
        >>> query, keys, lengths = torch.randn(3, 4), torch.randn(3, 5, 4), torch.tensor([5, 2, 0])
        >>> attention(query, keys, lengths).shape
        torch.Size([3, 4])
        >>> attention.attention(query, keys, lengths)[2].tolist()  # an empty history
        [0.0, 0.0, 0.0, 0.0, 0.0]
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
            raise ValueError("TargetAttention: hidden must name at least one layer")
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
        """Return scores ``[B, T]``, see :meth:`EventAttention.scores`.

        On the host, rows are scored in chunks that fit the cache. If most positions are padding or
        histories are short, only the events are scored there.
        """
        if not reads_are_free(keys):
            return self._score(query, keys)
        T = keys.shape[1]
        present = (torch.arange(T, device=keys.device) < lengths[:, None]).flatten()
        if present.sum() < max(_SPARSE * len(present), _SHORT * len(query)):
            index = present.nonzero().squeeze(1)
            events = keys.flatten(0, 1).index_select(0, index)
            scores: Tensor = self.score(self.pair.pair_hidden(query, events, index // T)).squeeze(1)
            return scores.new_zeros(len(present)).index_copy(0, index, scores).view(keys.shape[:2])
        rows = max(1, _CHUNK // max(1, T * self.pair.hidden))
        chunks = zip(query.split(rows), keys.split(rows), strict=True)
        return torch.cat([self._score(*chunk) for chunk in chunks])

    def _score(self, query: Tensor, keys: Tensor) -> Tensor:
        hidden = self.pair(query, keys)  # (B, T, hidden)
        scores: Tensor = self.score(hidden.flatten(0, 1)).view(keys.shape[:2])
        return scores


class BilinearAttention(EventAttention):
    """``Σ_t w_t k_t`` with ``w = softmax_t(q·W k_t)`` over a history's events.

    An empty history gives 0. W starts as the weight of a linear layer. O(B (T + d) d) time.

    Source: Zhou et al., Deep Interest Evolution Network, AAAI 2019, equation 8.

    Args:
        width: d, of the query and of the keys.
        weights: see :class:`EventAttention`; the paper's is "softmax". "uniform" has no W.

    Example:
        >>> import torch
        >>> from recops_models.layers.target_attention import BilinearAttention
        >>> attention = BilinearAttention(width=4)
        >>> query, keys = torch.randn(3, 4), torch.randn(3, 5, 4)
        >>> attention(query, keys, lengths=torch.tensor([5, 2, 0])).shape
        torch.Size([3, 4])
    """

    def __init__(self, width: int, *, weights: AttentionWeights = "softmax") -> None:
        super().__init__(weights)
        if weights != "uniform":
            self.weight = nn.Parameter(nn.Linear(width, width, bias=False).weight.detach())

    def scores(self, query: Tensor, keys: Tensor, lengths: Tensor) -> Tensor:
        """Return q·W k, ``[B, T]``."""
        return torch.bmm(keys, (query @ self.weight)[:, :, None]).squeeze(-1)


def pool(weights: Tensor, keys: Tensor) -> Tensor:
    """Return ``Σ_t w_t k_t``, ``[B, d]``, of weights ``[B, T]`` and keys ``[B, T, d]``.

    Example:
        >>> import torch
        >>> from recops_models.layers.target_attention import pool
        >>> pool(torch.tensor([[0.5, 2.0]]), torch.tensor([[[2.0, 4.0], [1.0, 0.0]]]))
        tensor([[3., 2.]])
    """
    return torch.bmm(weights[:, None], keys).squeeze(1)
