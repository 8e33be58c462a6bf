"""An earlier training that a new one continues on newer data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from recops_models.recipes.known_ids import KnownIds
from recops_models.recipes.parts import Parts


@dataclass(frozen=True, eq=False)
class EarlierTraining:
    """A finished training.

    Attributes:
        folder: its folder.
        name: name of its recipe.
        parts: its settings by part.
        seed: its seed.
        model: its model.
        known: ids of its items and users; None for examples.
    """

    folder: Path
    name: str
    parts: Parts
    seed: int
    model: nn.Module
    known: KnownIds | None

    def stored_ids(self) -> KnownIds:
        """Return the ids of its items and users.

        Raises:
            ValueError: it was trained on examples.
        """
        if self.known is None:
            raise ValueError(
                f"train: {self.folder} must hold the ids of its items, got a training on examples"
            )
        return self.known
