"""Configuration of UniRec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from recops_models.setting_checks import (
    check_above_zero,
    check_at_least,
    check_at_most,
    check_heads,
    check_shares,
)

CandidateSource: TypeAlias = Literal["beams", "scores", "item-knn", "all"]
"""Sources of the items that a request ranks.

``"beams"``: beam search. In addition, and in equal number: ``"scores"``: the items with the highest
item scores; ``"item-knn"``: those of :class:`~recops_models.generative.item_knn.ItemKNN`;
``"all"``: both.
"""
WITH_ITEM_KNN = ("item-knn", "all")
"""Sources that include item-kNN."""

EventForm: TypeAlias = Literal["concat", "sum"]
"""How the embeddings of an event's item and attributes become one vector.

``"concat"``: a linear map of their concatenation; ``"sum"``: ``√d · e_item + Σ e_attribute``.
"""

Bos: TypeAlias = Literal["table", "factorised", "shared"]
"""Where a task's first query comes from.

``"table"``: one row per task; ``"factorised"``: a row per objective plus a row per scene, which
also covers pairs without training data; ``"shared"``: one row for all tasks.
"""


@dataclass(frozen=True)
class UniRecConfig:
    """Sizes of UniRec. The paper has width 256, 8 heads, 3 layers, 4 experts of 4d, d_hash 64.

    Attributes:
        num_attributes: m ≥ 0, number of attribute tokens at the start of a path.
        history: T, number of most recent events that are read.
        width: d.
        events: how an event becomes a vector: ``"concat"`` as in the paper, ``"sum"`` as in SASRec
            [I].
        heads: attention heads; must divide ``width``.
        history_layers: causal self-attention layers over the events [I]; 0 as in the paper, where
            only the decoder combines events.
        layers: decoder layers.
        experts: experts per decoder layer.
        expert_hidden: hidden width of one expert.
        head_hidden: width of MaskNet's bottleneck and output.
        hash_width: d_hash; 0 removes the content summary.
        objectives: number of objectives (click, purchase, …).
        scenes: number of scenes (feed, search, …); task = objective · scenes + scene.
        bos: where a task's first query comes from.
        roots: R, number of latent root tokens, see :class:`~.roots.Roots` [I]. Decoder and heads
            cost R times that of one root, in training and in requests.
        item_scores: weight of :class:`~.item_scores.ItemScores` relative to ``log p(path)`` when
            items found by the beams are ranked [I]; 0 removes these scores.
        item_loss: weight of their loss relative to the loss of paths.
        negatives: items drawn per target for that loss, shared by as many targets; 0: a softmax
            over all items.
        item_content: whether an item's embedding also depends on its content vector; see
            :class:`~.item_table.ItemTable` [I].
        candidates: sources of the items that a request ranks. Only ``"beams"`` avoids a score per
            item of the catalogue.
        knn_decay: weight of an event relative to the next one, in the scores of item-kNN.
        dropout: on embeddings, residual branches and the input of the logits [I].
        beams: beams per request.

    Raises:
        ValueError: a size or weight is too small, the heads do not divide the width, item scores
            have no loss, candidates come from missing item scores, or the dropout is outside
            [0, 1).

    Example:
        >>> from recops_models.generative.unirec import UniRecConfig
        >>> UniRecConfig(objectives=2, scenes=3).tasks
        6
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
    roots: int = 1
    item_scores: float = 2.0
    item_loss: float = 1.0
    negatives: int = 512
    item_content: bool = False
    candidates: CandidateSource = "beams"
    knn_decay: float = 0.8
    dropout: float = 0.3
    beams: int = 100

    def __post_init__(self) -> None:
        check_at_least("unirec", self, history=1, width=1, heads=1, layers=1, experts=1)
        check_at_least("unirec", self, expert_hidden=1, head_hidden=1, beams=1)
        check_at_least("unirec", self, objectives=1, scenes=1, roots=1)
        check_at_least("unirec", self, num_attributes=0, history_layers=0, hash_width=0)
        check_at_least("unirec", self, item_scores=0, item_loss=0, negatives=0)
        check_shares("unirec", self, "dropout")
        check_heads("unirec", self.width, self.heads)
        check_above_zero("unirec", self, "knn_decay")
        check_at_most("unirec", self, knn_decay=1)
        if self.candidates in ("scores", "all") and not self.item_scores:
            raise ValueError(
                'unirec: candidates must be "beams" or "item-knn" if item_scores is 0, got '
                f'"{self.candidates}"'
            )
        if self.item_scores and not self.item_loss:
            raise ValueError(
                "unirec: item_scores must be 0 if item_loss is 0, since nothing trains them, got "
                f"{self.item_scores:g}"
            )

    @property
    def reads_item_knn(self) -> bool:
        """True if item-kNN is a source of candidates."""
        return self.candidates in WITH_ITEM_KNN

    @property
    def tasks(self) -> int:
        """Number of tasks: objectives · scenes."""
        return self.objectives * self.scenes
