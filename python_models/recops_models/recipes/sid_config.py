"""How a generative model's semantic IDs are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recops_models.item_vectors import TextEncoder


@dataclass(frozen=True)
class SidConfig:
    """How semantic IDs are made: ``levels`` of at most ``codes`` codewords, of which vectors.

    Attributes:
        levels: codes of a semantic ID.
        codes: codewords a level; fewer where there are fewer items.
        text_encoder: how item text becomes numbers.
        vectors: a file of item vectors to use instead of made ones.
        method: ``"rq-kmeans"``, or ``"balanced-rq"``, whose codes all carry about as many training
            events.
    """

    levels: int = 3
    codes: int = 256
    text_encoder: TextEncoder = "tfidf"
    vectors: str | None = None
    method: Literal["rq-kmeans", "balanced-rq"] = "rq-kmeans"
