"""Types of the codebooks that residual quantization accepts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from torch import Tensor

Stack: TypeAlias = Tensor | Iterable[Tensor]
"""Codebooks of one residual quantizer: ``[L, K, D]``, or L tensors ``[K_l, D]``."""

Codebooks: TypeAlias = Stack | Iterable[Stack]
"""Codebooks of one quantizer, or of a product of several: ``[G, L, K, D/G]``, or G stacks."""
