"""Catalogue whose vectors stay in a file larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recops_models.callbacks import Callbacks
from recops_models.item_vectors.vector_file import ROWS, VectorFile
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.metrics import SidMetrics, code_metrics, upto
from recops_models.tokenizers.sids import Sids
from recops_models.training.device import AUTO


@dataclass(frozen=True, eq=False)
class StreamedCatalogue:
    """A :class:`~recops_models.tokenizers.catalogue.Catalogue` whose vectors stay in their file.

    Memory holds only ids and codes, 8 + 4L bytes per item.
    """

    file: VectorFile

    def __len__(self) -> int:
        return self.file.num_rows

    def check(self, tokenizer: Tokenizer) -> None:
        """Check that ``tokenizer`` can be fitted to the file; reads the whole file once.

        Raises:
            ValueError: the method cannot be streamed, or its settings do not fit the file.
            DataError: an id or a vector is invalid, or the file is damaged.
        """
        tokenizer.check_file(self.file)
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
        device: str | torch.device = AUTO,
    ) -> None:
        """Fit ``tokenizer`` to the file, which is read once per pass.

        Raises:
            ValueError: the method cannot be streamed.
        """
        tokenizer.fit_file(
            self.file,
            seed=seed,
            callbacks=callbacks,
            folder=folder,
            resume=resume,
            device=device,
        )

    def evaluate(self, tokenizer: Tokenizer) -> tuple[Sids, SidMetrics]:
        """Return the codes of all items, by ascending id, and their metrics; reads the file once.

        The metrics equal :func:`~recops_models.tokenizers.metrics.sid_metrics` up to rounding.
        """
        levels = len(tokenizer.vocab_sizes)
        total, squares, errors = np.zeros(self.file.dim), 0.0, np.zeros(levels)
        codes = torch.empty(len(self), levels, dtype=torch.int32)
        for rows, vectors in zip(codes.split(ROWS), self.file.vectors(), strict=True):
            rows.copy_(tokenizer.encode(torch.from_numpy(vectors)))
            exact = vectors.astype(np.float64)
            total += exact.sum(axis=0)
            squares += float((exact**2).sum())
            decoded = (tokenizer.decode(upto(rows, level)) for level in range(levels))
            errors += [((exact - each.numpy()) ** 2).sum() for each in decoded]
        spread = squares - float((total**2).sum()) / len(self)
        shares = (errors / spread).tolist() if spread > 0 else [0.0] * levels
        metrics = code_metrics(codes, tokenizer.vocab_sizes, shares)
        ids = self.file.item_ids()
        order = np.argsort(ids)
        return Sids(ids[order], codes.numpy()[order]), metrics
