"""Options of the co-action functions: one record for all functions and ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch

import recops
from recops import reference
from recops.ops.coaction._options import read_options
from recops.state.coaction import CoactionArguments, CoactionOptions

FEED, PARAMS, DIMS = torch.randn(3, 5, 2), torch.randn(3, 6), (2, 3)
CALLS: dict[str, Callable[..., Any]] = {
    "coaction": lambda f, **options: f(FEED, PARAMS, DIMS, **options),
    "coaction_multi": lambda f, **options: f([(FEED, PARAMS, DIMS)], **options)[0],
    "coaction_gather": lambda f, **options: f(
        FEED[:, 0], torch.zeros(3, 5, dtype=torch.int64), PARAMS, torch.arange(3), DIMS, **options
    ),
}


def test_arguments_and_options_have_the_same_fields() -> None:
    assert get_type_hints(CoactionArguments) == get_type_hints(CoactionOptions)
    assert CoactionArguments.__required_keys__ == frozenset()


@pytest.mark.parametrize("op", [*CALLS, *(f"{name}_backward" for name in CALLS)])
def test_schemas_end_with_the_options_in_order(op: str) -> None:
    arguments = [
        argument.name for argument in getattr(torch.ops.recops, op).default._schema.arguments
    ]
    assert tuple(arguments[-len(CoactionOptions._fields) :]) == CoactionOptions._fields


def test_omitted_options_have_their_defaults() -> None:
    assert read_options("coaction", {}) == CoactionOptions()
    assert read_options("coaction", {"orders": 3}) == CoactionOptions()._replace(orders=3)


@pytest.mark.parametrize("name", CALLS)
def test_defaults_are_those_of_the_reference(name: str) -> None:
    actual, expected = (CALLS[name](getattr(module, name)) for module in (recops, reference))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", CALLS)
def test_unknown_option_raises(name: str) -> None:
    message = f"^{name}: options must be among orders, lengths, .*, got 'order'$"
    with pytest.raises(TypeError, match=message):
        CALLS[name](getattr(recops, name), order=2)
