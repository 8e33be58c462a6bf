"""Triton kernel of balanced assignment, run by Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recops.ops.balance_assignment import composite
from recops.ops.balance_assignment.composite import Problem, nearest_with_room
from recops.ops.balance_assignment.triton import launch, repair_assignment
from recops.ops.balance_assignment.triton.launch import TILES, SearchTiles, search

SMALL = SearchTiles(items=4, codes=8, dim=2, num_warps=1)


def draw(rows: int, size: int, dim: int) -> Problem:
    """Draw rows of small integers, which have equal distances to several codewords."""
    x, codebook = (torch.randint(-2, 3, (n, dim)).float() for n in (rows, size))
    return Problem(x, codebook, torch.rand(rows).double(), torch.rand(size).double() * 2)


def assert_codes(problem: Problem, items: Tensor, tiles: SearchTiles) -> Tensor:
    """Check the codes of a search against those of the composite; return them."""
    load = torch.rand(len(problem.codebook)).double()
    is_open = torch.rand(len(load)) < 0.8
    codes = search(problem, items, load, is_open, tiles)
    assert torch.equal(codes, nearest_with_room(problem, items, load, is_open))
    return codes


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 5, 3), (21, 30, 5)], ids=str)
def test_codes_with_room(shape: tuple[int, int, int]) -> None:
    assert_codes(draw(*shape), torch.randperm(shape[0]), SMALL)


def test_the_tiles_that_ship() -> None:
    """Sizes leave a remainder of every tile, and some items find no room."""
    problem = draw(35, 150, 7)
    problem.weight[:3] = 9
    codes = assert_codes(problem, torch.randperm(35)[:19], TILES)
    assert_codes(problem, torch.arange(35), TILES)
    assert (codes >= 0).any()
    assert (search(problem, torch.arange(3), problem.capacity, torch.ones(150) > 0) == -1).all()


def test_equal_distances_resolve_to_the_lowest_code() -> None:
    problem = Problem(torch.zeros(1, 3), torch.ones(20, 3), torch.ones(1), torch.ones(20))
    load = torch.zeros(20)
    load[:2] = 0.5
    codes = search(problem, torch.zeros(1).long(), load, torch.ones(20) > 0, SMALL)
    assert codes.tolist() == [2]


def test_an_item_without_weight_takes_no_code_past_the_last() -> None:
    """Padding has load and capacity 0, and would be nearer."""
    problem = Problem(torch.zeros(1, 3), torch.ones(5, 3), torch.zeros(1), torch.zeros(5))
    codes = search(problem, torch.zeros(1).long(), torch.zeros(5), torch.ones(5) > 0, SMALL)
    assert codes.tolist() == [0]


def test_distances_that_overflow_still_have_a_code() -> None:
    x, codebook = torch.full((2, 3), 3e38), torch.full((9, 3), -3e38)
    problem = Problem(x, codebook, torch.ones(2), torch.ones(9))
    codes = search(problem, torch.arange(2), torch.zeros(9), torch.ones(9) > 0, SMALL)
    assert codes.tolist() == [0, 0]


@pytest.mark.parametrize("weights", ["equal", "different"])
def test_assignments_equal_those_of_the_cpu(weights: str) -> None:
    """The third step, which assigns all rows again, runs with different weights."""
    x, codebook = torch.randn(60, 4), torch.randn(7, 4)
    weight = torch.ones(60) if weights == "equal" else torch.rand(60) ** 3 + 0.01
    weight = weight.double()
    capacity = (weight.sum() / 7 * 1.02).ceil() if weights == "equal" else weight.sum() / 7 * 1.001
    capacity = capacity.expand(7)
    nearest = torch.cdist(x, codebook).argmin(1).int()
    expected = torch.ops.recops.repair_assignment(x, codebook, weight, capacity, nearest)
    actual = repair_assignment(x, codebook, weight, capacity, nearest)
    assert (expected[0] != nearest).any()
    for value, exact in zip(actual, expected, strict=True):
        assert torch.equal(value, exact)


def test_float64_uses_the_composite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "search", lambda *_: pytest.fail("used the kernel"))
    problem = draw(9, 3, 2)
    arguments = (problem.x.double(), problem.codebook.double(), *problem[2:])
    nearest = torch.zeros(9, dtype=torch.int32)
    actual = repair_assignment(*arguments, nearest)
    expected = composite.repair_assignment(*arguments, nearest)
    assert torch.equal(actual[0], expected[0])


def test_wrong_arguments_are_refused() -> None:
    problem = draw(4, 3, 2)
    with pytest.raises(IndexError, match="balance_assignment: nearest must be from 0 to 2"):
        repair_assignment(*problem, torch.full((4,), 3))
    with pytest.raises(ValueError, match="balance_assignment: weight"):
        repair_assignment(*problem[:2], -problem.weight - 1, problem.capacity, torch.zeros(4).int())
