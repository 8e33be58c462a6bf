"""Co-action of feature pairs: one feature holds small networks, the other is their input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

import recops
from recops_models.data.errors import DataError
from recops_models.examples.batch import Batch
from recops_models.examples.features import Categorical, FittedSchema
from recops_models.examples.features import Sequence as SequenceFeature
from recops_models.examples.lookup import UNKNOWN
from recops_models.layers.column_modules import ColumnModules


class Pair(NamedTuple):
    """Two features: ``induction`` is categorical and holds the networks, ``fed`` is their input.

    Example:
        >>> from recops_models.layers.coaction import Pair
        >>> Pair(induction="item", fed="history_item")
        Pair(induction='item', fed='history_item')
    """

    induction: str
    fed: str


def pairs_of(schema: FittedSchema, names: Sequence[str]) -> list[Pair]:
    """Parse pairs written ``induction:fed``; without names, pair histories with the candidate.

    Args:
        schema: the features.
        names: the pairs. If empty, every sequence is fed to the categorical whose table it shares.

    Raises:
        DataError: an unknown feature, one of the wrong kind, or no history to pair.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import pairs_of
        >>> schema, _ = tiny_click_data()
        >>> pairs_of(schema, ["user:history_category"])
        [Pair(induction='user', fed='history_category')]
        >>> [pair.fed for pair in pairs_of(schema, [])]
        ['history_item', 'history_category']
    """
    features = schema.schema
    single_valued = {feature.name for feature in features.single_valued()}
    if not names:
        names = [
            f"{feature.share_embedding}:{feature.name}"
            for feature in features.of_type(SequenceFeature)
            if feature.share_embedding in single_valued
        ]
    if not names:
        raise DataError("CoAction: no pairs, and no history that shares a feature's table")
    result = []
    for name in names:
        induction, _, fed = name.partition(":")
        kinds = {feature.name: type(feature) for feature in features.features}
        if kinds.get(induction) is not Categorical:
            raise DataError(f"CoAction: pair {name!r}: {induction!r} is not categorical")
        if kinds.get(fed) not in (Categorical, SequenceFeature):
            raise DataError(
                f"CoAction: pair {name!r}: {fed!r} is neither categorical nor a sequence"
            )
        for feature in (induction, fed):
            if features.max_values(feature) is not None:
                raise DataError(f"CoAction: pair {name!r}: {feature!r} holds lists")
        result.append(Pair(induction, fed))
    return result


def ids_of(batch: Batch, fed: str) -> tuple[Tensor, Tensor | None]:
    """Return ids ``[B, T]`` and lengths ``[B]`` of a feature; T = 1 and None for a single value.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import ids_of
        >>> _, batch = tiny_click_data()
        >>> ids, lengths = ids_of(batch, "history_item")
        >>> ids.tolist(), lengths.tolist()
        ([[3, 4], [2, 0], [0, 0]], [2, 1, 0])
    """
    ids = batch.features[fed]
    return (ids[:, None], None) if ids.ndim == 1 else (ids, batch.lengths[fed])


@dataclass(frozen=True)
class Network:
    """Shape of the networks of every pair; see :func:`recops.coaction`.

    Example:
        >>> from recops_models.layers.coaction import Network
        >>> network = Network(dims=(4, 3), orders=2)
        >>> network.params_width, network.output_width  # 4 · 3, 2 · 3
        (12, 6)
    """

    dims: tuple[int, ...] = (16, 8, 4)
    orders: int = 3
    bias: bool = False
    activation: Literal["tanh", "selu", "relu", "none"] = "tanh"
    concat_hidden: bool = True
    pool: Literal["sum", "mean"] = "sum"
    order_independent: bool = False

    @property
    def params_width(self) -> int:
        """Width of one value's parameter row."""
        sets = self.orders if self.order_independent else 1
        return sets * sum((inputs + self.bias) * outputs for inputs, outputs in pairwise(self.dims))

    @property
    def output_width(self) -> int:
        """Width of one pair's output."""
        return self.orders * (sum(self.dims[1:]) if self.concat_hidden else self.dims[-1])

    def options(self) -> dict[str, Any]:
        """Return the options as keyword arguments of :func:`recops.coaction`."""
        return {
            "orders": self.orders,
            "bias": self.bias,
            "activation": self.activation,
            "concat_hidden": self.concat_hidden,
            "pool": self.pool,
            "order_independent": self.order_independent,
        }


class CoAction(nn.Module):
    """Co-action of every pair, ``[B, output_width]`` each, with separate embedding tables.

    With ``combination_independent``, each pair has two tables. Otherwise, an induction feature has
    one table for all its pairs, and so has each table of fed ids.

    Args:
        schema: the features, fitted.
        pairs: the pairs of features.
        network: the shape of the networks.
        combination_independent: see above.
        std: standard deviation of initial rows; the row of the unknown value starts at zero. None:
            Glorot's uniform law, which the released code uses for all rows.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import CoAction, Network, Pair
        >>> schema, batch = tiny_click_data()
        >>> layer = CoAction(schema, [Pair("item", "history_item")], Network(dims=(4, 3), orders=2))
        >>> [output.shape for output in layer(batch)]
        [torch.Size([3, 6])]
    """

    def __init__(
        self,
        schema: FittedSchema,
        pairs: Sequence[Pair],
        network: Network,
        *,
        combination_independent: bool = False,
        std: float | None = 0.1,
    ) -> None:
        super().__init__()
        self.pairs, self.network = list(pairs), network
        self._keys = [
            (f"{pair.induction}:{pair.fed}",) * 2
            if combination_independent
            else (pair.induction, schema.schema.table(pair.fed))
            for pair in pairs
        ]
        self.params, self.feeds = ColumnModules(), ColumnModules()
        for pair, (induction, fed) in zip(pairs, self._keys, strict=True):
            if induction not in self.params:
                size = schema.cardinality(pair.induction)
                self.params[induction] = _table(size, network.params_width, std)
            if fed not in self.feeds:
                self.feeds[fed] = _table(schema.cardinality(pair.fed), network.dims[0], std)

    def value_rows(self) -> dict[str, str]:
        """Return the name of each table's weights, and the feature that numbers its rows."""
        rows = {}
        for pair, (induction, fed) in zip(self.pairs, self._keys, strict=True):
            for modules, tables, key, feature in (
                ("params", self.params, induction, pair.induction),
                ("feeds", self.feeds, fed, pair.fed),
            ):
                rows[f"{modules}.{tables.key(key)}.weight"] = feature
        return rows

    def output_dim(self) -> int:
        """Return the total width of all outputs."""
        return len(self.pairs) * self.network.output_width

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return ``[B, output_width]`` per pair."""
        outputs = []
        for pair, (induction, fed) in zip(self.pairs, self._keys, strict=True):
            params, feeds = self.params[induction], self.feeds[fed]
            assert isinstance(params, nn.Embedding)
            assert isinstance(feeds, nn.Embedding)
            history, lengths = ids_of(batch, pair.fed)
            output = recops.coaction_gather(
                feeds.weight,
                history,
                params.weight,
                batch.features[pair.induction],
                self.network.dims,
                sparse=params.sparse,
                lengths=lengths,
                **self.network.options(),
            )
            outputs.append(output)
        return outputs


def _table(size: int, width: int, std: float | None) -> nn.Embedding:
    table = nn.Embedding(size, width)
    if std is None:
        nn.init.xavier_uniform_(table.weight)
    else:
        nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[UNKNOWN] = 0
    return table
