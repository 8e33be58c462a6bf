"""Modules by the names of columns, those that torch keeps for itself among them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recops_models.layers.column_modules import ColumnModules

NAMES = ["item", "type", "type_", "type__", "__init__", "__init___", "a.b", "a%2Eb", "a%b", "训练"]


def modules() -> ColumnModules:
    return ColumnModules({name: nn.Linear(1, 1) for name in NAMES})


def test_every_name_has_a_module_of_its_own() -> None:
    made = modules()
    assert len(made) == len(NAMES)
    assert len({id(made[name]) for name in NAMES}) == len(NAMES)
    assert all(name in made for name in NAMES)
    assert "float" not in made
    with pytest.raises(KeyError):
        made["float"]


def test_a_state_is_read_again_under_the_same_names() -> None:
    made, other = modules(), modules()
    other.load_state_dict(made.state_dict())
    for name in NAMES:
        assert torch.equal(made[name].weight, other[name].weight), name
    keys = made.state_dict()
    assert {"item.weight", "type_.weight", "a%2Eb.weight"} <= keys.keys()
