"""Result types of constrained beam search, shared by the ops and their reference."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class BeamStep(NamedTuple):
    """The best candidates of a step, best first, each ``[B, num_beams]``.

    Unused slots have score −inf, and −1 in the other fields.
    """

    scores: Tensor
    """float32 (float64 for float64 logits)."""
    tokens: Tensor
    """int32: the child's token."""
    parents: Tensor
    """int32: the index of the beam, of M, that the child continues."""
    nodes: Tensor
    """int32: the child."""


class BeamResult(NamedTuple):
    """The best items, best first. Unused places hold item −1, SID −1 and score −inf."""

    item_ids: Tensor
    """``[B, num_beams]`` int64."""
    sids: Tensor
    """``[B, num_beams, L]`` int32."""
    scores: Tensor
    """``[B, num_beams]`` float32 (float64 for float64 logits)."""
