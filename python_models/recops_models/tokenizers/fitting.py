"""Inputs of a tokenizer's fit other than the vectors, and the progress of a whole fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recops_models import workers
from recops_models.callbacks import Callbacks
from recops_models.training.device import HOST

PARTIAL = ("levels.safetensors", "checkpoint.safetensors")
"""Files of an unfinished fit in its folder, from which it can be resumed."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """Inputs of a tokenizer's fit other than the vectors.

    Attributes:
        seed: seed of every random draw.
        callbacks: receive each stage and, within it, the share done and the current figures.
        pairs: ``[E, 2]`` i64, rows of items that occur close together in a history; None: unknown.
        weights: ``[N]`` f32, weights of the items; None: all 1.
        folder: directory for finished work; None: nothing is saved.
        resume: continue from the state in ``folder``.
        device: where networks and codebooks are trained. The results are on the host.
    """

    seed: int
    callbacks: Callbacks = field(default_factory=Callbacks)
    pairs: Tensor | None = None
    weights: Tensor | None = None
    folder: Path | None = None
    resume: bool = False
    device: torch.device = HOST

    def discard_previous(self) -> None:
        """Delete the files of an earlier fit in the folder, unless it is resumed."""
        if self.folder is not None and not self.resume and workers.is_first():
            for name in PARTIAL:
                (self.folder / name).unlink(missing_ok=True)

    def with_seed(self, seed: int) -> Fitting:
        """Return a copy with another seed."""
        return dataclasses.replace(self, seed=seed)


class FitShare(Callbacks):
    """Callbacks that report all stages of one fit as a single stage of other callbacks.

    Args:
        stages: stages of the tokenizer.
        outer: receive the share of the whole fit, with the current stage as the note.
    """

    def __init__(self, stages: Sequence[str], outer: Callbacks) -> None:
        self._stages, self._outer, self._stage = stages, outer, stages[0]

    def start(self, stage: str, **details: object) -> None:
        self._stage = stage

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        total = (self._stages.index(self._stage) + share) / len(self._stages)
        self._outer.advance(total, self._stage, **metrics)
