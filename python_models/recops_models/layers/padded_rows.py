"""Tables whose row 0 says nothing."""

from __future__ import annotations

import torch
from torch import nn


def draw_rows(table: nn.Embedding, std: float) -> None:
    """Draw a table's rows from N(0, std²), but for row 0, which is padding: it is zero, and stays
    so. What a model does not know has this row.
    """
    nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[0] = 0
