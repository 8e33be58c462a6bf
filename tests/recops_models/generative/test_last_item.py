"""The company of the last item beside a loop over events."""

from __future__ import annotations

import numpy as np
import pytest

from recops_models.data import Dataset, leave_one_out
from recops_models.generative.last_item import LastItem
from synthetic_histories import histories


def test_the_last_item_is_followed_by_what_followed_it(small: Dataset) -> None:
    split = leave_one_out(small)
    train, num_items = split.histories(), small.items.num_rows
    follows, popularity = np.zeros((num_items, num_items)), np.zeros(num_items)
    for start, end in zip(train.offsets[:-1], train.offsets[1:], strict=True):
        items = train.items[start:end]
        for place, item in enumerate(items):
            popularity[item] += 1
            for later in items[place + 1 : place + 4]:
                follows[item, later] += item != later
    asked = split.examples("test")
    ranking = LastItem(train, num_items).recommend(asked.histories, 10)
    for row in range(len(asked.users)):
        start, end = asked.histories.offsets[row : row + 2]
        met = asked.histories.items[start:end]
        order = np.lexsort((np.arange(num_items), -popularity, -follows[met[-1]]))
        wanted = [item for item in order if item not in met][:10]
        assert ranking.items[row].tolist() == wanted
        assert (ranking.scores[row].numpy().astype(int) == follows[met[-1]][wanted]).all()


def test_without_a_last_item_there_is_nothing_to_go_by() -> None:
    ranker = LastItem(histories([np.array([0, 1])]), 3)
    with pytest.raises(ValueError, match="LastItem: lengths must be 1 or more, got 0 for"):
        ranker.recommend(histories([np.array([0]), np.array([], dtype=int)]), 2)
