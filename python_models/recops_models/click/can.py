"""CAN: the candidate's values hold small networks that read the history, next to a base model.

Bian et al., CAN: Feature Co-Action Network for Click-Through Rate Prediction, WSDM 2022, arXiv
2011.05625.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

import recops
from recops_models.click.dien import Dien, DienConfig
from recops_models.click.din import DinConfig
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.coaction import CoAction, Network, ids_of, pairs_of
from recops_models.layers.feature_embedding import scanned_history
from recops_models.layers.history_attention import HistoryAttention
from recops_models.layers.pair_features import OwnPairProduct, PairProduct, PairTable
from recops_models.setting_checks import check_at_least, check_lengths

Interaction = Literal["coaction", "frozen", "shared", "product", "own-product", "cartesian", "none"]


@dataclass(frozen=True)
class CanConfig(DinConfig):
    """Settings in addition to those of DIN.

    The defaults are the network of the released code. That of the paper's first version is
    ``network=4,4,4,4,4,4,4,4,4 bias=true orders=2 concat_hidden=false``.

    Attributes:
        base: model of the history next to the co-action: "din", "sum-pool", or "dien", which is
            DIEN with its defaults (an AUGRU and the auxiliary loss).
        auxiliary: see :class:`~recops_models.click.dien.DienConfig`; only for "dien".
        auxiliary_hidden: see :class:`~recops_models.click.dien.DienConfig`; only for "dien".
        interaction: "coaction"; "shared": co-action of the features' own embeddings (without
            parameter independence), whose rows hold the fed vector, then the parameters; or a
            baseline. "frozen": co-action with untrained tables; "product": PNN; "own-product": PNN
            with tables of the width and initial law of co-action's fed tables; "cartesian": a table
            of value pairs; "none": the base alone.
        pairs: pairs of features as ``induction:fed``; none: each history with the candidate's
            feature of the same table.
        network: width of the fed vector and of each layer.
        orders: number of powers of the fed vector.
        bias: whether layers have biases.
        co_activation: activation between layers.
        concat_hidden: output the results of all layers instead of the last alone.
        pool: over the history.
        combination_independent: separate tables for each pair.
        order_independent: separate parameters for each order.
        co_std: standard deviation of the co-action's initial tables. The rows of "shared" start as
            all embeddings do, by ``table_std``.
        compat: "paper", or "released": co-action tables start from Glorot's uniform law, about
            ±0.004 for large tables. The released code also halves the cross-entropy, which is the
            same to Adam.
        min_count: value pairs with fewer occurrences in the training part have no row
            ("cartesian").

    Raises:
        ValueError: a size below 1, a network without a layer, a negative deviation, invalid
            settings of the DIEN; and see :class:`~recops_models.click.din.DinConfig`.

    Example:
        >>> from recops_models.click.can import CanConfig
        >>> CanConfig(network=(16, 8, 4), orders=3).coaction_network().output_width  # 3 · (8 + 4)
        36
    """

    model: ClassVar[str] = "can"
    base: Literal["din", "sum-pool", "dien"] = "din"
    auxiliary: Literal["mlp", "inner", "none"] = "mlp"
    auxiliary_hidden: tuple[int, ...] = (100, 50)
    interaction: Interaction = "coaction"
    pairs: tuple[str, ...] = ()
    network: tuple[int, ...] = (16, 8, 4)
    orders: int = 3
    bias: bool = False
    co_activation: Literal["tanh", "selu", "relu", "none"] = "tanh"
    concat_hidden: bool = True
    pool: Literal["sum", "mean"] = "sum"
    combination_independent: bool = False
    order_independent: bool = False
    co_std: float = 0.1
    compat: Literal["paper", "released"] = "paper"
    min_count: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self.model, self, auxiliary_hidden=1, network=1, orders=1, min_count=1)
        check_at_least(self.model, self, co_std=0)
        check_lengths(self.model, self, network=2)
        if self.base == "dien":
            self.dien()  # Checks its settings.

    def coaction_network(self) -> Network:
        """Return the shape of the co-action's networks."""
        return Network(
            self.network,
            self.orders,
            self.bias,
            self.co_activation,
            self.concat_hidden,
            self.pool,
            self.order_independent,
        )

    def representation_width(self) -> int:
        """Return the width of an embedding: of fed vector and parameters for "shared"."""
        if self.interaction != "shared":
            return self.width
        return self.network[0] + self.coaction_network().params_width

    def dien(self) -> DienConfig:
        """Return the settings of the DIEN for ``base="dien"``."""
        sizes: dict[str, Any] = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(DinConfig)},
            "width": self.representation_width(),
        }
        return DienConfig(**sizes, auxiliary=self.auxiliary, auxiliary_hidden=self.auxiliary_hidden)


