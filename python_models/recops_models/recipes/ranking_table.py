"""Table of recommendations, one row per item."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from recops_models.generative.ranker import Ranking


def ranking_table(
    ranking: Ranking, user_keys: pa.ChunkedArray, item_ids: pa.ChunkedArray
) -> pa.Table:
    """Return the columns ``user``, ``place`` i64 from 1, ``item`` and ``score`` f32.

    Args:
        ranking: the lists of U users.
        user_keys: ``[U]``, ids of these users.
        item_ids: ids of all items, by index.
    """
    row, column = (ranking.items >= 0).nonzero(as_tuple=True)
    items = ranking.items[row, column].numpy()
    return pa.table(
        {
            "user": user_keys.take(pa.array(row.numpy())),
            "place": pa.array(column.numpy().astype(np.int64) + 1),
            "item": item_ids.take(pa.array(items)),
            "score": pa.array(ranking.scores[row, column].float().numpy()),
        }
    )
