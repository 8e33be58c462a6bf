"""Co-action of many pairs in one call equals one call per pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from coaction_inputs import make_call, networks, params_width
from compilation import every_backend
from recops import reference
from tolerances import AGREEMENT, DTYPES

pytestmark = pytest.mark.composites

Pairs = list[tuple[Tensor, Tensor, tuple[int, ...]]]


def make_pairs(
    dims: list[tuple[int, ...]], dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[Pairs, dict[str, Any]]:
    pairs_list = [make_call(7, 6, size, candidates=90, dtype=dtype, **options) for size in dims]
    return [call.arguments for call in pairs_list], pairs_list[0].options


@pytest.mark.numerics
@settings(max_examples=30)
@given(
    options=networks(),
    dims=st.lists(
        st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple), min_size=1, max_size=4
    ),
    dtype=st.sampled_from(DTYPES),
)
def test_one_call_equals_a_call_per_pair(
    options: dict[str, Any], dims: list[tuple[int, ...]], dtype: torch.dtype
) -> None:
    pairs, options = make_pairs(dims, dtype, **options)
    outputs = recops.coaction_multi(pairs, **options)
    weights = [torch.randn_like(output) for output in outputs]
    leaves = [tensor for feed, params, _ in pairs for tensor in (feed, params)]
    results = torch.autograd.grad(outputs, leaves, weights)
    single = [recops.coaction(*pair, **options) for pair in pairs]
    correct = torch.autograd.grad(single, leaves, weights)
    for actual, expected in zip([*outputs, *results], [*single, *correct], strict=True):
        assert torch.equal(actual, expected)
    for actual, expected in zip(outputs, reference.coaction_multi(pairs, **options), strict=True):
        assert actual.shape == expected.shape


@pytest.mark.composites(False)
def test_results_do_not_depend_on_threads(set_threads: Callable[[int], None]) -> None:
    pairs, options = make_pairs([(16, 8, 4)] * 48, orders=3)
    set_threads(1)
    expected = recops.coaction_multi(pairs, **options)
    set_threads(3)
    for actual, one_thread in zip(recops.coaction_multi(pairs, **options), expected, strict=True):
        assert torch.equal(actual, one_thread)


@pytest.mark.parametrize("pool", ["sum", "mean"])
@pytest.mark.parametrize("ragged", [False, True])
def test_pairs_of_several_lengths(pool: str, ragged: bool) -> None:
    """Results have the order of the pairs, and lengths apply only to sequences."""
    steps = [1, 6, 1, 6] if ragged else [4, 1, 6, 4, 1]
    pairs_list = [make_call(7, t, (3, 4, 2 + t), candidates=30, ragged=False) for t in steps]
    pairs, options = (
        [call.arguments for call in pairs_list],
        {"pool": pool, **pairs_list[0].options},
    )
    lengths = torch.randint(0, 7, (7,)) if ragged else None
    outputs = recops.coaction_multi(pairs, lengths=lengths, **options)
    single = [
        recops.coaction(*pair, lengths=None if t == 1 else lengths, **options)
        for pair, t in zip(pairs, steps, strict=True)
    ]
    weights = [torch.randn_like(output) for output in single]
    leaves = [tensor for feed, params, _ in pairs for tensor in (feed, params)]
    results = torch.autograd.grad(outputs, leaves, weights)
    correct = torch.autograd.grad(single, leaves, weights)
    for actual, expected in zip([*outputs, *results], [*single, *correct], strict=True):
        assert torch.equal(actual, expected)
    by_reference = reference.coaction_multi(pairs, lengths=lengths, **options)
    torch.testing.assert_close(outputs, by_reference, **AGREEMENT[torch.float32])


def test_lengths_apply_to_single_steps_if_there_are_no_sequences() -> None:
    lengths = torch.tensor([1, 0, 1])
    for module in (recops, reference):
        (output,) = module.coaction_multi([(FEED[:, :1], PARAMS, DIMS)], lengths=lengths)
        assert output.ne(0).any(1).tolist() == [True, False, True]


def test_opcheck() -> None:
    pairs, options = make_pairs([(3, 4, 2), (5, 1)], orders=2)
    feeds, params, dims = zip(*pairs, strict=True)
    arguments = (
        [size for sizes in dims for size in sizes],
        [3, 2],
        2,
        options["lengths"],
        options["feed_index"],
        False,
        "tanh",
        False,
        True,
        "sum",
        False,
    )
    ops = torch.ops.recops
    torch.library.opcheck(ops.coaction_multi.default, (list(feeds), list(params), *arguments))
    plain = [tensor.detach() for tensor in feeds], [tensor.detach() for tensor in params]
    grad = torch.randn(90, 2 * 7)
    torch.library.opcheck(ops.coaction_multi_backward.default, (grad, *plain, *arguments))


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("steps", [6, 1, 3])
@every_backend
def test_compiles_into_one_graph_and_exports(steps: int, backend: str) -> None:
    class Unit(torch.nn.Module):
        def forward(self, first: Tensor, second: Tensor, params: Tensor) -> Tensor:
            pairs = [(first, params, (4, 3)), (second, params, (4, 3))]
            return torch.cat(recops.coaction_multi(pairs, orders=2), 1)

    arguments = (torch.randn(5, 6, 4), torch.randn(5, steps, 4), torch.randn(5, 12))
    expected = Unit()(*arguments)
    torch._dynamo.reset()
    assert torch.equal(
        torch.compile(Unit(), fullgraph=True, backend=backend, dynamic=True)(*arguments), expected
    )
    assert torch.equal(torch.export.export(Unit(), arguments).module()(*arguments), expected)


FEED, PARAMS, DIMS = torch.randn(3, 5, 4), torch.randn(3, 8), (4, 2)
GOOD = (FEED, PARAMS, DIMS)
ERRORS: list[tuple[list[Any], type[Exception], str]] = [
    ([], ValueError, "pairs must hold at least one pair"),
    ([GOOD, (FEED.double(), PARAMS, DIMS)], TypeError, r"pairs\[1\]: feed must be of the first's"),
    ([GOOD, (FEED[:2], PARAMS, DIMS)], ValueError, r"pairs\[1\]: feed must have 3 rows"),
    ([GOOD, (FEED, PARAMS[:2], DIMS)], ValueError, r"pairs\[1\]: params must have 3 rows"),
    ([GOOD, (FEED, PARAMS, (4, 3))], ValueError, r"pairs\[1\]: params must have 12 columns"),
    ([GOOD, (FEED, PARAMS, (4,))], ValueError, r"pairs\[1\]: dims must be the feed width"),
    ([GOOD, (FEED.int(), PARAMS, DIMS)], TypeError, r"pairs\[1\]: feed must be one of"),
]


@pytest.mark.parametrize(("pairs", "error", "message"), ERRORS)
def test_errors(pairs: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^coaction_multi: {message}"):
        recops.coaction_multi(pairs)


def test_histories_of_two_lengths_are_refused() -> None:
    pairs = [(FEED[:, :1], PARAMS, DIMS), GOOD, (FEED[:, :4], PARAMS, DIMS)]
    message = r"^coaction_multi: pairs\[2\]: feed must have T = 5 or 1 with lengths, got shape"
    with pytest.raises(ValueError, match=message):
        recops.coaction_multi(pairs, lengths=torch.tensor([1, 2, 3]))


@pytest.mark.parametrize("module", [recops, reference])
def test_pairs_may_be_any_iterable(module: Any) -> None:
    assert params_width(DIMS) == 8
    (output,) = module.coaction_multi(iter([GOOD]))
    assert torch.equal(output, module.coaction(*GOOD))
