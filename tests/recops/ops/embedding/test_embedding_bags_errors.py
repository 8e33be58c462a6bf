"""Errors of embedding bags."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import recops
from embedding_inputs import INDICES

pytestmark = pytest.mark.composites

WEIGHT, IDS = torch.randn(5, 3), torch.tensor([[0, 4], [1, 2]])

ERRORS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ids": IDS + 1}, IndexError, r"bags\[1\]: .*ids\[0, 1\] = 5"),
    ({"ids": IDS.mT + 1}, IndexError, r"bags\[1\]: .*ids\[1, 0\] = 5"),
    ({"ids": IDS.int() - 1}, IndexError, r"bags\[1\]: .*ids\[0, 0\] = -1"),
    ({"ids": torch.tensor([1, 5])}, IndexError, r"bags\[1\]: .*ids\[1\] = 5"),
    (
        {"ids": torch.tensor([[2**40], [0]])},
        IndexError,
        r"bags\[1\]: .*ids\[0, 0\] = 1099511627776",
    ),
    (
        {"ids": torch.tensor([[-(2**63)], [0]])},
        IndexError,
        r"bags\[1\]: .*ids\[0, 0\] = -9223372036854775808",
    ),
    ({"ids": IDS - 1, "padding_idx": 0}, IndexError, r"bags\[1\]: .*ids\[0, 0\] = -1"),
    (
        {"weight": WEIGHT[:0]},
        IndexError,
        r"bags\[1\]: .*ids\[0, 0\] = 0",
    ),
    ({"ids": torch.tensor(7)}, ValueError, r"bags\[1\]: ids must have 1 or 2 dimensions, got"),
    ({"ids": IDS[None]}, ValueError, r"bags\[1\]: ids must have 1 or 2 dimensions, got shape"),
    ({"ids": IDS[:1]}, ValueError, r"bags\[1\]: ids must have 2 rows as the first have, got 1"),
    ({"ids": IDS.float()}, TypeError, r"bags\[1\]: ids must be one of int32, int64, got float32"),
    ({"ids": IDS.to("meta")}, ValueError, r"bags\[1\]: ids must be on cpu, got meta"),
    ({"ids": [[0], [0]]}, TypeError, r"bags\[1\]: ids must be a tensor, got list"),
    ({"weight": WEIGHT.int()}, TypeError, r"bags\[1\]: weight must be one of float32"),
    ({"weight": WEIGHT.double()}, TypeError, r"bags\[1\]: weight must be of the first's dtype"),
    ({"weight": WEIGHT[0]}, ValueError, r"bags\[1\]: weight must have 2 dimensions"),
    (
        {"padding_idx": 5},
        ValueError,
        "padding_idx must be from 0 to 4, got 5",
    ),
    ({"padding_idx": -1}, ValueError, "padding_idx must be from 0 to 4, .*got -1"),
]


@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    second = changes.get("weight", WEIGHT), changes.get("ids", IDS)
    with pytest.raises(error, match=f"^embedding_bags: {message}"):
        recops.embedding_bags([(WEIGHT, IDS), second], padding_idx=changes.get("padding_idx"))


def test_there_must_be_a_bag() -> None:
    with pytest.raises(ValueError, match=r"^embedding_bags: bags must hold"):
        recops.embedding_bags([])


@pytest.mark.parametrize("index", INDICES)
def test_bad_ids_deep_in_a_batch_are_found(index: torch.dtype) -> None:
    ids = torch.randint(5, (70, 130)).to(index)
    ids[41, 77], ids[60, 2] = 5, -1
    with pytest.raises(IndexError, match=r"^embedding_bags: bags\[0\]: .*ids\[41, 77\] = 5"):
        recops.embedding_bags([(WEIGHT, ids)])


@pytest.mark.composites(False)
def test_the_gradient_checks_its_arguments() -> None:
    backward = torch.ops.recops.embedding_bags_backward
    name = "^embedding_bags_backward: "
    with pytest.raises(IndexError, match=name + r"bags\[0\]: .*ids\[0, 1\] = 4"):
        backward(torch.randn(2, 3), [IDS], [0], [4], [3], -1)
    with pytest.raises(ValueError, match=f"{name}grad must be "):
        backward(torch.randn(3, 3), [IDS], [0], [5], [3], -1)
    with pytest.raises(ValueError, match=f"{name}tables must "):
        backward(torch.randn(2, 3), [IDS], [1], [5], [3], -1)
    with pytest.raises(ValueError, match=f"{name}num_rows must be at least 0"):
        backward(torch.randn(2, 3), [IDS], [0], [-2], [3], -1)
