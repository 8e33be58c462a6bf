"""Every setting of every click model changes its loss or its logits."""

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
"""Values of settings that cannot be derived from their types."""

WITHOUT_EFFECT: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "attention_hidden": ("attention_form", ("bilinear",)),
    "attention_activation": ("attention_form", ("bilinear",)),
    "auxiliary_hidden": ("auxiliary", ("none", "inner")),
    "auxiliary_weight": ("auxiliary", ("none",)),
    "update": ("evolution", ("agru", "aigru", "none")),
    "experts": ("heads", ("one", "shared-bottom")),
    "label_weight": ("heads", ("one",)),
    "labels": ("heads", ("one",)),
}
"""Settings that have no effect for these values of another setting, as documented."""

CONTEXTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "dien": ({}, {"attention_form": "bilinear"}, {"evolution": "none"}, {"auxiliary": "inner"}),
    "can": ({"base": "dien"},),
}

TESTED_ELSEWHERE = {
    *(("can", setting) for setting in ("base", "interaction", "min_count")),
    ("can", "combination_independent"),
    *((name, "table_std") for name in CLICK),
}
"""Settings of other tests, which fit a table of pairs or use pairs that share a feature.

The large initial rows of the tests below hide ``table_std``.
"""


def changes(field: dataclasses.Field[Any], hint: Any, value: Any) -> Iterator[Any]:
    """Yield other values of a setting."""
    if field.name in OTHERS:
        yield from OTHERS[field.name]
        return
    options = [hint, *typing.get_args(hint)] if NoneType in typing.get_args(hint) else [hint]
    for option in options:
        if typing.get_origin(option) is Literal:
            yield from (
                option_value for option_value in typing.get_args(option) if option_value != value
            )
        elif option is bool:
            yield not value
        elif option is int:
            yield 8 if value is None else value + 1
        elif option is float:
            yield value / 2 if value > 1e-3 else 0.5
        elif typing.get_origin(option) is tuple:
            (item_type, *_) = typing.get_args(option)
            if typing.get_origin(item_type) is Literal:
                yield from ((option_value,) for option_value in typing.get_args(item_type))
            else:
                yield tuple(option_value + 1 for option_value in value)


def cases() -> Iterator[tuple[str, Mapping[str, Any], str, Any]]:
    for name in CLICK:
        sizes = recipe_of(name).sizes
        hints = typing.get_type_hints(type(sizes))
        for context in CONTEXTS.get(name, ({},)):
            for field in dataclasses.fields(sizes):
                value = {**vars(sizes), **SMALL, **context}[field.name]
                if field.name in context or (name, field.name) in TESTED_ELSEWHERE:
                    continue
                other, silent = WITHOUT_EFFECT.get(field.name, ("", ()))
                if {**vars(sizes), **context}.get(other) in silent:
                    continue
                for changed in changes(field, hints[field.name], value):
                    yield name, context, field.name, changed


def outcome(name: str, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the loss of a step and the logits after it, for a fixed seed."""
    torch.manual_seed(0)
    examples = batch([5, 0, 3, 1, 7, 2])
    model = net(name, replace(schema(), moments={"age": (3.0, 2.0)}), **{**SMALL, **settings})
    for table in model.embedding.tables.values():
        torch.nn.init.normal_(table.weight[1:])
    loss = training_loss(model, examples)
    loss.backward()
    model.eval()
    return (loss.item(), *model(examples).tolist(), *sorted(map(float, shapes(model))))


def shapes(model: torch.nn.Module) -> list[int]:
    return [parameter.numel() for parameter in model.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "context", "setting", "value"), [*cases()])
def test_a_setting_changes_the_result(
    name: str, context: Mapping[str, Any], setting: str, value: Any
) -> None:
    try:
        result = outcome(name, {**context, setting: value})
    except ValueError as error:
        result = str(error)
    assert result != outcome(name, context)
    assert not isinstance(result, str) or setting in result


@pytest.mark.parametrize("name", CLICK)
def test_initial_rows_have_the_configured_deviation(name: str) -> None:
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    for std in (0.01, 0.3):
        torch.manual_seed(0)
        tables = net(name, fitted, **{**SMALL, "table_std": std}).embedding.tables
        rows = torch.cat([table.weight[2:].flatten() for table in tables.values()])
        assert rows.std().item() == pytest.approx(std, rel=0.15)
