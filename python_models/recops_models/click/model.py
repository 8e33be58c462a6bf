"""Base classes of click models: a scorer of examples, and a network of a bottom and a head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast, get_args

from torch import Tensor, nn

from recops_models.examples.batch import CLICK, Batch
from recops_models.examples.features import FittedSchema
from recops_models.layers.feature_embedding import FeatureEmbedding
from recops_models.layers.mlp import MLP, ActivationName
from recops_models.setting_checks import check_at_least, check_shares

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from recops_models.layers.label_heads import LabelHeads

Heads = Literal["one", "shared-bottom", "mmoe"]


@dataclass(frozen=True)
class ClickConfig:
    """Settings of every click model; the default MLP is that of DIEN's released code.

    Attributes:
        width: width of an embedding.
        hidden: widths of the MLP's hidden layers.
        activation: activation of the hidden layers.
        dropout: on the hidden layers.
        table_std: standard deviation of initial embeddings. Recurrences need larger values, such as
            0.1: with small inputs they are almost linear and learn slowly.
        heads: ``"one"``: the model predicts clicks. ``"shared-bottom"`` and ``"mmoe"``: also the
            other labels of the data, see :class:`~recops_models.layers.label_heads.LabelHeads`.
        experts: number of experts of ``"mmoe"``.
        label_weight: loss weight of every label except clicks.
        labels: names of these labels, which the data determines.

    Raises:
        ValueError: a width below 1, a dropout outside [0, 1), a negative deviation.

    Example:
        >>> from recops_models.click.model import ClickConfig
        >>> config = ClickConfig(width=8, hidden=(32,), activation="relu")
        >>> print(*(type(layer).__name__ for layer in config.head(input_dim=24)))
        Linear ReLU Linear
    """

    model: ClassVar[str] = "click model"
    """Name of the model in error messages."""

    width: int = 16
    hidden: tuple[int, ...] = (200, 80)
    activation: ActivationName = "dice"
    dropout: float = 0.0
    table_std: float = 0.01
    heads: Heads = "one"
    experts: int = 4
    label_weight: float = 1.0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_at_least(self.model, self, width=1, hidden=1, table_std=0, experts=1, label_weight=0)
        check_shares(self.model, self, "dropout")
        if self.heads not in get_args(Heads):
            known = ", ".join(get_args(Heads))
            raise ValueError(f"{self.model}: heads must be {known}, got {self.heads!r}")
        if self.heads != "one" and not self.hidden:
            raise ValueError(f"{self.model}: hidden must name a layer with heads={self.heads}")

    def head(self, input_dim: int) -> MLP | LabelHeads:
        """Return a new head from ``[B, input_dim]`` to ``[B, 1]``.

        Raises:
            ValueError: the data has no labels for several heads.
        """
        if self.heads != "one":
            if not self.labels:
                raise ValueError(
                    f"{self.model}: heads={self.heads} needs labels in addition to clicks: name "
                    "them under `labels` in schema.yaml"
                )
            from recops_models.layers.label_heads import LabelHeads

            return LabelHeads(
                input_dim,
                self.hidden,
                labels=1 + len(self.labels),
                experts=self.experts if self.heads == "mmoe" else 1,
                activation_name=self.activation,
                dropout=self.dropout,
            )
        return MLP(input_dim, self.hidden, 1, activation_name=self.activation, dropout=self.dropout)


def check_quirks(model: str, compat: Sequence[str], known: Sequence[str]) -> None:
    """Check that ``compat`` has only known quirks of a model's released code.

    Raises:
        ValueError: an unknown quirk; the message names ``model``.

    Example:
        >>> from recops_models.click.model import check_quirks
        >>> check_quirks("dien", ["dice"], known=["dice", "sums"])
        >>> check_quirks("dien", ["bias"], known=["dice", "sums"])
        Traceback (most recent call last):
            ...
        ValueError: dien: compat must be among dice, sums, got 'bias'
    """
    for quirk in compat:
        if quirk not in known:
            raise ValueError(f"{model}: compat must be among {', '.join(known)}, got {quirk!r}")


class ClickScorer(nn.Module, ABC):
    """Module that scores click examples of a fitted schema, trained by gradient or by counting.

    Attributes:
        schema: the features, fitted.

    Example:
        >>> import torch
        >>> from recops_models.click.model import ClickScorer
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> class Constant(ClickScorer):
        ...     def forward(self, batch):
        ...         return torch.zeros(len(batch.label))
        ...
        ...     def item_vectors(self, rows):
        ...         return torch.ones(len(rows), 1)
        >>> schema, batch = tiny_click_data()
        >>> Constant(schema)(batch).sigmoid()
        tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(self, schema: FittedSchema) -> None:
        super().__init__()
        self.schema = schema

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""

    @abstractmethod
    def item_vectors(self, rows: Tensor) -> Tensor | csr_matrix:
        """Return vectors ``[n, d]``, dense or sparse; similar items have similar directions.

        Args:
            rows: ``[n]`` i64, rows of the candidate's vocabulary.
        """


