"""What every tokenizer offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from torch import Tensor
from typing_extensions import Self

Progress: TypeAlias = Callable[[int, int, float], None]
"""Called after each iteration with the level, the iteration and the mean squared error so far."""


class Tokenizer(Protocol):
    """Learns codebooks from item vectors and turns vectors into codes and back."""

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""

    def fit(
        self, vectors: Tensor, item_ids: Tensor, *, seed: int = 0, progress: Progress | None = None
    ) -> Self:
        """Learn from ``vectors [N, D]`` of the items ``item_ids [N]``; returns itself."""

    def encode(self, vectors: Tensor) -> Tensor:
        """Codes ``[N, L]`` int32 of ``vectors [N, D]``."""

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors ``[N, D]`` that codes ``[N, L]`` stand for."""

    def save(self, path: Path) -> None:
        """Write everything into one sealed file."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The tokenizer that :meth:`save` wrote."""
