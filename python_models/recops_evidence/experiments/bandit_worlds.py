"""Simulated worlds: users, arriving items and click probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_evidence.experiments.training import some_users
from recops_models.data import load
from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.candidates import Candidates
from recops_models.examples.click import click_data
from recops_models.examples.features import (
    Categorical,
    Feature,
    FeatureSchema,
    FittedSchema,
    Sequence,
    Vector,
)
from recops_models.examples.lookup import Lookup
from recops_models.recipes.job import Job
from recops_models.recipes.run import train_job
from recops_models.recipes.setting_text import parse_settings
from recops_models.training.device import HOST

LAWS = 2
"""Version of the worlds; a change of their draws increases it."""
_POOL = 20
"""Number of candidates per request."""


@dataclass(frozen=True, eq=False)
class World:
    """World of U users and I items.

    Attributes:
        probability: ``[U, I]``, click probabilities.
        schema: features of the learner.
        users: ``[U]`` or ``[U, …]`` by user feature.
        items: ``[I]`` by item feature.
        lengths: ``[U]`` by sequence.
        birth: ``[I]``, first round in which an item can be shown, ascending. Items of round 0 exist
            before the learner starts.
        quiet: ``[I]``, items that are never clicked before round 0, so the learner starts with
            scores near 0 for them.
    """

    probability: NDArray[np.float64]
    schema: FittedSchema
    users: dict[str, Tensor]
    items: dict[str, Tensor]
    lengths: dict[str, Tensor]
    birth: Int64Array
    quiet: NDArray[np.bool_]

    def pool(self, round_number: int) -> Int64Array:
        """Return the candidates of a round: at most 20 items, the newest ones."""
        born = int(np.searchsorted(self.birth, round_number, side="right"))
        return np.arange(max(0, born - _POOL), born)

    def batch(self, users: Int64Array, items: Int64Array, label: Tensor | None = None) -> Batch:
        """Return ``[B]`` rows of users and items; ``group`` is the row, one request each."""
        user_index, item_index = torch.from_numpy(users), torch.from_numpy(items)
        features = {name: values[user_index] for name, values in self.users.items()}
        features |= {name: values[item_index] for name, values in self.items.items()}
        lengths = {name: values[user_index] for name, values in self.lengths.items()}
        label = torch.zeros(len(users)) if label is None else label
        return Batch(features, lengths, label, torch.arange(len(users)))

    def requests(self, users: Int64Array, pool: Int64Array) -> Batch:
        """Return ``[R · C]`` rows, each user with every candidate; ``group`` is the request."""
        rows = self.batch(np.repeat(users, len(pool)), np.tile(pool, len(users)))
        return rows._replace(group=torch.arange(len(users)).repeat_interleave(len(pool)))


def arrivals(seed: int, *, rounds: int, items: int = 160, users: int = 2000) -> World:
    """Return a world in which items arrive one by one and the newest 20 are candidates.

    ``logit = b_i + u · v_i``, b of mean −3.9 and deviation .5, v of deviation .5 in each of 8
    dimensions, u standard normal and known to the learner; about 5 % of uniform impressions are
    clicked. Tastes are strong enough that a model beats counts.
    """
    rng = np.random.default_rng((seed, 0))
    bias = rng.normal(-3.9, 0.5, size=items)
    return _by_taste(rng, bias, users, _births(items, rounds), np.zeros(items, dtype=np.bool_))


def unlucky(seed: int, *, users: int = 2000) -> World:
    """Return a world in which exploration must pay.

    There are 20 candidates. Before round 0, 15 of them had about 55 impressions each, a twentieth
    of the others', and no click, so their first scores are near 0. Many of them are far better than
    the others.

    The law is that of :func:`arrivals`, except for b: about −4.1 for the 5 known items, and a mean
    of −3.9 with a deviation of .8 for the others.
    """
    rng = np.random.default_rng((seed, 0))
    new = np.arange(_POOL) >= 5
    bias = np.where(new, rng.normal(-3.9, 0.8, size=_POOL), rng.normal(-4.1, 0.1, size=_POOL))
    return _by_taste(rng, bias, users, np.zeros(_POOL, dtype=np.int64), new)


def films(seed: int, *, rounds: int, items: int = 160) -> World:
    """Return a world of ml-1m's users and films, which arrive in an order drawn by the seed.

    Click probabilities are those of a sum-pooling model that is trained once on a sixth of the
    users. Its logits are shifted so that 4 % of uniform impressions are clicked. The learner knows
    gender, age, occupation, the film, its genres, and the films that a user liked before, without
    the films of this world.

    Raises:
        DataError: ml-1m is missing.
    """
    law = _film_law()
    rng = np.random.default_rng((seed, 0))
    chosen = rng.permutation(len(law.logits[0]))[:items]
    logits = law.logits[:, chosen]
    known = {name: values[torch.from_numpy(chosen)] for name, values in law.items.items()}
    users, lengths = dict(law.users), dict(law.lengths)
    coming = torch.isin(users["history_item"], known["item"])
    for name in lengths:  # Row 1 is the unknown item.
        users[name] = users[name].masked_fill(coming, 1)
    return World(
        1 / (1 + np.exp(-logits)),
        law.schema,
        users,
        known,
        lengths,
        _births(items, rounds),
        np.zeros(items, dtype=np.bool_),
    )


def _by_taste(
    rng: np.random.Generator,
    bias: NDArray[np.float64],
    users: int,
    birth: Int64Array,
    quiet: NDArray[np.bool_],
) -> World:
    taste = rng.normal(size=(users, 8))
    liking = rng.normal(scale=0.5, size=(len(bias), 8))
    features: tuple[Feature, ...] = (
        Vector("taste", 8),
        Categorical("item"),
        Sequence("history_item", 1, share_embedding="item"),
    )
    known = {"item": Lookup(Vocabulary(np.arange(len(bias))))}
    return World(
        1 / (1 + np.exp(-(bias + taste @ liking.T))),
        FittedSchema(FeatureSchema(features, group=None), known),
        # Users have no history.
        {
            "taste": torch.from_numpy(taste).float(),
            "history_item": torch.zeros(users, 1, dtype=torch.int64),
        },
        {"item": torch.from_numpy(known["item"].rows(np.arange(len(bias))))},
        {"history_item": torch.zeros(users, dtype=torch.int64)},
        birth,
        quiet,
    )


def _births(items: int, rounds: int) -> Int64Array:
    """Return the first round of each item: 0 for 20 items, then evenly spaced rounds."""
    num_later = items - _POOL
    coming = 1 + np.arange(num_later) * max(rounds - _POOL, 1) // max(num_later, 1)
    return np.concatenate([np.zeros(_POOL, dtype=np.int64), coming])


@dataclass(frozen=True, eq=False)
class _Films:
    logits: NDArray[np.float64]
    schema: FittedSchema
    users: dict[str, Tensor]
    items: dict[str, Tensor]
    lengths: dict[str, Tensor]


_READ = (
    "user_gender",
    "user_age",
    "user_occupation",
    "item",
    "genre_set",
    "history_item",
    "history_genre_set",
)
_TEACHER = {
    "epochs": "2",
    "batch": "512",
    "max_len": "10",
    "running_rates": "false",
    "signed": "false",
    "learning_rate": "0.003",
}


def film_law_config() -> object:
    """Return all inputs of :func:`films` except the seed, JSON-ready."""
    return Job.of(
        "sum-pool", "ml-1m", parse_settings("sum-pool", _TEACHER), seed=0, quick=False
    ).config()


@cache
def _film_law(users: int = 800, most_known: int = 400) -> _Films:
    """Return the teacher's logits of 800 users and the 400 most rated films."""
    import tempfile
    from pathlib import Path

    dataset = some_users(load("ml-1m"), 1 / 6)
    job = Job.of("sum-pool", "ml-1m", parse_settings("sum-pool", _TEACHER), seed=0, quick=False)
    data = click_data(dataset, max_len=10, signed=False, running_rates=False)
    with tempfile.TemporaryDirectory() as folder:
        teacher = train_job(job, data, Path(folder), device=HOST).model.eval()
    fitted = data.fitted
    rated = dataset.item_vocabulary.index(dataset.interactions["item_id"].to_numpy())
    count = np.bincount(rated, minlength=dataset.items.num_rows)
    films = torch.from_numpy(np.sort(np.argsort(-count, kind="stable")[:most_known]))
    ids = dataset.interactions["user_id"].unique().sort().to_numpy()[:users]
    catalogue = Candidates(dataset, fitted)
    logits, user_features, lengths = [], [], []
    items: dict[str, Tensor] = {}
    for user in dataset.user_vocabulary.index(ids).tolist():
        every = catalogue.shown_to(user)
        batch = Batch(
            {name: values[films] for name, values in every.features.items()},
            {name: values[films] for name, values in every.lengths.items()},
            every.label[films],
            every.group[films],
        )
        with torch.no_grad():
            logits.append(teacher(batch).double().numpy())
        items = {name: batch.features[name] for name in ("item", "genre_set")}
        user_features.append({name: batch.features[name][0] for name in _READ if name not in items})
        lengths.append({name: batch.lengths[name][0] for name in batch.lengths})
    schema = FeatureSchema(
        tuple(feature for feature in fitted.schema.features if feature.name in _READ), group=None
    )
    histories = [name for name in _READ if name.startswith("history")]
    return _Films(
        _shifted(np.stack(logits), 0.04),
        FittedSchema(schema, {name: fitted.lookups[name] for name in schema.tables}),
        {
            name: torch.nn.utils.rnn.pad_sequence([each[name] for each in user_features], True)
            if name in histories
            else torch.stack([each[name] for each in user_features])
            for name in user_features[0]
        },
        items,
        {name: torch.stack([each[name] for each in lengths]) for name in histories},
    )


def _shifted(logits: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Shift logits so that their mean probability is ``rate``, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        is_above = float((1 / (1 + np.exp(-(logits + middle)))).mean()) > rate
        low, high = (low, middle) if is_above else (middle, high)
    return logits + low
