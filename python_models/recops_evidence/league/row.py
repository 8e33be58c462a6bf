"""Rows of a league: models and baselines with their fixed settings and their grids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recops_evidence.harness.experiment import ArmSettings, Setting

Grid: TypeAlias = Mapping[str, tuple[Setting, ...]]
"""Ascending values to try, by setting."""


@dataclass(frozen=True, eq=False)
class LeagueRow:
    """One row of a league table.

    Attributes:
        name: name in the table.
        model: name of a recipe.
        settings: fixed settings, as ``--set`` takes them. They state every size, so that a change
            of a default does not change the row.
        grid: values to try.
        is_baseline: whether it is a baseline, with which models are compared.
        is_seeded: whether the figures depend on the seed; otherwise one run counts for all seeds.
        sets: names of the data sets that have this row; None: all of its kind.
        on: changes of fixed settings by set.
        limits: largest values of settings when a grid grows.
        shortened: names of sets on which trials use half of the users and two seeds, because one on
            all users takes more than ten core-minutes.
        tuned_as: name of the row whose best settings this row takes; it then tunes only its
            learning rate around that of the other row.
        tuned_on: by set, a set and a row whose best values of the settings in ``grid`` this row
            takes there; it then tunes only its learning rate around theirs and the settings that
            the other row lacks.
        use: when to use it.
        avoid: when to avoid it.

    Raises:
        ValueError: the values of a setting are not ascending, a setting is fixed and tuned, or the
            row has both a grid and ``tuned_as``.
    """

    name: str
    model: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    is_baseline: bool = False
    is_seeded: bool = True
    sets: tuple[str, ...] | None = None
    on: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    shortened: tuple[str, ...] = ()
    tuned_as: str | None = None
    tuned_on: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    use: str = ""
    avoid: str = ""

    def __post_init__(self) -> None:
        if self.grid and self.tuned_as:
            raise ValueError(f"Row {self.name}: grid must be empty with tuned_as, got {self.grid}")
        for setting, values in self.grid.items():
            if setting in self.settings:
                raise ValueError(f"Row {self.name}: {setting} must be fixed or tuned, got both")
            numbers = [value for value in values if isinstance(value, int | float)]
            if numbers != sorted(set(numbers)):
                raise ValueError(
                    f"Row {self.name}: {setting} must have ascending values, got {values}"
                )

    def fixed(self, of_set: str) -> dict[str, str]:
        """Return the fixed settings on a set, as text."""
        settings = {**self.settings, **self.on.get(of_set, {})}
        return {name: str(value) for name, value in settings.items()}

    def draw(self, number: int) -> list[ArmSettings]:
        """Return up to ``number`` combinations of the grid, the same ones in every call.

        If the grid has more combinations, every value of a setting is drawn about equally often, as
        in Latin hypercube sampling (McKay, Beckman and Conover, 1979).
        """
        if math.prod(len(values) for values in self.grid.values()) <= number:
            return [self._trial(values) for values in product(*self.grid.values())]
        drawn: dict[ArmSettings, None] = {}
        rng = np.random.default_rng(0)
        while len(drawn) < number:
            columns = [
                [values[index] for index in rng.permutation(_even(len(values), number, rng))]
                for values in self.grid.values()
            ]
            drawn |= dict.fromkeys(map(self._trial, zip(*columns, strict=True)))
        return list(drawn)[:number]

    def _trial(self, values: Sequence[Setting]) -> ArmSettings:
        return tuple(sorted(zip(self.grid, map(str, values), strict=True)))


def _even(values: int, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return ``number`` indices below ``values``, each about equally often."""
    return np.resize(rng.permutation(values), number)
