"""Match of clicks with the impressions that they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops_models.data.columns import id_text

DAY = 86_400


@dataclass(frozen=True, eq=False)
class ClickMatch:
    """Clicks of N impressions.

    Attributes:
        is_clicked: ``[N]`` bool.
        clicks: number of clicks.
        repeated: number of clicks on an impression that another click answers already.
        never_shown: number of clicks on an item that the user was never shown.
        outside: number of other clicks without an impression in the window before them.
    """

    is_clicked: NDArray[np.bool_]
    clicks: int
    repeated: int
    never_shown: int
    outside: int

    @property
    def matched(self) -> int:
        """Number of clicks that answer an impression."""
        return self.clicks - self.never_shown - self.outside

    def note(self, window: int) -> str:
        """Return one line for a report."""
        unmatched = self.never_shown + self.outside
        return (
            f"clicks: {self.matched:,} of {self.clicks:,} match an impression within {window:,} s "
            f"({self.repeated:,} of them repeat a click); {unmatched:,} are unmatched: "
            f"{self.never_shown:,} without an impression of this user and item, {self.outside:,} "
            "outside the window"
        )


def match_clicks(impressions: pa.Table, clicks: pa.Table, *, window: int = DAY) -> ClickMatch:
    """Match each click with the user's last impression of the item, at most ``window`` s before.

    O(n log n) for n rows of both tables.

    Args:
        impressions: ``user_id`` and ``item_id`` of any type, ``timestamp`` i64 in seconds.
        clicks: columns as in ``impressions``.
        window: longest time from the impression to the click, in seconds, ≥ 0.

    Raises:
        ValueError: ``window`` is negative.

    Example:
        >>> import pyarrow as pa
        >>> from recops_models.data.clicks import match_clicks
        >>> shown = pa.table({"user_id": [1, 1], "item_id": [5, 6], "timestamp": [0, 100]})
        >>> clicks = pa.table({"user_id": [1, 1], "item_id": [6, 7], "timestamp": [130, 130]})
        >>> match = match_clicks(shown, clicks, window=60)
        >>> match.is_clicked.tolist(), match.matched, match.never_shown
        ([False, True], 1, 1)
    """
    if window < 0:
        raise ValueError(f"match_clicks: window must be ≥ 0, got {window}")
    count = impressions.num_rows
    user, item = (_codes(impressions[name], clicks[name]) for name in ("user_id", "item_id"))
    pair = user * (item.max(initial=0) + 1) + item
    pair = np.unique(pair, return_inverse=True)[1]
    time = np.concatenate([table["timestamp"].to_numpy() for table in (impressions, clicks)])
    moments, rank = np.unique(time, return_inverse=True)
    key = pair * len(moments) + rank
    order = np.argsort(key[:count], kind="stable")
    before = key[:count][order].searchsorted(key[count:], side="right") - 1
    row = order[before.clip(min=0)] if count else np.zeros(len(before), dtype=np.int64)
    is_answer = np.zeros(len(before), dtype=np.bool_)
    if count:
        is_answer = (before >= 0) & (pair[row] == pair[count:])
        is_answer &= time[count:] - time[row] <= window
    is_shown = np.isin(pair[count:], pair[:count])
    is_clicked = np.zeros(count, dtype=np.bool_)
    is_clicked[row[is_answer]] = True
    return ClickMatch(
        is_clicked,
        clicks.num_rows,
        repeated=int(is_answer.sum() - is_clicked.sum()),
        never_shown=int((~is_shown).sum()),
        outside=int((is_shown & ~is_answer).sum()),
    )


def _codes(first: pa.ChunkedArray, second: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the same integer for equal ids of two columns, concatenated."""
    texts = pa.chunked_array([*id_text(first).chunks, *id_text(second).chunks], pa.string())
    codes: NDArray[np.int64] = (
        texts.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    )
    return codes