class ClickModel(ClickScorer, ABC):
    """Click model ``logit = head(bottom(batch))``.

    A subclass creates its layers, then ``head`` with ``output_dim()`` inputs, and implements
    ``bottom``. Wrappers of a click model (rocket, co-action, plug) rely on these.

    Attributes:
        schema: the features, fitted.
        config: sizes.
        embedding: the features' tables.
        head: module from ``[B, output_dim]`` to ``[B, 1]``.
        labels: names of the predicted labels; the first is the click.

    Args:
        schema: see the attribute.
        config: see the attribute.
        width: width of a row of the tables; None: that of the configuration.
        history: the only history that is read event by event; None: all histories are.

    Example:
        >>> import torch
        >>> from recops_models.click.model import ClickConfig, ClickModel
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> class ContextAndSums(ClickModel):
        ...     def __init__(self, schema, config):
        ...         super().__init__(schema, config)
        ...         self.head = config.head(self.output_dim())
        ...
        ...     def bottom(self, batch):
        ...         return torch.cat(self.embedding.context(batch, with_history=True), -1), None
        >>> schema, batch = tiny_click_data()
        >>> ContextAndSums(schema, ClickConfig(width=4))(batch).shape
        torch.Size([3])
    """

    head: nn.Module
    labels: tuple[str, ...] = (CLICK,)

    def __init__(
        self,
        schema: FittedSchema,
        config: ClickConfig,
        *,
        width: int | None = None,
        history: str | None = None,
    ) -> None:
        super().__init__(schema)
        self.config = config
        if config.heads != "one":
            self.labels = (CLICK, *config.labels)
        width = config.width if width is None else width
        self.embedding = FeatureEmbedding(schema, width, std=config.table_std, history=history)

    def output_dim(self) -> int:
        """Return the width of the head's input; here, the context and a vector per history."""
        return self.embedding.context_dim + self.embedding.history_dim

    @abstractmethod
    def bottom(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the head's input ``[B, output_dim]`` and the model's auxiliary loss, a scalar.

        The loss is added to the cross-entropy. It is None in evaluation, and for models without
        one.
        """

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]``."""
        return self.logits(self.bottom(batch)[0])

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[B]`` of the head's input ``[B, output_dim]``."""
        logits: Tensor = self.head(x)
        return logits.squeeze(-1)

    def item_vectors(self, rows: Tensor) -> Tensor:
        """See :meth:`ClickScorer.item_vectors`; the rows of the candidate's table."""
        name = self.schema.schema.candidate
        assert name is not None  # ``rows`` are of its table.
        table = self.embedding.tables[self.schema.schema.table(name)]
        vectors: Tensor = table(rows)
        return vectors

    def label_logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[B, labels]`` of the head's input ``[B, output_dim]``."""
        if len(self.labels) == 1:
            return self.logits(x)[:, None]
        heads = cast("LabelHeads", self.head)
        return heads.all_labels(x)
