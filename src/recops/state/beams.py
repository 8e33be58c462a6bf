"""Result types of constrained beam search, for the ops and their reference."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BeamStep(NamedTuple):
    """Best candidates of a step, best first; each field is ``[B, num_beams]``.

    Unused slots have score −inf, and −1 in the other fields.
    """

    scores: Tensor
    """float32 (float64 for float64 logits)."""
    tokens: Tensor
    """int32: the child's token."""
    parents: Tensor
    """int32: the index, below M, of the beam that the child extends."""
    nodes: Tensor
    """int32: the child's node."""


class BeamResult(NamedTuple):
    """Best items, best first. Unused slots have item −1, SID −1 and score −inf."""

    item_ids: Tensor
    """``[B, num_beams]`` int64."""
    sids: Tensor
    """``[B, num_beams, L]`` int32."""
    scores: Tensor
    """``[B, num_beams]`` float32 (float64 for float64 logits)."""
