"""Exploration of recommendation lists, from text such as ``epsilon=0.1`` or ``softmax=0.05``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from recops_models.exploration.selection import Greedy, Selection, Softmax
from recops_models.setting_checks import check_above_zero, check_at_least
from recops_models.settings import changed, replace_checked

PolicyName: TypeAlias = Literal[
    "model", "greedy", "ts", "ucb", "gradient-ts", "gradient-ucb", "age-ts", "age-ucb"
]


@dataclass(frozen=True)
class ExploreConfig:
    """Settings of exploring lists.

    Each position shows, with probability ε, a uniformly drawn remaining candidate. Otherwise it
    shows the one with the highest score, or with ``softmax`` a draw from
    ``exp(score / temperature)``.

    Attributes:
        epsilon: ε, in [0, 1].
        softmax: temperature in the unit of the scores, > 0; None: the highest score.
        policy: scores of the lists, see :func:`~recops_models.exploration.policy.named_policy`.
            ``"model"``: AGE's exploring scores for an AGE model, else the model's own. Other
            policies require a click model. ``"greedy"``: the model's own scores.
        pool: number of best items by the model's own scores among which a list explores; None: all.
        draws: number of draws that estimate the propensities of a policy with random scores.

    Raises:
        ValueError: a value out of range, or ``pool`` with a policy that has other scores.

    Example:
        >>> from recops_models.exploration.explore_config import ExploreConfig
        >>> print(ExploreConfig.parse("epsilon=0.1, softmax=0.05"))
        epsilon=0.1,softmax=0.05
    """

    epsilon: float = 0.0
    softmax: float | None = None
    policy: PolicyName = "model"
    pool: int | None = None
    draws: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"explore: epsilon must lie within [0, 1], got {self.epsilon}")
        check_above_zero("explore", self, *(("softmax",) if self.softmax is not None else ()))
        check_at_least("explore", self, pool=1, draws=1)
        if self.pool is not None and self.policy not in ("model", "greedy"):
            raise ValueError(f"explore: pool applies to the model's scores, not to {self.policy}")

    @classmethod
    def parse(cls, text: str) -> ExploreConfig:
        """Return the settings of ``name=value`` pairs with commas between.

        Raises:
            ValueError: a part is no pair, or a setting or its value is unknown.
        """
        config = cls()
        for part in text.split(","):
            name, separator, value = (word.strip() for word in part.partition("="))
            if not separator:
                raise ValueError(
                    f"explore: must be settings such as epsilon=0.1 or softmax=0.05, got {part!r}"
                )
            _check_name(name)
            config = changed(config, name, value)
        return config

    @classmethod
    def of(cls, explore: str | Mapping[str, object]) -> ExploreConfig:
        """Return the settings of text, or of values by name.

        Raises:
            ValueError: as in :meth:`parse`.
        """
        if isinstance(explore, str):
            return cls.parse(explore)
        for name in explore:
            _check_name(name)
        return replace_checked(cls(), explore)

    def __str__(self) -> str:
        default = type(self)()
        values = dataclasses.asdict(self).items()
        changes = [f"{name}={value}" for name, value in values if value != getattr(default, name)]
        return ",".join(changes) or f"policy={self.policy}"

    @property
    def selection(self) -> Selection:
        """Selection among scored candidates."""
        if self.softmax is None:
            return Greedy(self.epsilon)
        return Softmax(self.epsilon, self.softmax)


def _check_name(name: str) -> None:
    known = [field.name for field in dataclasses.fields(ExploreConfig)]
    if name not in known:
        raise ValueError(f"explore: no setting {name!r}; available: {', '.join(known)}")
