"""Error for a token of a semantic ID outside its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def refuse_bad_token(op: str, sids: Tensor, vocab_sizes: Sequence[int]) -> None:
    """Raise for the first token of ``sids`` ``[N, L]`` outside its level's vocabulary, if any.

    Raises:
        ValueError: a token is outside its vocabulary; the message names its position.
    """
    outside = (sids < 0) | (sids >= torch.tensor(vocab_sizes, device=sids.device))
    for row, level in outside.nonzero()[:1].tolist():
        raise ValueError(
            f"{op}: sids[{row}, {level}] must be from 0 to {vocab_sizes[level] - 1}, "
            f"got {int(sids[row, level])}"
        ) from None
