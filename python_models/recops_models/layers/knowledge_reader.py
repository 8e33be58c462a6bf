"""Looks up what is known of users, items and pairs: frozen, and zero where nothing is."""

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
    """``k = [LN(K_u), miss_u, LN(K_i), miss_i, LN(K_ui)]`` from rows of users and of items.

    LN is layer normalisation without weights, of each part by itself: the user's columns do not
    depend on the item, and are made once for all candidates of a request. An unknown user or item,
    and every pair with one, has zeros; ``miss`` is then 1. Nothing here learns: tables are buffers,
    the net of pairs is frozen, and what comes out carries no gradient.

    That knowledge enters as dense features behind a stopped gradient is inferred; the normalising
    part by part, and the bits, are ours.

    Args:
        tables: of ``"user"`` and ``"item"``, see
            :class:`~recops_models.graphs.knowledge.Knowledge`.
        pair: the weights of the net of pairs, by name.
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
        """One that reads this knowledge."""
        return cls(knowledge.tables, knowledge.pair)

    @classmethod
    def shaped(cls, weights: Mapping[str, Tensor]) -> KnowledgeReader:
        """One with the shapes of a reader's ``weights``."""
        tables = {
            name: CodedRows(weights[f"{name}_values"], weights.get(f"{name}_scale"))
            for name in ENTITIES
        }
        return cls(tables, below("pair.", weights))

    @property
    def width(self) -> int:
        """d."""
        return self._table("user").values.shape[1]

    def part_width(self, part: KnowledgePart) -> int:
        """Columns of a part: d, and one for who is unknown."""
        return self.width + (part != "pair")

    @torch.no_grad()
    def forward(self, user: Tensor, item: Tensor) -> dict[KnowledgePart, Tensor]:
        """Return the knowledge of each part, ``[B, part_width]`` f32.

        Args:
            user: ``[B]`` i64, rows of the users' table; or ``[1]`` for one user with B items. The
                user's part is then ``[1, part_width]``.
            item: ``[B]`` i64, rows of the items' table.
        """
        of_user, of_item = self._table("user").take(user), self._table("item").take(item)
        absent_user, absent_item = (user <= UNKNOWN)[:, None], (item <= UNKNOWN)[:, None]
        pair = self.pair(of_user.expand_as(of_item), of_item)
        pair = pair.masked_fill(absent_user | absent_item, 0)
        return {
            "user": torch.cat([_normalised(of_user), absent_user.float()], -1),
            "item": torch.cat([_normalised(of_item), absent_item.float()], -1),
            "pair": _normalised(pair),
        }

    def _table(self, name: str) -> CodedRows:
        return CodedRows(getattr(self, f"{name}_values"), getattr(self, f"{name}_scale"))


def _normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
