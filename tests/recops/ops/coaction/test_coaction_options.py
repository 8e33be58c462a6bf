"""Options of the co-action functions: one record for all functions and ops."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch

import recops
from recops import reference
from recops.state.coaction import CoactionOptions

pytestmark = pytest.mark.composites

FEED, PARAMS, DIMS = torch.randn(3, 5, 2), torch.randn(3, 6), (2, 3)
CALLS: dict[str, Callable[..., Any]] = {
    "coaction": lambda f, **options: f(FEED, PARAMS, DIMS, **options),
    "coaction_multi": lambda f, **options: f([(FEED, PARAMS, DIMS)], **options)[0],
    "coaction_gather": lambda f, **options: f(
        FEED[:, 0], torch.zeros(3, 5, dtype=torch.int64), PARAMS, torch.arange(3), DIMS, **options
    ),
}


@pytest.mark.composites(False)
@pytest.mark.parametrize("module", [recops, reference])
@pytest.mark.parametrize("name", CALLS)
def test_signatures_have_the_options_with_their_defaults(module: Any, name: str) -> None:
    function = getattr(module, name)
    parameters = list(inspect.signature(function).parameters.values())
    options = parameters[-len(CoactionOptions._fields) :]
    assert {each.name: each.default for each in options} == CoactionOptions._field_defaults
    assert all(each.kind is each.KEYWORD_ONLY for each in options)
    hints, expected = get_type_hints(function), get_type_hints(CoactionOptions)
    assert {each.name: hints[each.name] for each in options} == expected


@pytest.mark.composites(False)
@pytest.mark.parametrize("op", [*CALLS, *(f"{name}_backward" for name in CALLS)])
def test_schemas_end_with_the_options_in_order(op: str) -> None:
    arguments = [
        argument.name for argument in getattr(torch.ops.recops, op).default._schema.arguments
    ]
    assert tuple(arguments[-len(CoactionOptions._fields) :]) == CoactionOptions._fields


@pytest.mark.parametrize("name", CALLS)
def test_defaults_are_those_of_the_reference(name: str) -> None:
    actual, expected = (CALLS[name](getattr(module, name)) for module in (recops, reference))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", CALLS)
def test_unknown_option_raises(name: str) -> None:
    message = rf"^{name}\(\) got an unexpected keyword argument 'order'"
    with pytest.raises(TypeError, match=message):
        CALLS[name](getattr(recops, name), order=2)
