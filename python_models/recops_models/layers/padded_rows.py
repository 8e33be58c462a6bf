"""Embedding tables with a zero row for padding."""

from __future__ import annotations

import torch
from torch import nn


def draw_rows(table: nn.Embedding, std: float) -> None:
    """Draw a table's rows from N(0, std²), except row 0, which is zero.

    Row 0 stands for padding and for everything that the model does not know.

    Example:
        >>> from torch import nn
        >>> from recops_models.layers.padded_rows import draw_rows
        >>> table = nn.Embedding(3, 2)
        >>> draw_rows(table, std=0.02)
        >>> table.weight[0].tolist()
        [0.0, 0.0]
    """
    nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[0] = 0
