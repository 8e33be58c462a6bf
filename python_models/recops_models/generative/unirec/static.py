"""What is known of a user beside the history: the static fields of h_agg."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.layers.padded_rows import draw_rows


class UserFields(nn.Module):
    """``e_static = [E_1[f_1] ⊕ …]`` of a user's fields, such as age group and occupation.

    The id of a user is none of them: a user who was not trained on has fields all the same.

    Args:
        values: ``[1 + U, F]`` i64, each user's tokens from 1, 0 where one is not known; row 0 is
            nobody.
        width: of each field's embedding.
    """

    values: Tensor

    def __init__(self, values: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("values", values)
        sizes = values.amax(0).tolist()
        self.tables = nn.ModuleList(nn.Embedding(1 + size, width, padding_idx=0) for size in sizes)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            draw_rows(table, width**-0.5)
        self.width = width * len(sizes)

    def forward(self, user: Tensor) -> Tensor:
        """``[B, F · width]`` of users ``[B]``, 1-based; 0 is nobody.

        Raises:
            IndexError: there is no such user.
        """
        if not torch.compiler.is_exporting() and (user < 0).any():
            raise IndexError(f"UniRec: user must be 0 or more, got {int(user.min())}")
        tokens = self.values[user]
        return torch.cat([table(tokens[:, i]) for i, table in enumerate(self.tables)], -1)
