"""UniRec's sizes, and which of its parts are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from recops_models.setting_checks import check_at_least, check_heads, check_shares

EventForm: TypeAlias = Literal["concat", "sum"]
"""How an event's item and attributes become one vector: a linear map of them beside each other;
``√d · e_item + Σ e_attribute``."""

Bos: TypeAlias = Literal["table", "factorised", "shared"]
"""Where a path's first query comes from: a row for each task; the sum of its objective's row and
its scene's, so that a pair never trained on has one too; one row for all tasks."""


@dataclass(frozen=True)
class UniRecConfig:
    """Sizes. The paper's: d 256, 8 heads, 3 layers, 4 experts of 4d, d_hash 64.

    Attributes:
        num_attributes: m: the first m tokens of a path are attributes, the others codes; 0 is
            allowed.
        history: T, the most recent events that are read.
        width: d.
        events: how an event becomes a vector: ``"concat"`` is the paper's, ``"sum"`` SASRec's [I].
        heads: of every attention; divides ``width``.
        history_layers: causal self-attention over the events before the decoder reads them [I]; 0
            is the paper's encoder, where events meet only in the decoder.
        layers: of the decoder.
        experts: in each decoder layer.
        expert_hidden: an expert's hidden width.
        head_hidden: width of MaskNet's bottleneck and output.
        hash_width: d_hash; 0 leaves the content summary out.
        objectives: how many a user may be asked for (click, purchase, …).
        scenes: where (feed, search, …); task = objective · scenes + scene.
        bos: how a task becomes the first query.
        item_scores: what scores of whole items count beside ``log p(path)`` among the items that
            the beams found [I], see :class:`~.item_scores.ItemScores`; 0 leaves them out.
        item_loss: what learning them counts beside learning paths.
        negatives: items drawn for each batch to learn them.
        dropout: on embeddings, residual branches and before the logits [I].
        beams: decoded paths per request.

    Raises:
        ValueError: a size or a weight that is too small, heads that do not divide the width, scores
            of items that nothing learns, a dropout outside [0, 1).
    """

    num_attributes: int = 1
    history: int = 50
    width: int = 64
    events: EventForm = "sum"
    heads: int = 4
    history_layers: int = 1
    layers: int = 1
    experts: int = 2
    expert_hidden: int = 64
    head_hidden: int = 64
    hash_width: int = 8
    objectives: int = 1
    scenes: int = 1
    bos: Bos = "table"
    item_scores: float = 2.0
    item_loss: float = 1.0
    negatives: int = 512
    dropout: float = 0.3
    beams: int = 100

    def __post_init__(self) -> None:
        check_at_least("unirec", self, history=1, width=1, heads=1, layers=1, experts=1)
        check_at_least("unirec", self, expert_hidden=1, head_hidden=1, negatives=1, beams=1)
        check_at_least("unirec", self, objectives=1, scenes=1)
        check_at_least("unirec", self, num_attributes=0, history_layers=0, hash_width=0)
        check_at_least("unirec", self, item_scores=0, item_loss=0)
        check_shares("unirec", self, "dropout")
        check_heads("unirec", self.width, self.heads)
        if self.item_scores and not self.item_loss:
            raise ValueError(
                "unirec: item_scores must be 0 where item_loss is, as nothing learns them, got "
                f"{self.item_scores:g}"
            )

    @property
    def tasks(self) -> int:
        """objectives · scenes."""
        return self.objectives * self.scenes
