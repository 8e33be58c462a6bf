"""Co-occurrence with the last item, compared with a loop over events."""

from __future__ import annotations

import numpy as np
import pytest

from recops_models.data import Dataset, leave_one_out
from recops_models.generative.last_item import LastItem
from synthetic_histories import histories


def test_items_are_ranked_by_how_often_they_followed_the_last_item(small: Dataset) -> None:
    split = leave_one_out(small)
    train, num_items = split.histories(), small.items.num_rows
    follows, popularity = np.zeros((num_items, num_items)), np.zeros(num_items)
    for start, end in zip(train.offsets[:-1], train.offsets[1:], strict=True):
        items = train.items[start:end]
        for position, item in enumerate(items):
            popularity[item] += 1
            for later in items[position + 1 : position + 4]:
                follows[item, later] += item != later
    examples = split.examples("test")
    ranking = LastItem(train, num_items).recommend(examples.histories, 10)
    for row in range(len(examples.users)):
        start, end = examples.histories.offsets[row : row + 2]
        history = examples.histories.items[start:end]
        order = np.lexsort((np.arange(num_items), -popularity, -follows[history[-1]]))
        expected = [item for item in order if item not in history][:10]
        assert ranking.items[row].tolist() == expected
        assert (ranking.scores[row].numpy().astype(int) == follows[history[-1]][expected]).all()


def test_an_empty_history_is_an_error() -> None:
    ranker = LastItem(histories([np.array([0, 1])]), 3)
    with pytest.raises(ValueError, match="LastItem: lengths must be 1 or more, got 0 for"):
        ranker.recommend(histories([np.array([0]), np.array([], dtype=int)]), 2)
