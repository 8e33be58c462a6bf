"""Runs that fit a tokenizer on items, made up for every seed or those of a data set."""

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
    """Items of which a quick run takes the first."""

    def first(self, number: int) -> Self:
        """The first ``number`` of them alone."""
        ...


ItemsT = TypeVar("ItemsT", bound=SomeItems)


class ItemRuns(Experiment[Callable[[int], ItemsT]], Generic[ItemsT]):
    """Runs on items."""

    synthetic: ClassVar[str]
    """The name of the items that are drawn anew for every seed."""
    tunable: ClassVar[bool] = False
    """Whether there is a validation to choose settings by."""

    def load(self, data: str) -> Callable[[int], ItemsT]:
        """The items of a seed: synthetic ones, or, the same for all, those of a named data set or
        a folder.
        """
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
        """Leaves ``tokenizer.safetensors``; validation of a trial, else test.

        Raises:
            ValueError: a trial where there is no validation; items that the method cannot take.
        """
        if not (run.test or self.tunable):
            raise ValueError(f"{run.model}: these runs have no validation to choose by")
        items = self.some(data(run.seed), quick=run.quick)
        found = self._measure(run, items, folder, callbacks)
        return ({}, found) if run.test else (found, {})

    @staticmethod
    def some(items: ItemsT, *, quick: bool) -> ItemsT:
        """The items that a run is made on."""
        return items.first(_QUICK_ITEMS) if quick else items

    @abstractmethod
    def _draw(self, seed: int) -> ItemsT:
        """Synthetic items."""

    @abstractmethod
    def _read(self, data: str) -> ItemsT:
        """The items of a data set."""

    @abstractmethod
    def _measure(self, run: Run, items: ItemsT, folder: Path, callbacks: Callbacks) -> Metrics:
        """Fit and measure: on test, or a trial on validation."""


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
    """Fit, from where an interrupted start left it; leaves ``tokenizer.safetensors``."""
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
