"""A log of a policy: what it showed, with what probability, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError


@dataclass(frozen=True, eq=False)
class BanditLog:
    """N impressions of A actions.

    Attributes:
        action: ``[N]`` integers, what was shown, from 0 to A − 1.
        reward: ``[N]``, what came of it, 0 or 1 of clicks.
        propensity: ``[N]``, with what probability it was shown there, in (0, 1].
        actions: A.
        group: ``[N]`` integers: impressions of one group are not independent, and intervals know;
            None: each is its own.

    Raises:
        ValueError: columns of different lengths or none, an unknown action, a reward that is not
            finite, a propensity that is missing, zero, or no probability.
    """

    action: npt.NDArray[np.int64]
    reward: npt.NDArray[np.float64]
    propensity: npt.NDArray[np.float64]
    actions: int
    group: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        number = len(self.action)
        columns = {"action": self.action, "reward": self.reward, "propensity": self.propensity}
        if self.group is not None:
            columns["group"] = self.group
        for name, values in columns.items():
            if values.shape != (number,) or not number:
                raise ValueError(
                    f"BanditLog: {name} must be [N], N ≥ 1 as of action, got {list(values.shape)}"
                )
        p = self.propensity
        _refuse(np.isnan(p), "propensity must not be missing,")
        _refuse(~(p > 0), "propensity must be > 0, or nothing can be told of what was never shown,")
        _refuse(p > 1, "propensity must be ≤ 1,")
        _refuse(~np.isfinite(self.reward), "reward must be finite,")
        _refuse(
            (self.action < 0) | (self.action >= self.actions),
            f"action must lie within [0, {self.actions}),",
        )

    def __len__(self) -> int:
        return len(self.action)


def open_bandit_log(
    dataset: Dataset, *, policy: str = "random", campaign: str = "all"
) -> tuple[BanditLog, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One log of the Open Bandit data, in the order of time.

    Args:
        dataset: of ``recops_models.data.load("open-bandit")``.
        policy: that showed the items, "random" or "bts".
        campaign: "all", "men" or "women".

    Returns:
        the log, the ids of its actions ``[A]``, those of the campaign's items, and the users'
        ``[N]``, which are the log's groups.

    Raises:
        DataError: the data has no such log.
        ValueError: see :class:`BanditLog`.
    """
    events, items = dataset.interactions, dataset.items
    for name in ("policy", "campaign", "propensity"):
        if name not in events.column_names:
            raise DataError(f"{dataset.name}: no column {name!r}, so no log of a policy")
    chosen = events.filter(
        pc.and_(pc.equal(events["policy"], policy), pc.equal(events["campaign"], campaign))
    )
    if not chosen.num_rows:
        raise DataError(f"{dataset.name}: no log of policy {policy!r} in campaign {campaign!r}")
    mine = pc.equal(items["campaign"].cast("string"), campaign)
    ids = np.sort(items["item_id"].filter(mine).to_numpy())
    users = chosen["user_id"].to_numpy()
    log = BanditLog(
        np.searchsorted(ids, chosen["item_id"].to_numpy()),
        chosen["label"].to_numpy().astype(np.float64),
        chosen["propensity"].to_numpy().astype(np.float64),
        len(ids),
        users,
    )
    return log, ids, users


def _refuse(wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise ValueError(f"BanditLog: {what} not so in row {int(wrong.argmax())}")
