"""How a generative model's semantic IDs are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recops_models.item_vectors import TextEncoder
from recops_models.setting_checks import check_at_least


@dataclass(frozen=True)
class SidConfig:
    """How semantic IDs are made: ``levels`` of at most ``codes`` codewords, of which vectors.

    Attributes:
        levels: codes of a semantic ID.
        codes: codewords a level; fewer where there are fewer items.
        text_encoder: how item text becomes numbers.
        vectors: a file of item vectors to use instead of made ones.
        vectors_order: the item of each row of ``vectors``, if that is a ``.npy`` file: ``"id"``
            (ascending item ids), or a file of item ids.
        collaborative: whether the vectors are the item table of a SASRec that is trained before, on
            the same training part, instead: items that follow like items then share codes. An item
            that nobody has met can't have such codes.
        method: ``"rq-kmeans"``, or ``"balanced-rq"``, whose codes all carry about as many training
            events.

    Raises:
        ValueError: no level, no code; a file of vectors, and vectors that are to be learnt.
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
