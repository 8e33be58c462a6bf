"""Embedding tables as the optimizers see them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class LearnedTable(Protocol):
    """Module whose ``weight`` is an embedding table with sparse or dense gradients.

    ``nn.Embedding`` and its subclasses are such tables, and so is any other module with these
    attributes, for example one that reads rows from a table of another library. Optimizers of
    tables find all of them; other parameters have the optimizer of the network.

    Attributes:
        weight: the table, one row per value.
        sparse: whether the gradient of ``weight`` shall be sparse; the trainer sets it.

    Example:
        >>> from torch import nn
        >>> from recops_models.layers.learned_table import LearnedTable
        >>> isinstance(nn.Embedding(4, 2), LearnedTable), isinstance(nn.Linear(4, 2), LearnedTable)
        (True, False)
    """

    weight: nn.Parameter
    sparse: bool
