"""Off-policy estimates of policies on the Open Bandit logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from recops_evidence.experiments.bandit_runs import age_config, settings_of, small_net
from recops_evidence.harness.experiment import Experiment, Metrics, Run
from recops_evidence.harness.user_draws import UserDraws
from recops_models.callbacks import Callbacks
from recops_models.click.age import Age
from recops_models.click.loss import training_loss
from recops_models.data import Dataset, load
from recops_models.data.histories import Int64Array
from recops_models.data.storage import read_table, write_table
from recops_models.data.vocabulary import Vocabulary
from recops_models.evaluation.off_policy.estimators import doubly_robust, snips
from recops_models.evaluation.off_policy.log import BanditLog
from recops_models.evaluation.weighted_ratio import WeightedRatio
from recops_models.examples.batch import Batch
from recops_models.examples.entity_columns import item_columns, user_columns
from recops_models.examples.features import Categorical, Feature, FeatureSchema, FittedSchema
from recops_models.examples.features import Sequence as Events
from recops_models.examples.lookup import Lookup, as_keys
from recops_models.exploration.policy import named_policy
from recops_models.exploration.selection import Greedy

_EPSILON = 0.1
"""Share of uniform exploration in every policy, so that no probability is 0."""
_DRAWS = 8
"""Number of score draws over which a policy's probabilities are averaged."""
_PARTS = (0.4, 0.6)
"""Ends of the training and validation parts of the random policy's log, as shares."""
_EPOCHS, _BATCH = 2, 256
_FILE = "weights.parquet"


@dataclass(frozen=True, eq=False)
class _Logs:
    """All six logs as N impressions of I items.

    Attributes:
        schema: four features of a user, and the features of an item.
        users: ``[N]`` by user feature.
        items: ``[I]`` by item feature.
        campaign: ``[N]`` and ``[I]``, campaigns of impressions and of items.
        item: ``[N]``, shown items.
        label: ``[N]``, 1 for a click.
        propensity: ``[N]``, probability of the shown item under the logging policy.
        group: ``[N]``, users.
        part: ``[N]``: 0 training, 1 validation, 2 test.
    """

    schema: FittedSchema
    users: dict[str, torch.Tensor]
    items: dict[str, torch.Tensor]
    campaign: tuple[Int64Array, Int64Array]
    item: Int64Array
    label: NDArray[np.float64]
    propensity: NDArray[np.float64]
    group: Int64Array
    part: Int64Array

    def batch(self, rows: Int64Array, items: Int64Array, group: Int64Array) -> Batch:
        """Return the contexts of ``rows`` paired with ``items``, element by element."""
        row_index, item_index = torch.from_numpy(rows), torch.from_numpy(items)
        features = {name: values[row_index] for name, values in self.users.items()}
        features |= {name: values[item_index] for name, values in self.items.items()}
        features["history_item"] = torch.zeros(len(rows), 1, dtype=torch.int64)
        lengths = {"history_item": torch.zeros(len(rows), dtype=torch.int64)}
        label = torch.from_numpy(self.label[rows]).float()
        return Batch(features, lengths, label, torch.from_numpy(group))


