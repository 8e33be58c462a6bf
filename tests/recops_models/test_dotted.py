"""Selection of entries by the prefix of a dotted name."""

from __future__ import annotations

import doctest

from recops_models import dotted
from recops_models.dotted import below


def test_the_prefix_is_removed_once_and_the_order_kept() -> None:
    entries = {"b.z": 1, "a.a.y": 2, "ab": 3, "a.": 4, "a.x": 5}
    assert list(below("a.", entries).items()) == [("a.y", 2), ("", 4), ("x", 5)]
    assert below("", entries) == entries
    assert below("c.", entries) == {}


def test_the_example_runs() -> None:
    assert doctest.testmod(dotted).failed == 0
