"""Every setting of every click model changes what the model gives, wherever it is said to."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import NoneType
from typing import Any, Literal

import pytest
import torch

from click_inputs import batch, schema
from click_recipes import CLICK, net
from recops_models.click.loss import training_loss
from recops_models.recipes.registry import recipe_of

SMALL = {"width": 16, "hidden": (8,), "dropout": 0.3}

OTHERS: Mapping[str, tuple[Any, ...]] = {
    "network": ((16, 4),),
    "pairs": (("item:history_item",),),
}
"""Values that the type does not tell."""

ELSEWHERE: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "attention_hidden": ("attention_form", ("bilinear",)),
    "attention_activation": ("attention_form", ("bilinear",)),
    "auxiliary_hidden": ("auxiliary", ("none", "inner")),
    "auxiliary_weight": ("auxiliary", ("none",)),
    "update": ("evolution", ("agru", "aigru", "none")),
}
"""Settings without a say where another one has such a value, as their docstrings tell."""

CONTEXTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "dien": ({}, {"attention_form": "bilinear"}, {"evolution": "none"}, {"auxiliary": "inner"}),
    "can": ({"base": "dien"},),
}

NOT_HERE = {
    *(("can", setting) for setting in ("base", "interaction", "min_count")),
    ("can", "combination_independent"),
    *((name, "table_std") for name in CLICK),
}
"""What other tests test: a table of pairs is fitted first, pairs share a feature; tables that begin
larger, for sharper tests, hide how they began.
"""


def changes(field: dataclasses.Field[Any], hint: Any, value: Any) -> Iterator[Any]:
    """Other values of a setting."""
    if field.name in OTHERS:
        yield from OTHERS[field.name]
        return
    options = [hint, *typing.get_args(hint)] if NoneType in typing.get_args(hint) else [hint]
    for option in options:
        if typing.get_origin(option) is Literal:
            yield from (each for each in typing.get_args(option) if each != value)
        elif option is bool:
            yield not value
        elif option is int:
            yield 8 if value is None else value + 1
        elif option is float:
            yield value / 2 if value > 1e-3 else 0.5
        elif typing.get_origin(option) is tuple:
            (of_each, *_) = typing.get_args(option)
            if typing.get_origin(of_each) is Literal:
                yield from ((each,) for each in typing.get_args(of_each))
            else:
                yield tuple(each + 1 for each in value)


def cases() -> Iterator[tuple[str, Mapping[str, Any], str, Any]]:
    for name in CLICK:
        sizes = recipe_of(name).sizes
        hints = typing.get_type_hints(type(sizes))
        for context in CONTEXTS.get(name, ({},)):
            for field in dataclasses.fields(sizes):
                value = {**vars(sizes), **SMALL, **context}[field.name]
                if field.name in context or (name, field.name) in NOT_HERE:
                    continue
                other, silent = ELSEWHERE.get(field.name, ("", ()))
                if {**vars(sizes), **context}.get(other) in silent:
                    continue
                for changed in changes(field, hints[field.name], value):
                    yield name, context, field.name, changed


def outcome(name: str, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """The loss of a step and the logits after it, from one seed."""
    torch.manual_seed(0)
    some = batch([5, 0, 3, 1, 7, 2])
    model = net(name, replace(schema(), moments={"age": (3.0, 2.0)}), **{**SMALL, **settings})
    for table in model.embedding.tables.values():
        torch.nn.init.normal_(table.weight[1:])
    loss = training_loss(model, some)
    loss.backward()
    model.eval()
    return (loss.item(), *model(some).tolist(), *sorted(map(float, shapes(model))))


def shapes(model: torch.nn.Module) -> list[int]:
    return [parameter.numel() for parameter in model.parameters()]


@pytest.mark.parametrize(("name", "context", "setting", "value"), [*cases()])
def test_a_setting_changes_the_model(
    name: str, context: Mapping[str, Any], setting: str, value: Any
) -> None:
    try:
        found = outcome(name, {**context, setting: value})
    except ValueError as error:
        found = str(error)
    assert found != outcome(name, context)
    assert not isinstance(found, str) or setting in found


@pytest.mark.parametrize("name", CLICK)
def test_tables_begin_as_far_apart_as_said(name: str) -> None:
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    for std in (0.01, 0.3):
        torch.manual_seed(0)
        tables = net(name, fitted, **{**SMALL, "table_std": std}).embedding.tables
        rows = torch.cat([table.weight[2:].flatten() for table in tables.values()])
        assert rows.std().item() == pytest.approx(std, rel=0.15)
