"""Base class of runs that fit a tokenizer, on synthetic items or those of a data set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from torch import Tensor
from typing_extensions import Self

from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.tokenizers import Tokenizer
from recops_models.tokenizers.fitting import FitShare

_QUICK_ITEMS = 2000


class SomeItems(Protocol):
    """Items that can be truncated for a quick run."""

    def first(self, number: int) -> Self:
        """Return the first ``number`` items."""
        ...


ItemsT = TypeVar("ItemsT", bound=SomeItems)


class ItemRuns(Experiment[Callable[[int], ItemsT]], Generic[ItemsT]):
    """Fits of a tokenizer."""

    synthetic: ClassVar[str]
    """Name of the synthetic items, drawn per seed."""
    tunable: ClassVar[bool] = False
    """Whether there is a validation part that can select settings."""

    def load(self, data: str) -> Callable[[int], ItemsT]:
        """Return a function from seeds to items; items of a data set do not depend on the seed."""
        if data == self.synthetic:
            return self._draw
        items = self._read(data)
        return lambda seed: items

    def measure(
        self,
        run: Run,
        data: Callable[[int], ItemsT],
        folder: Path,
        callbacks: Callbacks,
    ) -> tuple[Metrics, Metrics]:
        """Fit, save ``tokenizer.safetensors``, and measure validation (trial) or test.

        Raises:
            ValueError: a trial without a validation part, or items that do not suit the method.
        """
        if not (run.test or self.tunable):
            raise ValueError(
                f"{run.model}: these runs have no validation part, so they cannot be tuned"
            )
        items = self.some(data(run.seed), quick=run.quick)
        metrics = self._measure(run, items, folder, callbacks)
        return ({}, metrics) if run.test else (metrics, {})

    @staticmethod
    def some(items: ItemsT, *, quick: bool) -> ItemsT:
        """Return the items of a run."""
        return items.first(_QUICK_ITEMS) if quick else items

    @abstractmethod
    def _draw(self, seed: int) -> ItemsT:
        """Draw synthetic items."""

    @abstractmethod
    def _read(self, data: str) -> ItemsT:
        """Return the items of a data set."""

    @abstractmethod
    def _measure(self, run: Run, items: ItemsT, folder: Path, callbacks: Callbacks) -> Metrics:
        """Fit, and measure test, or validation in a trial."""


def fit_and_save(
    tokenizer: Tokenizer,
    vectors: Tensor,
    item_ids: Tensor,
    folder: Path,
    callbacks: Callbacks,
    *,
    seed: int,
    pairs: Tensor | None = None,
    weights: Tensor | None = None,
) -> None:
    """Fit or resume, and save ``tokenizer.safetensors``."""
    tokenizer.fit(
        vectors,
        item_ids,
        callbacks=FitShare(tokenizer.stages, callbacks),
        seed=seed,
        pairs=pairs,
        weights=weights,
        folder=folder,
        resume=True,
    )
    tokenizer.save(folder / "tokenizer.safetensors")
