"""Embedding tables with a zero row for padding."""

from __future__ import annotations

import torch
from torch import nn


def draw_rows(table: nn.Embedding, std: float) -> None:
    """Draw a table's rows from N(0, std²), except row 0, which is zero.

    Row 0 stands for padding and for everything that the model does not know.
    """
    nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[0] = 0
