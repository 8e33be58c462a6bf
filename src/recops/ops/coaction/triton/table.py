"""Launch configurations of the kernels per class of shapes.

They follow from a roofline and were not tuned on a GPU.
"""

from __future__ import annotations

from typing import NamedTuple


class EventTiles(NamedTuple):
    """Launch for networks with at most ``values`` values per event, in tiles of events.

    The values are those of the feed and of the layers that run at every event. ``sets`` is the
    largest number of sets of parameters, whose gradients the backward pass holds in registers.
    """

    values: int
    sets: int
    block_time: int
    num_warps: int


MOST_VALUES = 64
"""The backward pass of wider networks spills registers on compute capability 8.0."""

MOST_SETS = 3

FORWARD = (
    EventTiles(values=32, sets=MOST_SETS, block_time=16, num_warps=1),
    EventTiles(values=MOST_VALUES, sets=MOST_SETS, block_time=16, num_warps=4),
)

BACKWARD = (
    EventTiles(values=32, sets=1, block_time=16, num_warps=1),
    EventTiles(values=MOST_VALUES, sets=MOST_SETS, block_time=16, num_warps=4),
)


def select(table: tuple[EventTiles, ...], values: int, sets: int) -> EventTiles:
    """Return the first launch of a table whose class contains a network."""
    return next(row for row in table if values <= row.values and sets <= row.sets)
