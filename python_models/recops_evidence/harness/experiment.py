"""An experiment and its runs: from an arm's name and settings to metrics."""

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
from recops_models.callbacks import Callbacks
from recops_models.versions import versions

Setting: TypeAlias = str | int | float
ArmSettings: TypeAlias = tuple[tuple[str, str], ...]
"""What ``--set`` takes, as pairs: hashable, in the order of their names."""

Metrics: TypeAlias = dict[str, float | None]
"""By name; None: not defined on this data."""


DataT = TypeVar("DataT")
AnyExperiment: TypeAlias = "Experiment[Any]"
"""An experiment on data that it alone knows the type of."""


Measure: TypeAlias = Callable[["Run", Path, Callbacks], tuple[Metrics, Metrics]]
"""Function of a run, its folder and callbacks that returns validation and test metrics."""


@dataclass(frozen=True)
class Run:
    """One run of an arm.

    Attributes:
        experiment: what kind of run.
        model: what the experiment calls it.
        data: the data set's name, or a folder.
        settings: changes of the model's defaults.
        seed: of every random draw.
        test: whether test is measured; tuning trials never do.
        quick: a little of it.
        share: of the users that it is made on.
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
        """A folder's name: readable, and another one for anything that differs, the model's
        defaults and the packages' versions among it.

        Raises:
            ValueError: see :meth:`Experiment.config`.
        """
        parts = [_config(self), self.test, self.share, versions()]
        content = json.dumps(parts, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        data = re.sub(r"\W+", "-", Path(self.data).name)
        kind = "test" if self.test else "trial"
        return f"{self.model}-{data}-{kind}-{self.seed}-{digest}"

    def setting(self, name: str) -> str | None:
        """One of the settings; None: it is not there."""
        return dict(self.settings).get(name)

    def choice(self, name: str, values: Sequence[str], *, model: str) -> str | None:
        """One of the settings, which ``model`` alone has; None: it is not there.

        Raises:
            ValueError: it is none of ``values``, or another model's.
        """
        chosen = self.setting(name)
        if chosen is not None and (chosen not in values or self.model != model):
            raise ValueError(
                f"{name} must be one of {', '.join(values)}, of {model}, got {chosen!r} of "
                f"{self.model}"
            )
        return chosen

    def without(self, name: str) -> Run:
        """The run that lacks one of the settings, if it is there."""
        return dataclasses.replace(self, settings=tuple(p for p in self.settings if p[0] != name))

    def having(self, name: str, value: str) -> Run:
        """The run with a setting, in place of its own if there is one."""
        kept = self.without(name).settings
        return dataclasses.replace(self, settings=tuple(sorted((*kept, (name, value)))))


@lru_cache(maxsize=8192)
def _config(run: Run) -> object:
    """Made once: a plan of hundreds of runs asks for every key after each of them."""
    return run.experiment.config(run)


class Experiment(ABC, Generic[DataT]):
    """How the runs of a claim's arms come to their metrics; it has no state."""

    alone: ClassVar[bool] = False
    """Whether nothing may run beside: a stopwatch."""

    @abstractmethod
    def config(self, run: Run) -> object:
        """All that the metrics depend on beside the packages' versions, JSON-ready.

        Raises:
            ValueError: unknown model or setting, or a value that is none.
        """

    @abstractmethod
    def load(self, data: str) -> DataT:
        """The data of that name.

        Raises:
            DataError: missing or unfit.
        """

    def on(self, data: str) -> Measure:
        """:meth:`measure` on the data of that name, which is loaded once, now."""
        loaded = self.load(data)
        return lambda run, folder, callbacks: self.measure(run, loaded, folder, callbacks)

    @abstractmethod
    def measure(
        self, run: Run, data: DataT, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Metrics on validation and on test; no test where ``run.test`` is False.

        Args:
            run: what to do.
            data: of :meth:`load`.
            folder: exists; may hold what an interrupted start of the same run left.
            callbacks: receive the share of the run that is done.

        Raises:
            ValueError: data that the run cannot be made on.
            KeyboardInterrupt: handed on.
        """

    def takes(self, data: str) -> bool:
        """Whether it can be made on other data than its claims name."""
        return True

    @property
    def label(self) -> str:
        """What tells its examples from those of other experiments on the same data."""
        return ""

    def floors_config(self, run: Run) -> object | None:
        """What :meth:`floors` depend on, JSON-ready; None: there are none."""
        return None

    def floors(self, run: Run, data: DataT) -> dict[str, Metrics]:
        """What is reached on the test part of ``run`` without any model, by floor.

        Args:
            run: one of those that are measured.
            data: of :meth:`load`.
        """
        return {}

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws | None:
        """Figures among users drawn with replacement; None: there are no users, or every seed has
        others, so that seeds differ by them already.

        Args:
            run: which.
            folder: of the run that :meth:`measure` has just ended.
            test: its metrics on test.
        """
        return None
