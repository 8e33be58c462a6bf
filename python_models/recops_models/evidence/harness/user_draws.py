"""What a difference would be among other users, from the predictions that runs left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from recops_models.data.storage import read_table
from recops_models.evaluation.bootstrap import draw_means, draw_users
from recops_models.evaluation.metrics import gains, hits
from recops_models.evaluation.weighted_auc import WeightedAuc, WeightedGauc

_FILE = "predictions.parquet"


def user_draws(
    metric: str, first: Sequence[Path], second: Sequence[Path]
) -> npt.NDArray[np.float64] | None:
    """``[R]``: the difference of two arms among users drawn with replacement, a mean over seeds;
    NaN where it is not defined.

    Every draw of users is measured with each seed's models, and the mean over seeds is taken.

    Args:
        metric: ``auc``, ``gauc``, ``hr@k``, ``ndcg@k``, or the last two of some users alone, as
            ``hr@k_liked``: those whose column of that name is true. Of others there are None.
        first: the folders of the first arm's runs, one a seed.
        second: those of the second arm's, for the same seeds.

    Returns:
        None as well where a folder's predictions, or their column, are no longer there.
    """
    if not all((folder / _FILE).exists() for folder in (*first, *second)):
        return None
    ours, theirs = ([_predictions(folder) for folder in folders] for folders in (first, second))
    kind, _, rest = metric.partition("@")
    if kind in ("hr", "ndcg"):
        cutoff, _, column = rest.partition("_")
        if column:
            if any(column not in table.column_names for table in (*ours, *theirs)):
                return None
            ours, theirs = (
                [table.filter(table[column]) for table in some] for some in (ours, theirs)
            )
        return draw_means(_ranking(ours, kind, int(cutoff)) - _ranking(theirs, kind, int(cutoff)))
    if metric not in ("auc", "gauc"):
        return None
    users = _once(np.unique(np.concatenate([table["user"].to_numpy() for table in ours])).tobytes())
    arms = [[_drawn(metric, folder, users) for folder in folders] for folders in (first, second)]
    return np.asarray(np.mean([a - b for a, b in zip(*arms, strict=True)], axis=0))


@lru_cache(maxsize=64)
def _once(ids: bytes) -> bytes:
    """Of equal ids the first, so that all keys of a cache share it."""
    return ids


@lru_cache(maxsize=4096)
def _drawn(metric: str, folder: Path, ids: bytes) -> npt.NDArray[np.float64]:
    """``[R]``: a run's figure in each draw of these users, once for all claims that have its arm;
    NaN where it is not defined.
    """
    users, table = np.frombuffer(ids, dtype=np.int64), _predictions(folder)
    weighted = WeightedAuc if metric == "auc" else WeightedGauc
    user = np.searchsorted(users, table["user"].to_numpy())
    measure = weighted(table["probability"].to_numpy(), table["label"].to_numpy() > 0, user)
    return draw_users(measure, len(users), numbers=table.num_rows)


def _predictions(folder: Path) -> pa.Table:
    return read_table(folder / _FILE)


def _ranking(tables: Sequence[pa.Table], kind: str, cutoff: int) -> npt.NDArray[np.float64]:
    """``[U]``: each user's hit or gain, the mean over seeds."""
    value = hits if kind == "hr" else gains
    ranks = [torch.from_numpy(table["rank"].to_numpy().copy()) for table in tables]
    return np.asarray(torch.stack([value(rank, cutoff) for rank in ranks]).mean(0).numpy())
