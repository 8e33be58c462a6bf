"""Modules by the names of columns, including names that torch reserves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recops_models.layers.column_modules import ColumnModules

NAMES = ["item", "type", "type_", "type__", "__init__", "__init___", "a.b", "a%2Eb", "a%b", "训练"]


def modules() -> ColumnModules:
    return ColumnModules({name: nn.Linear(1, 1) for name in NAMES})


def test_every_name_has_a_separate_module() -> None:
    first = modules()
    assert len(first) == len(NAMES)
    assert len({id(first[name]) for name in NAMES}) == len(NAMES)
    assert all(name in first for name in NAMES)
    assert "float" not in first
    with pytest.raises(KeyError):
        first["float"]


def test_a_state_is_restored_under_the_same_names() -> None:
    first, other = modules(), modules()
    other.load_state_dict(first.state_dict())
    for name in NAMES:
        assert torch.equal(first[name].weight, other[name].weight), name
    keys = first.state_dict()
    assert {"item.weight", "type_.weight", "a%2Eb.weight"} <= keys.keys()
