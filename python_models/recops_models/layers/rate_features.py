"""Like rates of a candidate and of a user's history, as inputs of a click model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.data.errors import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FittedSchema, Numeric, Sequence
from recops_models.examples.feedback import LIKED
from recops_models.examples.lookup import UNKNOWN
from recops_models.examples.running_rates import RATES
from recops_models.layers.column_modules import ColumnModules
from recops_models.layers.rate_table import ABSENT, RateTable

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CountLookup: TypeAlias = Callable[[str, Tensor], tuple[Tensor, Tensor]]
"""Function of a table's name and of keys that returns their examples and positive examples."""

EVERYTHING, PAIRS = "all", "pairs"
"""Names of the table of all examples, and of the table and the rate of pairs."""

_USER_RATE, _ITEM_RATE = RATES[0], RATES[2]
_RECENT_PRIOR = 1.0
"""Weight of the prior of a recent rate, in events."""
_LEAST = 1e-6
"""Smallest distance of a rate from 0 and from 1; it keeps logits finite."""


@dataclass(frozen=True)
class RateConfig:
    """Settings of :class:`RateFeatures`.

    Attributes:
        strength: s, weight of the prior in events.
        half_life: number of events after which an event counts half in a recent rate.
        window: number of last events of a history that form pairs with the candidate.
        decay: weight of an event of a pair relative to the next event of the history.

    Example:
        >>> from recops_models.layers.rate_features import RateConfig
        >>> RateConfig(half_life=5.0).window
        3
    """

    strength: float = 10.0
    half_life: float = 10.0
    window: int = 3
    decay: float = 0.8


