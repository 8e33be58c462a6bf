"""Click examples from histories, candidates and clicks that a generator draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.block import Block, Column, Ragged
from recops_models.examples.click import ClickData
from recops_models.examples.features import Categorical, FeatureSchema, FittedSchema, Sequence
from recops_models.examples.loader import MemorySource, Source
from recops_models.examples.lookup import UNKNOWN, Lookup


class DrawnClicks(NamedTuple):
    """N examples, each of a different user.

    Attributes:
        history: ``[N, T]``, item indices from 0.
        item: ``[N]``, candidates.
        label: ``[N]``, whether the candidate was clicked.
    """

    history: Int64Array
    item: Int64Array
    label: NDArray[np.bool_]

    def source(self) -> Source:
        """Return the examples with rows of the item table."""
        size, events = self.history.shape
        first = UNKNOWN + 1
        each: Int64Array = np.arange(size)
        lengths = np.full(size, events)
        flat = Ragged(np.cumsum(lengths), lengths, {"history_item": self.history.ravel() + first})
        columns, label = {"item": Column(self.item + first)}, self.label.astype(np.float32)
        block = Block(columns, (flat,), label, Column(each))
        return MemorySource(size, lambda *_: block)


def drawn_clicks(
    name: str,
    *,
    items: int,
    events: int,
    examples: int,
    draw: Callable[[int, int], DrawnClicks],
) -> ClickData:
    """Draw synthetic clicks; validation and test each have half the examples of training.

    Args:
        name: name of the data.
        items: number of known items.
        events: T, length of every history.
        examples: number of training examples.
        draw: function of a number of examples and a part (0 training, 1 validation, 2 test, called
            in this order).
    """
    sizes = (examples, examples // 2, examples // 2)
    train, validation, test = (draw(size, part).source() for part, size in enumerate(sizes))
    features = (Categorical("item"), Sequence("history_item", events, share_embedding="item"))
    known = {"item": Lookup(Vocabulary(np.arange(items)))}
    fitted = FittedSchema(FeatureSchema(features, group=None), known)
    return ClickData(name, fitted, train, validation, test, "given")
