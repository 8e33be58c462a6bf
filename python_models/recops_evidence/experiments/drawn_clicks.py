"""Click examples from histories, candidates and clicks that a generator draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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

    def source(self, sizes: Mapping[str, int]) -> Source:
        """Return the examples with rows of the tables.

        Args:
            sizes: number of items that share a row, by feature.
        """
        size, events = self.history.shape
        each: Int64Array = np.arange(size)
        lengths = np.full(size, events)
        history = self.history.ravel()
        rows: dict[str, NDArray[np.integer[Any]]] = {
            f"history_{name}": _rows(history, shared) for name, shared in sizes.items()
        }
        flat = Ragged(np.cumsum(lengths), lengths, rows)
        columns = {name: Column(_rows(self.item, shared)) for name, shared in sizes.items()}
        label = self.label.astype(np.float32)
        block = Block(columns, (flat,), label, Column(each))
        return MemorySource(size, lambda *_: block)


def _rows(item: Int64Array, shared: int) -> Int64Array:
    """Return rows of a table whose first row is for unknown values."""
    rows: Int64Array = item // shared + UNKNOWN + 1
    return rows


def drawn_clicks(
    name: str,
    *,
    items: int,
    events: int,
    examples: int,
    draw: Callable[[int, int], DrawnClicks],
    of_category: int | None = None,
) -> ClickData:
    """Draw synthetic clicks; validation and test each have half the examples of training.

    Args:
        name: name of the data.
        items: number of known items.
        events: T, length of every history.
        examples: number of training examples.
        draw: function of a number of examples and a part (0 training, 1 validation, 2 test, called
            in this order).
        of_category: n, so that item i has the category i // n as a second feature; None: no such
            feature.
    """
    shared = {"item": 1}
    if of_category is not None:
        shared["category"] = of_category
    sizes = (examples, examples // 2, examples // 2)
    train, validation, test = (draw(size, part).source(shared) for part, size in enumerate(sizes))
    features: tuple[Categorical | Sequence, ...] = (
        *(Categorical(each) for each in shared),
        *(Sequence(f"history_{each}", events, share_embedding=each) for each in shared),
    )
    known = {each: Lookup(Vocabulary(np.arange(items // of))) for each, of in shared.items()}
    fitted = FittedSchema(FeatureSchema(features, group=None), known)
    return ClickData(name, fitted, train, validation, test, "given")