class RateFeatures(nn.Module):
    """Logits of like rates, logarithms of their counts, and the numbers of the examples.

    A rate with l likes among n events is ``(l + s p) / (n + s)``, with a prior p:

    - ``all:V``: examples with the candidate's value of feature V, such as ``all:item`` and
      ``all:category``; p is the rate of all examples. If the examples have running rates
      (:class:`~recops_models.examples.running_rates.RunningRates`), they replace ``all:item`` and
      ``user``.
    - ``user``: events of the user.
    - ``recent``: events of the user, of which an event a events before the last one has the weight
      ``2^(−a / half_life)``; p is ``user``, with the weight of one event.
    - ``user:V`` and ``recent:V``: events of the user with the candidate's value of V. If events
      have no labels, they are the share of such events among all.
    - ``pairs``: examples of the candidate after an event with the same item and label as one of
      the last ``window`` events; p is ``all:item``. A pair's weight falls by ``decay`` per event.

    All features of a user use only events before the example.

    Args:
        schema: the features, fitted.
        config: settings.
        tables: counts of examples by the name of the table; None: empty tables.

    Raises:
        DataError: the schema has no candidate.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.rate_features import RateConfig, RateFeatures
        >>> schema, batch = tiny_click_data()
        >>> features = RateFeatures(schema, RateConfig())
        >>> features.rates
        ('all:item', 'all:category', 'user:item', 'user:category', 'recent:item', \
'recent:category', 'pairs')
        >>> features(batch).shape  # 7 rates, 6 counts and the price
        torch.Size([3, 14])
    """

    def __init__(
        self,
        schema: FittedSchema,
        config: RateConfig,
        tables: Mapping[str, RateTable] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self._sequences = _shared_sequences(schema)
        self._candidate = next(iter(self._sequences))
        self._items = schema.cardinality(self._candidate)
        self._values = {name: schema.cardinality(name) for name in self._sequences}
        history = [each.name for each in schema.schema.of_type(Sequence)]
        self._liked: int | None = None
        if SIGN in history:
            self._liked = int(schema.lookup(SIGN).rows(np.array([LIKED]))[0])
        numbers = [feature.name for feature in schema.schema.of_type(Numeric)]
        self._running = {name: schema.moments[name] for name in RATES if name in numbers}
        self._numbers = [name for name in numbers if name not in (_USER_RATE, _ITEM_RATE)]
        self.tables = ColumnModules()
        for name in self.table_names:
            self.tables[name] = RateTable.empty() if tables is None else tables[name]

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return (EVERYTHING, *(f"all:{name}" for name in self._sequences), PAIRS)

    @property
    def rates(self) -> tuple[str, ...]:
        """Names of the rates, the first inputs."""
        names = tuple(self._sequences)
        of_user = ("user", "recent") if self._liked is not None else ()
        scopes = [f"{scope}:{name}" for scope in ("user", "recent") for name in names]
        return (*(f"all:{name}" for name in names), *of_user, *scopes, PAIRS)

    def columns(self, names: tuple[str, ...]) -> list[int]:
        """Return the inputs that are the rates ``names``.

        Raises:
            ValueError: an unknown rate.
        """
        for name in names:
            if name not in self.rates:
                known = ", ".join(self.rates)
                raise ValueError(f"rates: scores must be boosting, or among {known}, got {name!r}")
        return [self.rates.index(name) for name in names]

    def forward(self, batch: Batch, counts: CountLookup | None = None) -> Tensor:
        """Return the inputs ``[B, F]`` f32: logits of the rates, counts, numbers.

        Args:
            batch: examples.
            counts: replaces the tables; a fit leaves out the examples' own users with it.
        """
        rates, evidence = self._of_examples(batch, counts or self._counts)
        logits = [torch.logit(rates[name].float(), _LEAST) for name in self.rates]
        numbers = [batch.features[name].float() for name in self._numbers]
        return torch.stack([*logits, *(count.float().log1p() for count in evidence), *numbers], 1)

    def keys(self, batch: Batch) -> dict[str, Tensor]:
        """Return the keys of the examples in each table, ``[B]``, of pairs ``[B, window]``."""
        candidate = batch.features[self._candidate]
        keys = {EVERYTHING: torch.zeros_like(candidate)}
        keys |= {f"all:{name}": batch.features[name] for name in self._sequences}
        sequence = self._sequences[self._candidate]
        age = torch.arange(self.config.window, device=candidate.device)
        position = batch.lengths[sequence][:, None] - 1 - age
        event = position.clamp(min=0)
        item = batch.features[sequence].gather(1, event)
        if self._liked is not None:
            item = item + self._items * (batch.features[SIGN].gather(1, event) == self._liked)
        pair = item * self._items + candidate[:, None]
        return {**keys, PAIRS: pair.masked_fill(position < 0, ABSENT)}

    def pair_vectors(self, candidates: Tensor) -> csr_matrix:
        """Return what precedes the likes of items, ``[n, P]`` f32.

        Column p is a preceding item with its label, and the value is c_ip / √(Σ_i c_ip) with c_ip
        likes of item i after p, so that popular predecessors weigh less.

        Args:
            candidates: ``[n]`` i64, rows of the candidate's vocabulary.
        """
        from scipy.sparse import csr_matrix

        from recops_models.training.device import array

        table = self.tables[PAIRS]
        assert isinstance(table, RateTable)
        keys, likes = array(table.keys[1:]), array(table.counts[1:, 1])
        before, item = keys // self._items, keys % self._items
        total = np.bincount(before, likes, 2 * self._items).clip(1)
        values = (likes / np.sqrt(total[before])).astype(np.float32)
        matrix = csr_matrix((values, (item, before)), (self._items, len(total)))
        return matrix[array(candidates)]

    def _counts(self, table: str, keys: Tensor) -> tuple[Tensor, Tensor]:
        examples, positives = self.tables[table](keys)
        return examples, positives

    def _of_examples(
        self, batch: Batch, counts: CountLookup
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the rates by name, and the numbers of examples and events behind them."""
        strength, keys = self.config.strength, self.keys(batch)
        examples, positives = counts(EVERYTHING, keys[EVERYTHING])
        prior = (positives + 1) / (examples + 2)
        rates, evidence = {}, []
        for name in self._sequences:
            examples, positives = counts(f"all:{name}", keys[f"all:{name}"])
            rates[f"all:{name}"] = (positives + strength * prior) / (examples + strength)
            evidence.append(examples)
        if _ITEM_RATE in self._running:
            rates[f"all:{self._candidate}"] = self._running_rate(_ITEM_RATE, batch)

        examples, positives = counts(PAIRS, keys[PAIRS])
        weight = self.config.decay ** torch.arange(self.config.window, device=prior.device)
        examples, positives = (examples * weight).sum(1), (positives * weight).sum(1)
        pair_prior = strength * rates[f"all:{self._candidate}"]
        rates[PAIRS] = (positives + pair_prior) / (examples + strength)
        evidence.append(examples)
        user_rates, user_evidence = self._of_history(batch, prior)
        return rates | user_rates, evidence + user_evidence

    def _of_history(self, batch: Batch, prior: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the rates of the user, and the numbers of events of each value."""
        strength, lengths = self.config.strength, batch.lengths[self._sequences[self._candidate]]
        events = batch.features[self._sequences[self._candidate]]
        age = lengths[:, None] - 1 - torch.arange(events.shape[1], device=events.device)
        inside = (age >= 0).float()  # [B, T]
        recent = inside * torch.exp2(-age.clamp(min=0) / self.config.half_life)
        rates, evidence, liked = {}, [], inside
        total, recent_total = inside.sum(1), recent.sum(1)
        if self._liked is not None:
            liked = (batch.features[SIGN] == self._liked).float()
            rates["user"] = (_sum(inside, liked) + strength * prior) / (total + strength)
            if _USER_RATE in self._running:
                rates["user"] = self._running_rate(_USER_RATE, batch)
            likes = _sum(recent, liked) + _RECENT_PRIOR * rates["user"]
            rates["recent"] = likes / (recent_total + _RECENT_PRIOR)
        for name, sequence in self._sequences.items():
            value = batch.features[name][:, None]
            same = inside * ((batch.features[sequence] == value) & (value != UNKNOWN))
            count, recent_count = same.sum(1), _sum(recent, same)
            evidence.append(count)
            if self._liked is not None:
                base, n, recent_n = rates["user"], count, recent_count
            else:  # The share of the value among all events.
                base = torch.full_like(prior, 1 / self._values[name])
                n, recent_n = total, recent_total
            rate = (_sum(same, liked) + strength * base) / (n + strength)
            rates[f"user:{name}"] = rate
            likes = _sum(recent, same * liked) + _RECENT_PRIOR * rate
            rates[f"recent:{name}"] = likes / (recent_n + _RECENT_PRIOR)
        return rates, [*evidence, total]

    def _running_rate(self, name: str, batch: Batch) -> Tensor:
        """Return the running rate of the examples, which are standardised numbers."""
        mean, deviation = self._running[name]
        return batch.features[name] * deviation + mean


def _sum(weight: Tensor, values: Tensor) -> Tensor:
    """Return the weighted sum over events, ``[B]``."""
    return torch.einsum("bt,bt->b", weight, values)


def _shared_sequences(schema: FittedSchema) -> dict[str, str]:
    """Return the features that a candidate shares with its history, and the sequence of each.

    The candidate is the first.
    """
    features = schema.schema
    candidate = features.candidate
    if candidate is None:
        raise DataError("rates: the features must have a history, which defines the candidate")
    own = {feature.name for feature in features.single_valued()}
    for sequences in features.histories.values():
        shared = {str(each.share_embedding): each.name for each in sequences}
        if candidate in shared:
            others = {name: each for name, each in shared.items() if name in own}
            return {candidate: shared[candidate], **others}
    raise AssertionError(f"no history shares the table of {candidate}")
