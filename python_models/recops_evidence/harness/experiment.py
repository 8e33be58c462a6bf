"""Experiments and their runs: a model with settings is measured on data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from recops_evidence.harness.user_draws import UserDraws
from recops_evidence.harness.user_values import UserValues
from recops_models.callbacks import Callbacks
from recops_models.versions import versions

Setting: TypeAlias = str | int | float
ArmSettings: TypeAlias = tuple[tuple[str, str], ...]
"""Settings as ``--set`` takes them: hashable pairs of name and text, sorted by name."""

Metrics: TypeAlias = dict[str, float | None]
"""Metrics by name; None: not defined on this data."""


DataT = TypeVar("DataT")
AnyExperiment: TypeAlias = "Experiment[Any]"
"""Experiment on data of any type."""


Measure: TypeAlias = Callable[["Run", Path, Callbacks], tuple[Metrics, Metrics]]
"""Function of a run, its folder and callbacks that returns validation and test metrics."""


@dataclass(frozen=True)
class Run:
    """One run of an arm.

    Attributes:
        experiment: measures the run.
        model: name of the model in the experiment.
        data: name of a data set, or a folder.
        settings: changes to the model's defaults.
        seed: seed of every random draw.
        test: whether the test part is measured; tuning trials never measure it.
        quick: whether the run is a small version.
        share: share of the users, in (0, 1].
    """

    experiment: AnyExperiment
    model: str
    data: str
    settings: ArmSettings
    seed: int
    test: bool
    quick: bool
    share: float = 1.0

    @property
    def key(self) -> str:
        """Name of the run's folder and record.

        The key changes with :meth:`Experiment.identity`.

        Raises:
            ValueError: see :meth:`Experiment.config`.
        """
        content = json.dumps(_identity(self), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        data = re.sub(r"\W+", "-", Path(self.data).name)
        kind = "test" if self.test else "trial"
        return f"{self.model}-{data}-{kind}-{self.seed}-{digest}"

    def setting(self, name: str) -> str | None:
        """Return the value of a setting, or None."""
        return dict(self.settings).get(name)

    def choice(self, name: str, values: Sequence[str], *, model: str) -> str | None:
        """Return the value of a setting that only ``model`` may have, or None.

        Raises:
            ValueError: the value is not one of ``values``, or the run has another model.
        """
        chosen = self.setting(name)
        if chosen is not None and (chosen not in values or self.model != model):
            raise ValueError(
                f"{name} must be one of {', '.join(values)} with {model}, got {chosen!r} with "
                f"{self.model}"
            )
        return chosen

    def without(self, name: str) -> Run:
        """Return the run without a setting."""
        return dataclasses.replace(self, settings=tuple(p for p in self.settings if p[0] != name))

    def having(self, name: str, value: str) -> Run:
        """Return the run with a setting changed or added."""
        others = self.without(name).settings
        return dataclasses.replace(self, settings=tuple(sorted((*others, (name, value)))))


@lru_cache(maxsize=8192)
def _identity(run: Run) -> object:
    """Return the identity of a run; cached, because a plan asks for every key repeatedly."""
    return run.experiment.identity(run)


class Experiment(ABC, Generic[DataT]):
    """Measurement of the runs of a claim's arms; it has no state."""

    may_fail: ClassVar[bool] = False
    """Whether a measured run that diverges or exceeds its time is recorded without metrics."""

    keeps_files: ClassVar[bool] = True
    """Whether the folder of a finished run remains."""

    def identity(self, run: Run) -> object:
        """Return everything that distinguishes a run's figures from those of other runs.

        By default that is the configuration with all defaults, and the versions of packages.
        """
        return [self.config(run), run.test, run.share, versions()]

    @abstractmethod
    def config(self, run: Run) -> object:
        """Return all inputs of the metrics except package versions, JSON-ready.

        Raises:
            ValueError: unknown model or setting, or a bad value.
        """

    @abstractmethod
    def load(self, data: str) -> DataT:
        """Load a data set.

        Raises:
            DataError: the data is missing or unsuitable.
        """

    def on(self, data: str) -> Measure:
        """Load a data set now and return :meth:`measure` on it."""
        loaded = self.load(data)
        return lambda run, folder, callbacks: self.measure(run, loaded, folder, callbacks)

    @abstractmethod
    def measure(
        self, run: Run, data: DataT, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Return metrics on validation and on test; test is empty unless ``run.test``.

        Args:
            run: the run.
            data: result of :meth:`load`.
            folder: folder of the run; may hold files of an interrupted start of the same run.
            callbacks: receive the share of the run that is done.

        Raises:
            ValueError: the data does not suit the run.
            KeyboardInterrupt: passed on.
        """

    def takes(self, data: str) -> bool:
        """Return whether the experiment can use data that its claims do not name."""
        return True

    @property
    def label(self) -> str:
        """Text that distinguishes its examples from those of other experiments on the same data."""
        return ""

    def floors_config(self, run: Run) -> object | None:
        """Return all inputs of :meth:`floors`, JSON-ready; None: there are no floors."""
        return None

    def floors(self, run: Run, data: DataT) -> dict[str, Metrics]:
        """Return test metrics of the floors (baselines without a model) by name.

        Args:
            run: a measured run.
            data: result of :meth:`load`.
        """
        return {}

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """Return metrics on bootstrap samples of the users.

        None: there are no users, or every seed has other users, so seeds include their variance.

        Args:
            run: a run that :meth:`measure` has just finished.
            folder: folder of the run.
            test: its test metrics.
        """
        return None

    def user_values(self, run: Run, folder: Path) -> UserValues | None:
        """Return values per user whose means are test metrics; None: there are none.

        Args:
            run: a run that :meth:`measure` has just finished.
            folder: folder of the run.
        """
        return None

    def costs(self, run: Run, folder: Path) -> Metrics:
        """Return the costs of a run that :meth:`measure` has just finished, by name."""
        return {}
