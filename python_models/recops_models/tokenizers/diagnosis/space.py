"""Codebooks of a tokenizer, with the vectors that they quantize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

import recops
from recops.ops.residual_quantization.nearest_codes import Metric
from recops_models.tokenizers.base import Tokenizer


@dataclass(frozen=True, eq=False)
class Space:
    """Codebooks, the vectors that they quantize, and a decoder of codes.

    Attributes:
        codebooks: ``[K_l, d]`` per level; None if the tokenizer has none.
        vectors: ``[N, D]``, or None.
        latents: ``[N, d]``, input of the codebooks: the vectors, or the encoder's output; None
            without vectors or codebooks.
        tokenizer: decodes codes; None: codes decode to sums of codewords.
        metric: distance to codewords.
    """

    codebooks: list[Tensor] | None
    vectors: Tensor | None
    latents: Tensor | None
    tokenizer: Tokenizer | None
    metric: Metric = "l2"

    @staticmethod
    def of(source: Tokenizer | Tensor | Sequence[Tensor], vectors: Tensor | None) -> Space:
        """Return the space of a tokenizer, or of codebooks that quantize the vectors.

        Raises:
            ValueError: the vectors and the codebooks have different widths.
        """
        tokenizer = source if isinstance(source, Tokenizer) else None
        books = source.codebooks if isinstance(source, Tokenizer) else source
        codebooks = None if books is None else [book.detach().float() for book in books]
        latents = None
        if vectors is not None and codebooks is not None:
            latents = vectors.float() if tokenizer is None else tokenizer.latents(vectors)
            if latents.shape[1:] != codebooks[0].shape[1:]:
                raise ValueError(
                    "diagnose: vectors must have the codebooks' dimension "
                    f"{codebooks[0].shape[1]}, got {list(latents.shape)}"
                )
        metric: Metric = "l2" if tokenizer is None else tokenizer.metric
        return Space(codebooks, vectors, latents, tokenizer, metric)

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        if self.tokenizer is not None:
            return self.tokenizer.vocab_sizes
        return tuple(len(book) for book in self.codebooks or ())

    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors ``[N, D]`` of codes ``[N, L]``."""
        return self.sums(codes) if self.tokenizer is None else self.tokenizer.decode(codes)

    def sums(self, codes: Tensor) -> Tensor:
        """Return SID embeddings Σ_l codebooks[l][codes_l] ``[N, d]``."""
        if self.codebooks is None:
            return self.decode(codes)
        return recops.rq_decode(codes, self.codebooks)
