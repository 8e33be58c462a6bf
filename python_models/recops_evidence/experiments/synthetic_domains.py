"""Synthetic super-domain and small domain whose clicks follow similar tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data import Dataset
from recops_models.data.report import ImportReport

_BEGIN = 1_600_000_000
_DAY = 86_400

SUPER, SMALL = "super", "small"


@dataclass(frozen=True)
class SyntheticDomains:
    """``logit = .6 p_u·q_i + b_i − 1.5`` in the super-domain; in the small one, later,
    ``.6 p_u·(I + ρE) q_i + b_i + ρ c_i − 1.5``.

    p, q, b, c and E are normal numbers, of deviation 1, 1, .5, .5 and 1/√6, with six tastes. Users
    and items are the same in both; with ρ = 0 so is the law. An impression shows an item drawn
    uniformly. There is a day for each part: the super-domain's, and the small domain's.

    Over a stream, impressions of the small domain's training come in ``slices``, which show items
    of the first of six groups and of the second in turn; validation and test show all groups.

    Source: ours, for KEEP (arXiv 2208.10174). The paper has 29 impressions per user in the small
    domain and 236 in total (confirmed).

    Attributes:
        shift: ρ.
        users: number of users.
        items: number of items.
        of_super: impressions per user in the super-domain.
        of_small: impressions per user in the training part of the small domain; validation and test
            together have the same number.
        slices: slices of the stream; 0: items are drawn from all groups.
    """

    shift: float
    users: int = 1500
    items: int = 800
    of_super: int = 232
    of_small: int = 29
    slices: int = 0

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group ``[items]`` of each item, 0 to 5."""
        return np.arange(self.items) % 6

    def draw(self, seed: int) -> Dataset:
        """Draw tastes and clicks; the column ``domain`` has the domain of each event."""
        rng = np.random.default_rng(seed)
        taste, item = rng.normal(size=(self.users, 6)), rng.normal(size=(self.items, 6))
        bias, moved = rng.normal(0, 0.5, size=(2, self.items))
        turned = np.eye(6) + self.shift * rng.normal(size=(6, 6)) / np.sqrt(6)
        large = 0.6 * taste @ item.T + bias - 1.5
        small = 0.6 * taste @ turned @ item.T + bias + self.shift * moved - 1.5
        later = self.users * self.of_small
        drawn = [
            (large, rng.integers(self.items, size=self.users * self.of_super)),
            (small, self._streamed(rng, later)),
            (small, rng.integers(self.items, size=later)),
        ]
        tables = [
            self._impressions(rng, logit, shown, day) for day, (logit, shown) in enumerate(drawn)
        ]
        user_table = pa.table({"user_id": np.arange(self.users)})
        item_table = pa.table({"item_id": np.arange(self.items)})
        report = ImportReport("synthetic")
        return Dataset("domains", pa.concat_tables(tables), item_table, user_table, report)

    def _streamed(self, rng: np.random.Generator, number: int) -> NDArray[np.int64]:
        if not self.slices:
            return rng.integers(self.items, size=number)
        turn = np.arange(number) * self.slices // number % 2  # The group of each.
        return 6 * rng.integers(self.items // 6, size=number) + turn

    def _impressions(
        self,
        rng: np.random.Generator,
        logit: NDArray[np.float64],
        shown: NDArray[np.int64],
        day: int,
    ) -> pa.Table:
        number = len(shown)
        user = rng.permutation(np.arange(number) % self.users)
        label = rng.random(number) < 1 / (1 + np.exp(-logit[user, shown]))
        time = _BEGIN + day * _DAY + np.arange(number) * _DAY // number
        return pa.table(
            {
                "user_id": user,
                "item_id": shown,
                "timestamp": time,
                "label": label.astype(np.float32),
                "domain": pa.array([SMALL if day else SUPER] * number),
            }
        )
