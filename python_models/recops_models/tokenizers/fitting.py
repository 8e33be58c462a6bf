"""What one fit is given beside the vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

FitProgress: TypeAlias = Callable[[str, float, float], None]
"""Called with one of a tokenizer's ``stages``, the share of it that is done, its error so far."""


PARTIAL = ("levels.safetensors", "checkpoint.safetensors")
"""What an unfinished fit leaves in its folder, to be resumed."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """What one fit is given beside the vectors.

    Attributes:
        seed: of every random draw.
        report: progress.
        pairs: ``[E, 2]`` i64, rows of the vectors that users met together; None: unknown.
        weights: ``[N]`` f32, of the items; None: all 1.
        folder: where finished work is kept; None: nowhere.
        resume: go on from what ``folder`` holds.
    """

    seed: int
    report: FitProgress
    pairs: Tensor | None = None
    weights: Tensor | None = None
    folder: Path | None = None
    resume: bool = False

    def begin(self) -> None:
        """Remove what an earlier fit left in the folder, unless it is to be resumed."""
        if self.folder is not None and not self.resume:
            for name in PARTIAL:
                (self.folder / name).unlink(missing_ok=True)

    def with_seed(self, seed: int) -> Fitting:
        """The same with another seed."""
        return dataclasses.replace(self, seed=seed)
