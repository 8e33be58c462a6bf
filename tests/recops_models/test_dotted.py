"""Entries below a name."""

from __future__ import annotations

import doctest

from recops_models import dotted
from recops_models.dotted import below


def test_entries_below_a_name_lose_it_once_and_keep_their_order() -> None:
    entries = {"b.z": 1, "a.a.y": 2, "ab": 3, "a.": 4, "a.x": 5}
    assert list(below("a.", entries).items()) == [("a.y", 2), ("", 4), ("x", 5)]
    assert below("", entries) == entries
    assert below("c.", entries) == {}


def test_the_example_runs() -> None:
    assert doctest.testmod(dotted).failed == 0
