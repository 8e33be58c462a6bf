"""Errors of co-action."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import recops
from coaction_inputs import CAN, params_width

pytestmark = pytest.mark.composites

FEED, PARAMS = torch.randn(3, 5, 16), torch.randn(3, 160)

INDEX = torch.tensor([0, 1, 2])


def fails(*changed: object, **options: object) -> Callable[[], object]:
    arguments = (*changed, *(FEED, PARAMS, CAN)[len(changed) :])
    return lambda: recops.coaction(*arguments, **options)  # type: ignore[arg-type]


ERRORS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (fails(FEED.tolist()), TypeError, "feed must be a tensor, got list"),
    (fails(FEED.int()), TypeError, "feed must be one of float32"),
    (fails(FEED[0]), ValueError, "feed must have 3 dimensions"),
    (fails(FEED[:, :, :15]), ValueError, r"feed must have 16 columns, dims\[0\], got 15"),
    (fails(FEED, PARAMS.double()), TypeError, "params must be one of float32, got float6"),
    (fails(FEED, PARAMS[:, 1:]), ValueError, r"params must have 160 columns .*got 159"),
    (fails(FEED, PARAMS, CAN, bias=True), ValueError, "params must have 172 columns"),
    (
        fails(FEED, PARAMS, CAN, orders=3, order_independent=True),
        ValueError,
        "params must have 480 columns",
    ),
    (fails(FEED, PARAMS[:2]), ValueError, "without feed_index, params must have .*3 users, got 2"),
    (fails(FEED, PARAMS.to("meta")), ValueError, "params must be on cpu, got meta"),
    (fails(FEED, PARAMS, (16,)), ValueError, r"dims must be the feed width .* got \(16,\)"),
    (fails(FEED, PARAMS, (16, 0, 4)), ValueError, r"dims\[1\] must be from 1 to 2147483647, got 0"),
    (fails(orders=0), ValueError, "orders must be from 1 to 1024, got 0"),
    (fails(activation="gelu"), ValueError, "activation must be .tanh., .*got .gelu."),
    (fails(pool="max"), ValueError, "pool must be .sum. or .mean., got .max."),
    (fails(lengths=torch.ones(3)), TypeError, "lengths must be one of int32, int64"),
    (fails(lengths=INDEX[:2]), ValueError, "lengths must have 3 entries, one per user, got 2"),
    (
        fails(lengths=torch.tensor([1, 6, 7])),
        ValueError,
        r"lengths must be from 0 to 5, got lengths\[1\] = 6",
    ),
    (
        fails(lengths=torch.tensor([1, 5, -1])),
        ValueError,
        r"lengths must be .*lengths\[2\] = -1",
    ),
    (fails(feed_index=INDEX[:2]), ValueError, "feed_index must have 3 entries"),
    (fails(feed_index=INDEX + 1), IndexError, r"feed_index must be .*feed_index\[2\] = 3"),
    (fails(feed_index=-INDEX), IndexError, r"feed_index must be .*feed_index\[1\] = -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^coaction: {message}"):
        call()


@pytest.mark.composites(False)
def test_params_width_is_that_of_the_errors() -> None:
    assert params_width(CAN) == 160
    assert params_width((4,) * 9, bias=True) == 160
