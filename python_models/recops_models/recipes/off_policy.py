"""Off-policy value of a click model's lists, estimated from logged impressions."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recops_models.click.model import ClickScorer
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.splits import named_split
from recops_models.evaluation.off_policy.estimators import (
    PolicyValue,
    direct_method,
    doubly_robust,
    ips,
    snips,
)
from recops_models.evaluation.off_policy.log import BanditLog
from recops_models.examples.events import Events
from recops_models.examples.feedback import feedback_of
from recops_models.examples.maker import ExampleMaker
from recops_models.exploration.explore_config import ExploreConfig
from recops_models.recipes.job import Job
from recops_models.settings import JsonObject
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

_Floats: TypeAlias = NDArray[np.float64]

_ROWS = 1 << 15
"""Rows per batch of scores."""
_MOST_VALUES = 50_000_000
"""Largest number of impressions times items, whose probabilities memory must hold."""


class OffPolicyValues(NamedTuple):
    """Estimated clicks per impression of a policy.

    Attributes:
        logged: clicks per impression of the log itself.
        impressions: number of impressions N.
        values: estimator (``"ips"``, ``"snips"``, ``"direct"``, ``"dr"``) → its estimate.
    """

    logged: float
    impressions: int
    values: dict[str, PolicyValue]

    def to_dict(self) -> JsonObject:
        """Return JSON values: estimates with 95 % intervals and effective sample sizes."""
        rows = {
            name: {
                "value": value.value,
                "low": value.interval()[0],
                "high": value.interval()[1],
                "effective": value.effective,
            }
            for name, value in self.values.items()
        }
        return {"logged": self.logged, "impressions": self.impressions, **rows}


def off_policy_values(
    job: Job,
    model: nn.Module,
    dataset: Dataset,
    config: ExploreConfig,
    *,
    max_weight: float | None = None,
) -> OffPolicyValues:
    """Estimate the clicks per impression if a model chose the items of the test impressions.

    The policy chooses each item by the model's click probabilities among all items that the list
    has not shown before. ``"direct"`` and ``"dr"`` use these probabilities as the reward model; the
    model must not have been trained on the test impressions. Users are independent units.
    O(N · A) scores for N impressions and A items.

    Args:
        job: the job that was trained.
        model: its click model.
        dataset: impressions of :mod:`recops_models.data.from_impressions`, with the split of the
            job.
        config: ε or temperature of the policy.
        max_weight: bound of the weights π / p; None: no bound.

    Raises:
        DataError: the data has no labels or propensities, or too many impressions.
        ValueError: the model is no click model, or the policy is not a choice by its scores.
    """
    examples = job.parts.get("examples")
    if not isinstance(model, ClickScorer) or not isinstance(examples, ExampleConfig):
        raise ValueError(f"off-policy: the model must be a click model, got {job.model}")
    if config.policy not in ("model", "greedy") or config.pool is not None:
        raise ValueError("off-policy: the policy must be epsilon or softmax, got policy or pool")
    names = dataset.event_schema.names
    for name in ("label", "propensity"):
        if name not in names:
            raise DataError(f"{dataset.name}: off-policy requires the column {name} of a log")
    _, split = named_split(dataset, job.split, clock=True)
    feedback = examples.feedback or feedback_of(dataset)
    events = Events.of(split, feedback, examples.positive)
    rows, num_items = events.part(2), dataset.items.num_rows
    if len(rows) * num_items > _MOST_VALUES:
        raise DataError(
            f"{dataset.name}: {len(rows):,} test impressions × {num_items:,} items must be at most "
            f"{_MOST_VALUES:,}; test fewer impressions"
        )
    assert events.propensity is not None
    log = BanditLog(
        events.item[rows].astype(np.int64),
        events.liked[rows].astype(np.float64),
        events.propensity[rows],
        num_items,
        events.user[rows].astype(np.int64),
    )
    reward = _probabilities(model, ExampleMaker(events, model.schema), rows, num_items)
    available = torch.from_numpy(_available(events, rows, num_items))
    scores = torch.from_numpy(reward)
    target = config.selection.probabilities(scores, available).numpy()
    values = {
        "ips": ips(log, target, most=max_weight),
        "snips": snips(log, target, most=max_weight),
        "direct": direct_method(log, target, reward),
        "dr": doubly_robust(log, target, reward, most=max_weight),
    }
    return OffPolicyValues(float(log.reward.mean()), len(log), values)


@torch.no_grad()
def _probabilities(
    model: ClickScorer, maker: ExampleMaker, rows: NDArray[np.int64], num_items: int
) -> _Floats:
    """Return the click probability ``[N, A]`` of each item at each impression."""
    device, items = device_of(model), np.arange(num_items)
    result = np.empty((len(rows), num_items))
    step = max(1, _ROWS // num_items)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        shown = np.repeat(part, num_items)
        block = maker.block(
            shown,
            np.tile(items, len(part)),
            np.zeros(len(shown), dtype=np.float32),
            at=maker.events.list_starts(shown),
        )
        batch = to_device(block.batch(np.arange(len(block))), device)
        probability = to_host(model(batch).double().sigmoid())
        result[start : start + step] = probability.numpy().reshape(len(part), num_items)
    return result


def _available(events: Events, rows: NDArray[np.int64], num_items: int) -> NDArray[np.bool_]:
    """Return whether each item was not shown before in the list of each impression, ``[N, A]``."""
    available = np.ones((len(rows), num_items), dtype=np.bool_)
    shown: dict[int, list[int]] = {}
    ordered = rows[np.argsort(events.time_ranks(rows), kind="stable")]
    for row, start in zip(ordered, events.list_starts(ordered), strict=True):
        earlier = shown.setdefault(int(start), [])
        available[row - rows[0], earlier] = False
        earlier.append(int(events.item[row]))
    return available
