"""Log of a policy: actions, their probabilities (propensities), and rewards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError


@dataclass(frozen=True, eq=False)
class BanditLog:
    """N impressions with A possible actions.

    Attributes:
        action: ``[N]`` integers, the action shown, from 0 to A − 1.
        reward: ``[N]``, the reward; 0 or 1 for clicks.
        propensity: ``[N]``, probability of the action under the logging policy, in (0, 1].
        actions: A.
        group: ``[N]`` integers; impressions of one group are not independent, which widens
            intervals. None: all impressions are independent.

    Raises:
        ValueError: the columns are empty or differ in length, an action is unknown, a reward is not
            finite, or a propensity is not in (0, 1].
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
                    f"BanditLog: {name} must be [N], N ≥ 1, like action, got {list(values.shape)}"
                )
        p = self.propensity
        _refuse(np.isnan(p), "propensity must not be missing")
        _refuse(~(p > 0), "propensity must be > 0")
        _refuse(p > 1, "propensity must be ≤ 1")
        _refuse(~np.isfinite(self.reward), "reward must be finite")
        _refuse(
            (self.action < 0) | (self.action >= self.actions),
            f"action must be in [0, {self.actions})",
        )

    def __len__(self) -> int:
        return len(self.action)


def open_bandit_log(
    dataset: Dataset, *, policy: str = "random", campaign: str = "all"
) -> tuple[BanditLog, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return one log of the Open Bandit data, in time order.

    Args:
        dataset: the data set ``recops_models.data.load("open-bandit")``.
        policy: the logging policy, "random" or "bts".
        campaign: "all", "men" or "women".

    Returns:
        The log; the item ids ``[A]`` of its actions, which are the campaign's items; and the user
        ids ``[N]``, which are the log's groups.

    Raises:
        DataError: the data has no such log.
        ValueError: as in :class:`BanditLog`.
    """
    events, items = dataset.interactions, dataset.items
    for name in ("policy", "campaign", "propensity"):
        if name not in events.column_names:
            raise DataError(f"{dataset.name}: a log of a policy must have a column {name!r}")
    rows = events.filter(
        pc.and_(pc.equal(events["policy"], policy), pc.equal(events["campaign"], campaign))
    )
    if not rows.num_rows:
        raise DataError(f"{dataset.name}: no log of policy {policy!r} in campaign {campaign!r}")
    in_campaign = pc.equal(items["campaign"].cast("string"), campaign)
    ids = np.sort(items["item_id"].filter(in_campaign).to_numpy())
    users = rows["user_id"].to_numpy()
    log = BanditLog(
        np.searchsorted(ids, rows["item_id"].to_numpy()),
        rows["label"].to_numpy().astype(np.float64),
        rows["propensity"].to_numpy().astype(np.float64),
        len(ids),
        users,
    )
    return log, ids, users


def _refuse(wrong: npt.NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        raise ValueError(f"BanditLog: {rule}, violated in row {int(wrong.argmax())}")
