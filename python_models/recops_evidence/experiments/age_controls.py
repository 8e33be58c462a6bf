"""Controls of AGE: one part of its mechanism is replaced by a random draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from recops_models.click.age import Age, AgeConfig
from recops_models.click.age_scores import AgeScorer, Exploration
from recops_models.click.model import ClickModel
from recops_models.layers.counter_random import keys_of, normal
from recops_models.layers.head_passes import HeadPasses

Control = Literal["none", "shuffled", "gaussian", "random-direction"]


class ControlScorer(AgeScorer):
    """:class:`AgeScorer` with one random part.

    Args:
        passes: forward passes through the head.
        exploration: settings of AGE.
        control: "shuffled" permutes δ among the exploring rows. "gaussian" draws δ from a normal
            law with the same mean square ("ucb" takes its absolute value). "random-direction" draws
            a direction of equal norm uniformly on the sphere.
    """

    def __init__(self, passes: HeadPasses, exploration: Exploration, control: Control) -> None:
        super().__init__(passes, exploration)
        self.control = control

    def uncertainty(self, h: Tensor, keys: Tensor, y: Tensor) -> Tensor:
        """Return δ ``[R]``, permuted or drawn according to the control."""
        delta = super().uncertainty(h, keys, y)
        others = keys_of(1, keys)
        if self.control == "shuffled":
            return delta[others.argsort()]
        if self.control == "gaussian":
            noise = normal(others, 1).squeeze(1).to(delta.dtype) * delta.square().mean().sqrt()
            return noise.abs() if self.exploration.uncertainty == "ucb" else noise
        return delta

    def direction(self, h: Tensor, keys: Tensor, item_columns: Sequence[int]) -> Tensor:
        """Return the direction of the perturbation, drawn if the control says so."""
        if self.control != "random-direction":
            return super().direction(h, keys, item_columns)
        drawn = self._within(normal(keys_of(2, keys), h.shape[1]).to(h.dtype), item_columns)
        unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
        return unit


class ControlledAge(Age):
    """An :class:`Age` whose scorer is a :class:`ControlScorer`."""

    def __init__(self, base: ClickModel, config: AgeConfig, control: Control) -> None:
        super().__init__(base, config)
        self.control = control

    def scorer(self, exploration: Exploration) -> AgeScorer:
        """Return the scorer with the control."""
        return ControlScorer(HeadPasses(self.base.head), exploration, self.control)
