"""Synthetic clicks that depend only on pairs of items; no single item carries signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops_evidence.experiments.drawn_clicks import DrawnClicks, drawn_clicks
from recops_models.examples.click import ClickData


@dataclass(frozen=True)
class SyntheticPairs:
    """``logit = s / √T · Σ_t G[i, j_t]`` with G an N × N table, i and j_t uniform.

    With rank r, ``G = A Bᵀ / √r`` with A and B of N × r standard normal numbers; else every cell of
    G is ±1 with equal probability. Rows and columns are shifted to mean 0, so single items carry no
    signal. The cells of ``unseen`` are not shifted: a shift would leak from one part to another.

    Source: ours, for CAN (arXiv 2011.05625), which claims to model pairs that nothing else
    explains; sizes are choices. With s = 3 the best possible AUC is about .90.

    Attributes:
        items: N.
        rank: r; None: a table of independent cells.
        unseen: whether training, validation and test have disjoint cells; else all parts draw from
            all cells.
        events: T.
        examples: training examples; validation and test have half the number each.
        scale: s.
    """

    items: int
    rank: int | None
    unseen: bool = False
    events: int = 10
    examples: int = 20_000
    scale: float = 3.0

    @property
    def occurrences(self) -> float:
        """Mean number of training occurrences of a cell."""
        cells = self.items**2 / (3 if self.unseen else 1)
        return self.examples * self.events / cells

    def draw(self, seed: int) -> ClickData:
        """Draw a table and examples from it."""
        rng = np.random.default_rng(seed)
        table = self._table(rng)
        owner = rng.integers(3, size=table.shape)

        def draw(size: int, part: int) -> DrawnClicks:
            return self._clicks(rng, table, owner == part if self.unseen else owner >= 0, size)

        return drawn_clicks(
            "pairs", items=self.items, events=self.events, examples=self.examples, draw=draw
        )

    def _table(self, rng: np.random.Generator) -> NDArray[np.float64]:
        if self.rank is not None:
            sides = rng.normal(size=(2, self.items, self.rank))
            first, second = sides - sides.mean(1, keepdims=True)
            return np.asarray(first @ second.T / np.sqrt(self.rank), dtype=np.float64)
        table = rng.choice((-1.0, 1.0), size=(self.items, self.items))
        if self.unseen:
            return table
        shifted = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
        return np.asarray(shifted, dtype=np.float64)

    def _clicks(
        self,
        rng: np.random.Generator,
        table: NDArray[np.float64],
        open_cells: NDArray[np.bool_],
        number: int,
    ) -> DrawnClicks:
        item = rng.integers(self.items, size=number)
        count = open_cells.sum(1)
        columns = np.argsort(
            ~open_cells, axis=1, kind="stable"
        )  # The open cells of each row come first.
        rank = (rng.random((number, self.events)) * count[item][:, None]).astype(np.int64)
        history = columns[item[:, None], rank]
        logit = self.scale / np.sqrt(self.events) * table[item[:, None], history].sum(1)
        label = rng.random(number) < 1 / (1 + np.exp(-logit))
        return DrawnClicks(history, item, label)
