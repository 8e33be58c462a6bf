"""Tokenizing a file of vectors that need not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recops_models.callbacks import Callbacks
from recops_models.item_vectors.vector_file import ROWS, VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.tokenizers.metrics import SidMetrics, code_metrics, upto
from recops_models.tokenizers.sids import Sids


@dataclass(frozen=True, eq=False)
class StreamedCatalogue:
    """A :class:`~recops_models.tokenizers.catalogue.Catalogue` whose vectors stay in their file.

    Only ids and codes are in memory: 8 + 4 L bytes an item.
    """

    file: VectorFile

    def __len__(self) -> int:
        return self.file.num_rows

    def check(self, tokenizer: Tokenizer) -> None:
        """Whether ``tokenizer`` can be fitted to the file, which is read once from end to end.

        Raises:
            ValueError: another method than ``rq-kmeans``, or what its settings do not go with.
            DataError: an id or a vector is unfit, or the file is damaged.
        """
        _that_streams(tokenizer).check_file(self.file)
        self.file.item_ids()
        for _ in self.file.vectors():
            pass

    def fit(
        self,
        tokenizer: Tokenizer,
        *,
        seed: int,
        callbacks: Callbacks | None = None,
        folder: Path | None = None,
        resume: bool = False,
    ) -> None:
        """Fit ``tokenizer`` to the file, read once a pass; only ``rq-kmeans`` can.

        Raises:
            ValueError: another method.
        """
        streaming = _that_streams(tokenizer)
        streaming.fit_file(self.file, seed=seed, callbacks=callbacks, folder=folder, resume=resume)

    def sids(self, tokenizer: Tokenizer) -> Sids:
        """Every item's codes, by ascending id."""
        ids = self.file.item_ids()
        order = np.argsort(ids)
        return Sids(ids[order], self._codes(tokenizer).numpy()[order])

    def metrics(self, tokenizer: Tokenizer) -> SidMetrics:
        """As :func:`~recops_models.tokenizers.metrics.sid_metrics`, to rounding."""
        levels = len(tokenizer.vocab_sizes)
        total, squares, errors = np.zeros(self.file.dim), 0.0, np.zeros(levels)
        codes = self._codes(tokenizer)
        for rows, vectors in zip(codes.split(ROWS), self.file.vectors(), strict=True):
            exact = vectors.astype(np.float64)
            total += exact.sum(axis=0)
            squares += float((exact**2).sum())
            decoded = (tokenizer.decode(upto(rows, level)) for level in range(levels))
            errors += [((exact - each.numpy()) ** 2).sum() for each in decoded]
        spread = squares - float((total**2).sum()) / len(self)
        shares = (errors / spread).tolist() if spread > 0 else [0.0] * levels
        return code_metrics(codes, tokenizer.vocab_sizes, shares)

    def _codes(self, tokenizer: Tokenizer) -> Tensor:
        return torch.cat([tokenizer.encode(torch.from_numpy(v)) for v in self.file.vectors()])


def _that_streams(tokenizer: Tokenizer) -> RQKMeans:
    if not isinstance(tokenizer, RQKMeans) or tokenizer.method != RQKMeans.method:
        raise ValueError(
            f"{tokenizer.method} needs all vectors in memory; only {RQKMeans.method} learns "
            "from a stream"
        )
    return tokenizer
