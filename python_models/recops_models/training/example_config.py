"""Settings of click examples."""

from __future__ import annotations

from dataclasses import dataclass

from recops_models.examples.feedback import Feedback
from recops_models.examples.importance import ClickLoss
from recops_models.examples.negatives import Law
from recops_models.setting_checks import check_above_zero, check_at_least, check_shares


@dataclass(frozen=True)
class ExampleConfig:
    """Click examples of a data set; see :func:`~recops_models.examples.click.click_data`.

    Attributes:
        max_len: T, number of recent events that a history holds.
        targets_per_history: number of consecutive events of a user whose histories start at the
            same event. A memory or a GRU reads such a history once, so larger numbers train faster.
            Each batch then has fewer users.
        feedback: "explicit"; "implicit": every event is a click, also with a low rating; None:
            explicit if the source has labels or ratings.
        positive: lowest rating that counts as liking (explicit feedback).
        negatives: sampled items per event (implicit feedback).
        negatives_law: distribution of the sampled items.
        rare_count: values with fewer training events count as unknown.
        rare_share: the rarest values, together at most this share of training, count as unknown.
        signed: True: histories of explicit feedback hold all events, each with its sign; False:
            only liked items.
        running_rates: whether the like rates of user and item before the event are features; None:
            with explicit feedback only.
        loss: "cross-entropy": all examples have the same weight. "ips": examples are weighted by
            inverse propensity, which estimates the loss on uniformly shown items from the log of a
            policy. It requires explicit feedback and the column ``propensity``.
        max_weight: bound of the weights of "ips", in multiples of their mean; see
            :func:`~recops_models.examples.importance.importance_weights`.

    Raises:
        ValueError: ``max_len``, ``targets_per_history``, ``negatives`` or ``rare_count`` below 1;
            ``rare_share`` outside [0, 1); ``max_weight`` not above 0.
    """

    max_len: int = 50
    targets_per_history: int = 1
    feedback: Feedback | None = None
    positive: float = 4.0
    negatives: int = 1
    negatives_law: Law = "popularity"
    rare_count: int = 2
    rare_share: float = 1e-3
    signed: bool = True
    running_rates: bool | None = None
    loss: ClickLoss = "cross-entropy"
    max_weight: float = 10.0

    def __post_init__(self) -> None:
        check_at_least(
            "examples", self, max_len=1, targets_per_history=1, negatives=1, rare_count=1
        )
        check_shares("examples", self, "rare_share")
        check_above_zero("examples", self, "max_weight")
