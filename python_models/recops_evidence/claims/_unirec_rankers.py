"""Arms of claims about UniRec: UniRec, SASRec and popularity with the same training settings."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.claim import Arm
from recops_evidence.harness.experiment import Setting

PAPER = "arXiv 2604.12234"


class Rankers:
    """Arms of claims on a kind of data.

    Args:
        training: training settings of all models.
        grid: grid of all models; empty: nothing is tuned.
        sizes: sizes of UniRec that differ from its defaults.
    """

    def __init__(
        self,
        training: Mapping[str, Setting],
        grid: Mapping[str, tuple[Setting, ...]],
        sizes: Mapping[str, Setting] | None = None,
    ) -> None:
        self._training, self._grid, self._sizes = training, grid, sizes or {}

    def arm(self, name: str, model: str, **settings: Setting) -> Arm:
        """Return a trained ranker."""
        return Arm(name, model, {**self._training, **settings}, self._grid)

    def unirec(self, name: str = "UniRec", **settings: Setting) -> Arm:
        """Return UniRec with its default settings, changed by the sizes and ``settings``."""
        return self.arm(name, "unirec", **{**self._sizes, **settings})

    def rivals(self, *, sasrec: bool = False) -> tuple[Arm, ...]:
        """Return SASRec if wanted, then popularity."""
        popularity = Arm("popularity", "popularity")
        return (self.arm("SASRec", "sasrec"), popularity) if sasrec else (popularity,)
