"""Embeddings of items: learned rows, and optionally a map of the items' content [I]."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ItemTable(nn.Embedding):
    """Item embeddings ``e_i = E_i + W c_i``; items count from 1, and 0 is padding.

    E_i is learned per item. c_i is the item's content vector, scaled to length 1; it is stored and
    not trained. W is shared by all items, so an item with few events starts near items with similar
    content. W starts at zero. Without content, ``e_i = E_i``.

    The UniRec paper has no such sum. Sums of learned and content embeddings are the idea of LIGER
    (Yang et al., Unifying Generative and Dense Retrieval for Sequential Recommendation, arXiv
    2411.18814).

    Args:
        num_items: N.
        width: d.
        content: ``[N, D]``, content vectors; a zero row is an item without content. None: no
            content.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.item_table import ItemTable
        >>> table = ItemTable(num_items=3, width=8, content=torch.eye(3))
        >>> table(torch.tensor([[1, 3, 0]])).shape
        torch.Size([1, 3, 8])
    """

    content: Tensor | None
    project: nn.Parameter | None

    def __init__(self, num_items: int, width: int, content: Tensor | None = None) -> None:
        super().__init__(1 + num_items, width, padding_idx=0)
        if content is None:
            self.register_buffer("content", None)
            self.register_parameter("project", None)
        else:
            self.register_buffer("content", F.pad(_unit_rows(content), (0, 0, 1, 0)))
            self.project = nn.Parameter(torch.zeros(width, content.shape[1]))

    def learned(self, item: Tensor) -> Tensor:
        """Return the learned rows ``[…, d]``; zero for items that were added after training."""
        return super().forward(item.where(item < self.num_embeddings, 0))

    def forward(self, item: Tensor) -> Tensor:
        """Return the embeddings ``[…, d]`` of items ``[…]``."""
        rows = self.learned(item)
        if self.content is None or self.project is None:
            return rows
        return rows + F.linear(self.content[item], self.project)

    def all_items(self) -> Tensor:
        """Return the embeddings ``[N, d]`` of the items of training."""
        rows = self.weight[1:]
        if self.content is None or self.project is None:
            return rows
        return rows + F.linear(self.content[1 : len(self.weight)], self.project)

    def content_scores(self, state: Tensor, item: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return ``⟨h, W c_i⟩`` and whether each item has content; None for a table without.

        Args:
            state: h, ``[B, d]``.
            item: ``[B, k]``.

        Returns:
            two tensors ``[B, k]``.
        """
        if self.content is None or self.project is None:
            return None
        content = self.content[item]
        return (content @ (state @ self.project)[..., None])[..., 0], content.any(-1)

    def with_new_items(self, content: Tensor) -> ItemTable:
        """Return this table, with the same weights, and the content ``[n, D]`` of further items.

        They follow the items of training, and have no learned rows.
        """
        if self.content is None:
            return self
        view = copy.copy(self)
        view._buffers = dict(self._buffers)  # so that new buffers do not replace those of self
        known = self.content[: len(self.weight)]
        view.content = torch.cat([known, _unit_rows(content).to(known)])
        return view


def checked_content(
    name: str, content: Tensor | None, num_items: int, width: int | None = None
) -> Tensor:
    """Return content vectors after a check of their shape.

    Args:
        name: the caller's name, for the error.
        content: ``[num_items, width]``.
        num_items: number of items.
        width: D; None: any.

    Raises:
        ValueError: ``content`` is missing, or of another shape.

    Example:
        >>> from recops_models.generative.unirec.item_table import checked_content
        >>> checked_content("UniRec", None, num_items=5)
        Traceback (most recent call last):
            ...
        ValueError: UniRec: item_content=true needs content [5, D], a vector per item, got None
    """
    shape = None if content is None else list(content.shape)
    columns = "D" if width is None else width
    is_fit = shape is not None and len(shape) == 2 and shape[0] == num_items
    if content is None or not is_fit or content.shape[1] != (width or content.shape[1]):
        raise ValueError(
            f"{name}: item_content=true needs content [{num_items}, {columns}], a vector per item, "
            f"got {shape}"
        )
    return content


def _unit_rows(content: Tensor) -> Tensor:
    return F.normalize(content.float(), dim=1)
