"""EASE: a linear model of all item pairs, in closed form.

Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, equation 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg, sparse
from torch import Tensor
from torch.nn import functional as F

from recops_models.data.histories import Histories
from recops_models.generative.history_scorer import HistoryScorer
from recops_models.generative.item_rows import rows_or
from recops_models.setting_checks import check_above_zero, check_at_least, check_at_most

MOST_ITEMS = 30_000
"""Largest catalogue: the matrix takes 3.6 GB in the model, and three times that in training."""
_ROWS = 1 << 10
"""Rows of the inverse that are mirrored at once."""


@dataclass(frozen=True)
class EASEConfig:
    """Settings of EASE.

    Attributes:
        l2: λ > 0 of the squared weights.
        decay: in (0, 1], weight of an event relative to the next one of the history.
        history: number of most recent events that are read.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> from recops_models.generative.ease import EASEConfig
        >>> EASEConfig(l2=0.0)
        Traceback (most recent call last):
            ...
        ValueError: ease: l2 must be > 0, got 0.0
    """

    l2: float = 250.0
    decay: float = 1.0
    history: int = 200

    def __post_init__(self) -> None:
        check_above_zero("ease", self, "l2", "decay")
        check_at_least("ease", self, history=1)
        check_at_most("ease", self, decay=1)


class EASE(HistoryScorer):
    """Scores ``x B``, with B the ridge regression of each item on all others.

    With X ``[U, N]`` the users' items, ``P = (Xᵀ X + λ I)^{-1}``::

        B_ij = −P_ij / P_jj for i ≠ j, and B_jj = 0

    Args:
        weights: B ``[N, N]`` f32.
        config: settings.

    Example:
        >>> import numpy as np
        >>> from recops_models.data.histories import Histories
        >>> from recops_models.generative.ease import EASE, EASEConfig
        >>> train = Histories(np.array([0, 3, 5, 7]), np.array([0, 1, 2, 0, 1, 0, 3]), np.arange(7))
        >>> model = EASE.fit(train, num_items=4, config=EASEConfig(l2=1.0))
        >>> request = Histories(np.array([0, 1]), items=np.array([0]), rows=np.array([0]))
        >>> model.recommend(request, k=1).items  # two of three users of item 0 have item 1
        tensor([[1]])
    """

    weights: Tensor

    def __init__(self, weights: Tensor, config: EASEConfig) -> None:
        super().__init__()
        self.config, self.num_items = config, len(weights)
        self.register_buffer("weights", weights.float())

    @classmethod
    def fit(cls, train: Histories, num_items: int, config: EASEConfig) -> EASE:
        """Solve for B on training histories.

        Args:
            train: training histories.
            num_items: N.
            config: settings.

        Raises:
            ValueError: more than 30,000 items.

        Complexity:
            O(N³) time and O(N²) memory.
        """
        if num_items > MOST_ITEMS:
            raise ValueError(
                f"ease: the catalogue must have at most {MOST_ITEMS:,} items, got {num_items:,}"
            )
        user = np.repeat(np.arange(len(train)), train.lengths)
        known = train.items >= 0
        ones = np.ones(int(known.sum()))
        shape = (len(train), num_items)
        x = sparse.csr_matrix((ones, (user[known], train.items[known])), shape=shape)
        x.data[:] = 1  # An item that a user met twice counts once.
        gram = (x.T @ x).toarray(order="F")
        gram[np.diag_indices(num_items)] += config.l2
        factor, _ = linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
        inverse, _ = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        del gram, factor
        weights = np.empty((num_items, num_items), dtype=np.float32)
        diagonal = inverse.diagonal()
        for start in range(0, num_items, _ROWS):  # LAPACK writes the lower triangle only.
            rows = slice(start, min(start + _ROWS, num_items))
            square = np.tril(inverse[rows, rows])
            weights[rows, :start] = -inverse[rows, :start] / diagonal[:start]
            weights[rows, rows] = -(square + np.tril(square, -1).T) / diagonal[rows]
            weights[rows, rows.stop :] = -inverse[rows.stop :, rows].T / diagonal[rows.stop :]
        weights[np.diag_indices(num_items)] = 0
        return cls(torch.from_numpy(weights), config)

    @property
    def window(self) -> int:
        """T, the number of events that are read."""
        return self.config.history

    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`HistoryScorer.score_all`; an item that occurs twice counts once, as last.

        Complexity:
            O(B T N): the rows of the history's items are summed.
        """
        step = torch.arange(history.shape[1], device=history.device)
        age = (lengths[:, None] - 1 - step).clamp(min=0)
        last = step.new_zeros(len(history), 1 + self.num_items)
        last = last.scatter_reduce(1, history, step.expand_as(history), "amax")
        counts = (history > 0) & (last.gather(1, history) == step)
        weight = torch.where(counts, self.config.decay ** age.to(self.weights.dtype), 0.0)
        rows = (history - 1).clamp(min=0)
        return F.embedding_bag(rows, self.weights, mode="sum", per_sample_weights=weight)

    def with_items(self, rows: Tensor) -> EASE:
        """See :meth:`Recommender.with_items`; a new item has no weights."""
        of_inputs = rows_or(self.weights, rows, 0)
        return EASE(rows_or(of_inputs.T, rows, 0).T.contiguous(), self.config)

    def item_vectors(self) -> Tensor:
        """See :meth:`HistoryScorer.item_vectors`; the weights of an item as input."""
        return self.weights
