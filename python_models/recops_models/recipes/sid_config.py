"""Settings of the semantic IDs of a generative model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recops_models.item_vectors import TextEncoder
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class SidConfig:
    """Levels, codewords, item vectors and method of semantic IDs.

    Attributes:
        levels: codes per semantic ID.
        codes: codewords per level; at most the number of items.
        text_encoder: encoder of item texts.
        vectors: a file of item vectors; None: vectors are built from texts, attributes and events.
        vectors_order: the item of each row of ``vectors``, if that is a ``.npy`` file: ``"id"``
            (ascending item ids), or a file of item ids.
        collaborative: whether the vectors are the item table of a SASRec, which is trained first
            on the same training part. Items in similar sequences then share codes. New items
            cannot get such codes.
        method: ``"rq-kmeans"``, or ``"balanced-rq"``, which balances the training events of the
            codes.

    Raises:
        ValueError: ``levels`` or ``codes`` below 1; ``vectors`` with ``collaborative``.
    """

    levels: int = 3
    codes: int = 256
    text_encoder: TextEncoder = "tfidf"
    vectors: str | None = None
    collaborative: bool = False
    method: Literal["rq-kmeans", "balanced-rq"] = "rq-kmeans"
    vectors_order: str | None = None

    def __post_init__(self) -> None:
        check_at_least("semantic IDs", self, levels=1, codes=1)
        if self.collaborative and self.vectors is not None:
            raise ValueError(
                "semantic IDs: vectors must be left out with collaborative=true, got "
                f"{self.vectors}"
            )
