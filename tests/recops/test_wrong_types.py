"""Errors of public functions name the function and the wrong argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

import recops
from public_calls import BOOKS, CALLS, FEED, PARAMS, ROOT, TRIE, X, step

BY_NAME = {call.name: call for call in CALLS}
LARGE = 2**31 - 1
WRONG: list[Any] = [
    None,
    "a",
    object(),
    0.5,
    2**70,
    -(2**70),
    LARGE,
    3,
    [None, None],
    [2**70] * 2,
    ["a", "b"],
    {"a": 1},
    torch.tensor(1.5),
    torch.zeros(2, 2, dtype=torch.complex64),
    torch.zeros(2, 1, device="meta"),
]
# Only memory limits these numbers.
UNBOUNDED = {
    ("accumulate_codes", "num_codes"),
    ("constrained_beam_search", "batch_size"),
    ("SidTrie.allowed_tokens", "vocab_size"),
}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_valid_arguments_are_accepted(name: str) -> None:
    BY_NAME[name].function(**BY_NAME[name].arguments)


@pytest.mark.parametrize(
    ("name", "argument"), [(call.name, argument) for call in CALLS for argument in call.arguments]
)
def test_wrong_arguments_are_named(name: str, argument: str) -> None:
    call = BY_NAME[name]
    for value in WRONG:
        if value is LARGE and (name, argument) in UNBOUNDED:
            continue
        try:
            call.function(**{**call.arguments, argument: value})
        except (TypeError, ValueError, IndexError) as error:
            message = str(error)
        else:
            # Some of the numbers are valid, and None is valid for optional arguments.
            is_number = isinstance(value, int | float) or argument == "capacity"
            # A single tensor may be on the meta device.
            is_number |= len(call.arguments) == 1 and isinstance(value, torch.Tensor)
            assert is_number or (value is None and argument in call.optional), value
            continue
        assert message.startswith(f"{name}: "), message
        assert argument in message or "must be on meta, got cpu" in message, message


def test_every_public_function_is_tested() -> None:
    public = {
        name
        for name in recops.__all__
        if inspect.isfunction(getattr(recops, name)) and name not in ("build_info", "cpu_isa")
    }
    tested = {call.name for call in CALLS}
    assert public - tested == {
        *("debug", "effective_capacity", "flush_subnormals", "read_index_json"),
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: recops.code_flip_rate(X, BOOKS, torch.rand(2), samples=2**62, seed=0),
            "code_flip_rate: samples must be from 1 to 1048576, got",
        ),
        (
            lambda: recops.coaction(FEED[:0], PARAMS[:0], (3, 2), orders=2**31),
            "coaction: orders must be from 1 to 1024, got",
        ),
        (
            lambda: recops.coaction(FEED[:0], torch.empty(0, 2**31), (3, 2**30, 2**30)),
            "coaction: dims and orders must make rows of at most 2147483647 numbers, got",
        ),
        (
            lambda: recops.rq_encode_beams(X, BOOKS, beam=LARGE),
            "rq_encode_beams: beam must be from 1 to 1048576, got",
        ),
        (
            lambda: recops.trie_beam_step(
                torch.zeros(2, 1, 7), TRIE, ROOT, torch.zeros(2, 1), num_beams=LARGE
            ),
            "trie_beam_step: num_beams must be from 1 to 1048576, got",
        ),
        (
            lambda: recops.constrained_beam_search(step, TRIE, batch_size=2, num_beams=LARGE),
            "constrained_beam_search: num_beams must be from 1 to 1048576, got",
        ),
    ],
)
def test_unbounded_work_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_a_tensor_beyond_memory_is_reported_with_its_shape() -> None:
    x = torch.zeros(1, 2**13)
    with pytest.raises(
        RuntimeError, match=r"^recops: no memory for a tensor of shape \[2147483647, 8192\]"
    ):
        recops.accumulate_codes(x, torch.zeros(1, dtype=torch.int64), 2**31 - 1)


def test_a_bool_is_not_an_integer() -> None:
    message = "^constrained_beam_search: batch_size must be an integer, got bool"
    with pytest.raises(TypeError, match=message):
        recops.constrained_beam_search(step, TRIE, batch_size=True, num_beams=2)