@dataclass(frozen=True)
class LoggedBandit(Experiment[_Logs]):
    """Policies that are evaluated by SNIPS and DR on a random policy's log.

    A click model learns from the logs of Thompson sampling and from the first 40 % of the random
    policy's log. A policy on this model, mixed with 10 % uniform exploration, is evaluated on the
    rest of the random log: the next 20 % for trials, the last 40 % for test.

    The model has four features of a user, and the id and three features of an item. Users have no
    histories. Random scores are averaged over 8 draws. Metrics are clicks per 1,000 impressions.
    Intervals include the sampling of users.
    """

    def config(self, run: Run) -> dict[str, object]:
        """Return the settings and the cut of the log."""
        return {
            "policy": run.model,
            "data": run.data,
            "seed": run.seed,
            "epochs": 1 if run.quick else _EPOCHS,
            "cut": [_EPSILON, _DRAWS, _PARTS, _BATCH],
            **dataclasses.asdict(settings_of(run)),
        }

    def takes(self, data: str) -> bool:
        """Return whether ``data`` is the Open Bandit data set."""
        return data == "open-bandit"

    def load(self, data: str) -> _Logs:
        """See :func:`recops_models.data.load`."""
        return _logs(load(data))

    def measure(
        self, run: Run, data: _Logs, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """Return ``snips``, ``dr`` and ``effective``, the effective number of impressions."""
        settings = settings_of(run)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            model = Age(small_net(data.schema), age_config(settings))
            epochs = 1 if run.quick else _EPOCHS
            _learn(model, data, settings.learning_rate, settings.weight_decay, epochs, run.seed)
        callbacks.advance(0.5)
        rows = np.flatnonzero(data.part == (2 if run.test else 1))
        log = BanditLog(
            data.item[rows],
            data.label[rows],
            data.propensity[rows],
            len(data.campaign[1]),
            data.group[rows],
        )
        policy = named_policy(run.model, model, c=settings.strength, selection=Greedy(_EPSILON))
        target, rate = _probabilities(policy.propensities, model, data, rows, run.seed)
        value, robust = snips(log, target), doubly_robust(log, target, rate)
        weight = target[np.arange(len(rows)), log.action] / log.propensity
        columns = {"user": log.group, "weight": weight, "reward": log.reward}
        write_table(folder / _FILE, pa.table(columns))
        metrics: Metrics = {
            "snips": 1000 * value.value,
            "dr": 1000 * robust.value,
            "effective": value.effective,
        }
        return ({}, metrics) if run.test else (metrics, {})

    def user_draws(self, run: Run, folder: Path, test: Metrics) -> UserDraws:
        """Return samples of ``snips`` from the stored weights of a run."""
        table = read_table(folder / _FILE)
        ids, user = np.unique(table["user"].to_numpy(), return_inverse=True)
        weight, reward = table["weight"].to_numpy(), table["reward"].to_numpy()
        value = WeightedRatio(1000 * weight * reward, weight, user, len(ids))
        return UserDraws.of(ids, {"snips": value}, len(ids))


def _logs(dataset: Dataset) -> _Logs:
    events = dataset.interactions
    order = np.argsort(events["timestamp"].to_numpy(), kind="stable")
    events = events.take(order)
    item_index = dataset.item_vocabulary.index(events["item_id"].to_numpy())
    user_index = dataset.user_vocabulary.index(events["user_id"].to_numpy())
    names = ("all", "men", "women")
    campaign = np.array([names.index(name) for name in events["campaign"].to_pylist()])
    item_campaigns = np.array([names.index(name) for name in dataset.items["campaign"].to_pylist()])
    users = {name: column for name, column in user_columns(dataset).items() if name != "user"}
    items = {
        name: column
        for name, column in item_columns(dataset).items()
        if name not in ("campaign", "item_feature_0")
    }
    lookups, columns = {}, {}
    for name, column in {**users, **items}.items():
        values = as_keys(column)
        lookups[name] = (
            Lookup(Vocabulary(np.unique(values.to_numpy())))
            if pa.types.is_integer(values.type)
            else Lookup(pc.unique(values).sort())
        )
        columns[name] = torch.from_numpy(lookups[name].rows(values))
    features: tuple[Feature, ...] = (
        *(Categorical(name) for name in columns),
        Events("history_item", 1, share_embedding="item"),
    )
    random = np.array(events["policy"].to_pylist()) == "random"
    rank = np.cumsum(random) / random.sum()
    part = np.where(random, np.searchsorted(_PARTS, rank, side="left"), 0)
    return _Logs(
        FittedSchema(FeatureSchema(features, group=None), lookups),
        {name: columns[name][torch.from_numpy(user_index)] for name in users},
        {name: columns[name] for name in items},
        (campaign, item_campaigns),
        item_index,
        events["label"].to_numpy().astype(np.float64),
        events["propensity"].to_numpy().astype(np.float64),
        user_index,
        part,
    )


def _learn(model: Age, data: _Logs, rate: float, decay: float, epochs: int, seed: int) -> None:
    rows = np.flatnonzero(data.part == 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    rng = np.random.default_rng((seed, 2))
    model.train()
    for _ in range(epochs):
        order = rng.permutation(rows)
        for start in range(0, len(order), _BATCH):
            batch_rows = order[start : start + _BATCH]
            optimizer.zero_grad()
            batch = data.batch(batch_rows, data.item[batch_rows], data.group[batch_rows])
            training_loss(model, batch).backward()
            optimizer.step()
    model.eval()


def _probabilities(
    propensities: Callable[..., torch.Tensor],
    model: Age,
    data: _Logs,
    rows: Int64Array,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``[N, I]`` probabilities of showing each item, and of a click on it.

    Both are 0 outside the row's campaign. A user has one context per campaign, scored once.
    """
    row_campaigns, item_campaigns = data.campaign
    target = np.zeros((len(rows), len(item_campaigns)))
    rate = np.zeros_like(target)
    for number in range(3):
        items = np.flatnonzero(item_campaigns == number)
        mine = np.flatnonzero(row_campaigns[rows] == number)
        users, first, index = np.unique(
            data.group[rows[mine]], return_index=True, return_inverse=True
        )
        batch = data.batch(
            np.repeat(rows[mine][first], len(items)),
            np.tile(items, len(users)),
            np.repeat(users, len(items)),
        )
        share = propensities(batch, seed=seed, draws=_DRAWS, candidates=len(items)).numpy()
        with torch.no_grad():
            clicks = model(batch).sigmoid().double().view(len(users), -1).numpy()
        cells = np.ix_(mine, items)
        target[cells], rate[cells] = share[index], clicks[index]
    return target, rate
