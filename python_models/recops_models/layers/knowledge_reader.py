"""Frozen lookup of knowledge of users, items and pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.dotted import below
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import ENTITIES, Knowledge
from recops_models.layers.pair_knowledge import PairKnowledge

KnowledgePart = Literal["user", "item", "pair"]


class KnowledgeReader(nn.Module):
    """``k = [LN(K_u), miss_u, LN(K_i), miss_i, LN(K_ui)]`` from the knowledge of users and items.

    LN is layer normalisation without weights, per part. The user's columns do not depend on the
    item, so they are computed once per request. An unknown user or item has zeros and ``miss`` 1,
    and every pair with it has zeros. Nothing is trained: tables are buffers, the pair net is
    frozen, and outputs carry no gradient.

    Source: KEEP (arXiv 2208.10174). Dense knowledge features behind a stopped gradient are
    inferred; the normalisation per part and the flags are the project's own.

    Args:
        tables: tables of ``"user"`` and ``"item"``, see
            :class:`~recops_models.graphs.knowledge.Knowledge`.
        pair: the weights of the pair net, by name.

    Example:
        >>> import torch
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> from recops_models.layers.knowledge_reader import KnowledgeReader
        >>> reader = KnowledgeReader.of(tiny_knowledge())
        >>> knowledge = reader(user=torch.tensor([2, 1]), item=torch.tensor([3, 3]))
        >>> {part: tuple(values.shape) for part, values in knowledge.items()}
        {'user': (2, 5), 'item': (2, 5), 'pair': (2, 4)}
        >>> knowledge["user"][:, -1].tolist()  # whether the user is unknown
        [0.0, 1.0]
    """

    def __init__(self, tables: Mapping[str, CodedRows], pair: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ENTITIES:
            self.register_buffer(f"{name}_values", tables[name].values)
            self.register_buffer(f"{name}_scale", tables[name].scale)
        self.pair = PairKnowledge.shaped(pair)
        self.pair.load_state_dict(dict(pair))
        self.pair.requires_grad_(False)

    @classmethod
    def of(cls, knowledge: Knowledge) -> KnowledgeReader:
        """Return a reader of this knowledge."""
        return cls(knowledge.tables, knowledge.pair)

    @classmethod
    def shaped(cls, weights: Mapping[str, Tensor]) -> KnowledgeReader:
        """Return a reader with the shapes of another reader's ``weights``."""
        tables = {
            name: CodedRows(weights[f"{name}_values"], weights.get(f"{name}_scale"))
            for name in ENTITIES
        }
        return cls(tables, below("pair.", weights))

    @property
    def width(self) -> int:
        """d, the width of a knowledge vector."""
        return self._table("user").values.shape[1]

    @property
    def tables(self) -> dict[str, CodedRows]:
        """Tables of ``"user"`` and ``"item"``."""
        return {name: self._table(name) for name in ENTITIES}

    def part_width(self, part: KnowledgePart) -> int:
        """Return the number of columns of a part: d, and one flag for users and items."""
        return self.width + (part != "pair")

    @torch.no_grad()
    def forward(self, user: Tensor, item: Tensor) -> dict[KnowledgePart, Tensor]:
        """Return the knowledge of each part, ``[B, part_width]`` f32.

        Args:
            user: ``[B]`` i64, rows of the users' table; or ``[1]`` for one user with B items. The
                user's part is then ``[1, part_width]``.
            item: ``[B]`` i64, rows of the items' table.
        """
        user_rows, item_rows = self._table("user").take(user), self._table("item").take(item)
        absent_user, absent_item = (user <= UNKNOWN)[:, None], (item <= UNKNOWN)[:, None]
        pair = self.pair(user_rows.expand_as(item_rows), item_rows)
        pair = pair.masked_fill(absent_user | absent_item, 0)
        return {
            "user": torch.cat([_normalise(user_rows), absent_user.float()], -1),
            "item": torch.cat([_normalise(item_rows), absent_item.float()], -1),
            "pair": _normalise(pair),
        }

    def _table(self, name: str) -> CodedRows:
        return CodedRows(getattr(self, f"{name}_values"), getattr(self, f"{name}_scale"))


def _normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