class Can(ClickModel):
    """``logit = MLP([context, interest, interaction])``, with the interaction of pairs.

    The base model computes the interest in the history.

    Args:
        schema: the features, fitted.
        config: sizes.
        pair_table: fitted; only for "cartesian".

    Example:
        >>> from recops_models.click.can import Can, CanConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> model = Can(schema, CanConfig(width=4, network=(4, 3), orders=1))
        >>> [pair.induction for pair in model.pairs]
        ['item', 'category']
        >>> model(batch).shape
        torch.Size([3])
    """

    config: CanConfig

    def __init__(
        self, schema: FittedSchema, config: CanConfig, pair_table: PairTable | None = None
    ) -> None:
        history = config.history
        if config.base == "dien":
            history = scanned_history(schema.schema, history)
        width = config.representation_width()
        super().__init__(schema, config, width=width, history=history)
        self.pairs = pairs_of(schema, config.pairs)
        self.attention: HistoryAttention | None = None
        self.dien: Dien | None = None
        if config.base == "din":
            self.attention = HistoryAttention(self.embedding, config.attention)
        elif config.base == "dien":
            self.dien = Dien(schema, config.dien())
            del self.dien.embedding, self.dien.head  # Only its layers over events are used.
        self.network = config.coaction_network()
        self.unit: CoAction | PairProduct | OwnPairProduct | PairTable | None = None
        match config.interaction:
            case "coaction" | "frozen":
                self.unit = CoAction(
                    schema,
                    self.pairs,
                    self.network,
                    combination_independent=config.combination_independent,
                    std=None if config.compat == "released" else config.co_std,
                )
                self.unit.requires_grad_(config.interaction == "coaction")
            case "product":
                self.unit = PairProduct(schema, self.pairs, config.width)
            case "own-product":
                width = self.network.dims[0]
                self.unit = OwnPairProduct(schema, self.pairs, width, config.co_std)
            case "cartesian":
                if pair_table is None:
                    raise ValueError("Can: interaction 'cartesian' needs a fitted pair_table")
                self.unit = pair_table
        self.head = config.head(self.output_dim())

    def output_dim(self) -> int:
        """Return the width of the MLP's input."""
        base = super().output_dim()
        if self.config.interaction == "shared":
            return base + len(self.pairs) * self.network.output_width
        return base + (0 if self.unit is None else self.unit.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the MLP's input ``[B, output_dim]``; in training, also DIEN's auxiliary loss."""
        if self.dien is not None:
            events, lengths = self.embedding.histories(batch)
            states = self.embedding.states(batch, self.dien.states)
            interest = self.dien.evolved(self.embedding.query(batch), states, lengths)
            x = self._with_pairs([*self.embedding.context(batch), interest], batch)
            return x, self.dien.auxiliary_loss(states, events, lengths)
        if self.attention is not None:
            interests = self.attention(self.embedding, batch)
            return self._with_pairs([*self.embedding.context(batch), *interests], batch), None
        return self._with_pairs(self.embedding.context(batch, with_history=True), batch), None

    def _with_pairs(self, parts: list[Tensor], batch: Batch) -> Tensor:
        """Concatenate context and interest with the outputs of the pairs."""
        if self.config.interaction == "shared":
            parts += self._shared(batch)
        elif isinstance(self.unit, PairProduct):
            parts += self.unit(batch, self.embedding.tables)
        elif self.unit is not None:
            parts += self.unit(batch)
        return torch.cat(parts, -1)

    def _shared(self, batch: Batch) -> list[Tensor]:
        """Return the co-action of embeddings: first columns are fed, the others are parameters."""
        tables, fed_width = self.embedding.tables, self.network.dims[0]
        outputs = []
        for pair in self.pairs:
            history, lengths = ids_of(batch, pair.fed)
            fed = tables[self.schema.schema.table(pair.fed)](history)
            params = tables[self.schema.schema.table(pair.induction)](
                batch.features[pair.induction]
            )
            outputs.append(
                recops.coaction(
                    fed[..., :fed_width],
                    params[:, fed_width:],
                    self.network.dims,
                    lengths=lengths,
                    **self.network.options(),
                )
            )
        return outputs
