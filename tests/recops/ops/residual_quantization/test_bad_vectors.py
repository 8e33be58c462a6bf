"""Residual quantization of degenerate and invalid vectors.

The tests follow the table in docs/guide/tokenizers.md; the tests of each op have more cases.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import recops

pytestmark = pytest.mark.composites

BOOKS = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
ENCODERS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "rq_encode": lambda x: recops.rq_encode(x, BOOKS),
    "by cosine": lambda x: recops.rq_encode(x, BOOKS, metric="cosine"),
    "beam": lambda x: recops.rq_encode(x, BOOKS, beam=3),
    "beams": lambda x: recops.rq_encode_beams(x, BOOKS, beam=3),
    "nearest_codes": lambda x: recops.nearest_codes(x, BOOKS[0], k=2),
    "straight_through": lambda x: recops.straight_through(x, BOOKS)[1::-1],  # type: ignore[dict-item]
}
every_encoder = pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)


@every_encoder
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_rows_that_are_not_finite_have_no_code(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]], value: float
) -> None:
    x = torch.randn(5, 3)
    x[2, 1] = value
    codes, _ = encode(x)
    assert (codes[2] == -1).all()
    assert (codes[[0, 1, 3, 4]] >= 0).all()
    index, _, feasible = recops.balance_assignment(x, BOOKS[0], torch.ones(5), 2.0)
    assert index[2] == -1
    assert feasible
    assert recops.code_flip_rate(x, BOOKS, torch.ones(2), samples=2, seed=0).isfinite().all()


@every_encoder
def test_equal_rows_have_equal_codes(encode: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    codes, _ = encode(torch.full((40, 3), 0.7))
    assert len(codes.unique(dim=0)) == 1


@every_encoder
def test_no_rows_have_no_codes(encode: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    codes, values = encode(torch.empty(0, 3))
    assert len(codes) == len(values) == 0


def test_no_rows_in_other_functions() -> None:
    none = torch.empty(0, 3)
    index, load, feasible = recops.balance_assignment(none, BOOKS[0], torch.empty(0), 1.0)
    assert (len(index), load.tolist(), bool(feasible)) == (0, [0.0] * 4, True)
    assert recops.code_flip_rate(none, BOOKS, torch.ones(2), samples=1, seed=0).isnan().all()
    sums, weights = recops.accumulate_codes(none, torch.empty(0, dtype=torch.int32), 4)
    assert not sums.any()
    assert not weights.any()


def test_one_dimension() -> None:
    x, books = torch.linspace(-1, 1, 9)[:, None], torch.tensor([[[-1.0], [1.0]], [[-0.5], [0.5]]])
    codes, _ = recops.rq_encode(x, books)
    assert codes.tolist()[0] == [0, 0]
    assert codes.tolist()[-1] == [1, 0]  # 0 is equally near to both; the lower index is chosen
    by_sign, _ = recops.nearest_codes(x, books[0], metric="cosine")
    assert by_sign[:, 0].tolist() == [0] * 5 + [1] * 4  # a zero row takes the lowest code


def test_weights_of_zero() -> None:
    x, zeros = torch.randn(6, 3), torch.zeros(6)
    nearest, _ = recops.nearest_codes(x, BOOKS[0])
    index, load, feasible = recops.balance_assignment(x, BOOKS[0], zeros, 1.0)
    assert torch.equal(index, nearest[:, 0])
    assert not load.any()
    assert feasible
    sums, weights = recops.accumulate_codes(x, index, 4, weight=zeros)
    assert not sums.any()
    assert not weights.any()
    assert recops.effective_capacity(BOOKS[0], torch.zeros(4), 1.0) == torch.inf


def test_an_infeasible_capacity_is_reported_and_every_item_has_a_code() -> None:
    index, load, feasible = recops.balance_assignment(
        torch.randn(6, 3), BOOKS[0], torch.ones(6), 1.0
    )
    assert not feasible
    assert (index >= 0).all()
    assert load.sum() == 6
