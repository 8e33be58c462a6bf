"""Fused auxiliary loss: agreement with the reference, gradients, errors and torch.compile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference
from tolerances import AGREEMENT, DTYPES, wide

pytestmark = pytest.mark.composites


@dataclass
class Problem:
    """Arguments of ``next_event_loss``; some negatives equal the next event."""

    rows: int = 5
    steps: int = 7
    width: int = 3
    hidden: tuple[int, ...] = (9, 4)
    dtype: torch.dtype = torch.float32
    ragged: bool = True
    index: torch.dtype = torch.int64
    seed: int = 0
    tensors: list[Tensor] = field(init=False)  # states, events, layers
    drawn: Tensor = field(init=False)
    lengths: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed)

        def values(*shape: int) -> Tensor:
            return torch.randn(shape, generator=random, dtype=torch.float64)

        rows, steps = self.rows, self.steps
        sizes = [2 * self.width, *self.hidden, 1]
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [2 * values(outputs, inputs) / max(inputs, 1) ** 0.5, values(outputs)]
        shape = (rows, steps, self.width)
        self.tensors = [values(*shape).to(self.dtype) for _ in range(2)]
        self.tensors += [each.to(wide(self.dtype)) for each in layers]
        shape = (rows, max(steps - 1, 0))
        self.drawn = torch.randint(max(rows * steps, 1), shape, generator=random)
        if self.drawn.numel():
            self.drawn[0, 0] = 1
        self.drawn = self.drawn.to(self.index)
        self.lengths = None
        if self.ragged:
            self.lengths = torch.randint(steps + 1, (rows,), generator=random).to(self.index)

    def leaves(self, dtype: torch.dtype | None = None) -> list[Tensor]:
        return [each.to(dtype or each.dtype).clone().requires_grad_() for each in self.tensors]

    def loss(self, leaves: list[Tensor], function: Callable[..., Tensor] | None = None) -> Tensor:
        states, events, *layers = leaves
        function = function or recops.next_event_loss
        return function(states, events, self.drawn, layers, lengths=self.lengths)

    def results(self) -> list[Tensor]:
        """Return the loss and all gradients."""
        leaves = self.leaves()
        loss = self.loss(leaves)
        return [loss.detach(), *torch.autograd.grad(2 * loss, leaves)]


def agree(actual: Tensor, expected: Tensor, dtype: torch.dtype, cells: int) -> None:
    """Compare with tolerances for float32 sums over cells, whose errors grow with the terms."""
    close = AGREEMENT[dtype]
    slack = close["atol"] * max(cells, 1) ** 0.5
    torch.testing.assert_close(actual, expected.to(dtype), rtol=close["rtol"], atol=slack)


@pytest.mark.numerics
@settings(max_examples=30)
@given(
    rows=st.integers(0, 9),
    steps=st.integers(0, 40),
    width=st.integers(0, 20),
    hidden=st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(DTYPES),
    ragged=st.booleans(),
    index=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_reference(rows, steps, width, hidden, dtype, ragged, index, seed) -> None:
    problem = Problem(rows, steps, width, hidden, dtype, ragged, index, seed)
    leaves = problem.leaves(torch.float64)
    expected = problem.loss(leaves, reference.next_event_loss)
    correct = [expected.detach(), *torch.autograd.grad(2 * expected, leaves, allow_unused=True)]
    computed = problem.results()
    assert computed[0].dtype == wide(dtype)
    for actual, other in zip(computed, correct, strict=True):
        other = torch.zeros_like(actual) if other is None else other
        agree(actual, other, actual.dtype, rows * steps)
    with torch.no_grad():
        assert torch.equal(problem.loss(problem.leaves()), computed[0])


def test_padding_is_never_read() -> None:
    problem = Problem()
    problem.lengths = torch.tensor([4, 0, 7, 1, 2])
    read = (torch.arange(7) < problem.lengths[:, None]).flatten()
    there = read.nonzero()[:, 0]
    problem.drawn = there[problem.drawn % len(there)]
    expected = problem.results()
    counted = torch.arange(1, 7) < problem.lengths[:, None]
    problem.drawn[~counted] = -7
    for each in problem.tensors[:2]:
        each.flatten(0, 1)[~read] = torch.nan
    computed = problem.results()
    for actual, other in zip(computed, expected, strict=True):
        assert torch.equal(actual, other)


def test_any_strides() -> None:
    problem = Problem(ragged=False)
    expected = problem.results()
    problem.tensors = [each.mT.contiguous().mT if each.ndim > 1 else each.repeat_interleave(2)[::2]
                       for each in problem.tensors]  # fmt: skip
    problem.drawn = problem.drawn.mT.contiguous().mT
    for actual, other in zip(problem.results(), expected, strict=True):
        assert torch.equal(actual, other)


def test_any_score_has_a_finite_loss() -> None:
    problem = Problem()
    problem.tensors[-2] *= 1e6
    assert all(each.isfinite().all() for each in problem.results())


@pytest.mark.numerics
@pytest.mark.parametrize("hidden", [(5,), (4, 3)])
def test_gradcheck(hidden: tuple[int, ...]) -> None:
    problem = Problem(3, 4, 2, hidden, torch.float64)
    assert torch.autograd.gradcheck(lambda *leaves: problem.loss(list(leaves)), problem.leaves())


def test_there_is_no_second_derivative() -> None:
    leaves = Problem().leaves()
    (of_states,) = torch.autograd.grad(Problem().loss(leaves), leaves[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        of_states.sum().backward()


@pytest.mark.composites(False)
@pytest.mark.parametrize("dtype", DTYPES[::3])
def test_results_do_not_depend_on_the_number_of_threads(
    dtype, set_threads: Callable[[int], None]
) -> None:
    problem = Problem(100, 60, 6, (40, 7), dtype)
    set_threads(1)
    expected = problem.results()
    for threads in (2, 3, 7):
        set_threads(threads)
        for actual, other in zip(problem.results(), expected, strict=True):
            assert torch.equal(actual, other)


def test_opcheck() -> None:
    problem = Problem(ragged=False)
    states, events, *layers = problem.leaves()
    lengths = torch.full((5,), 7)
    call = (states, events, problem.drawn, lengths, layers, True)
    torch.library.opcheck(torch.ops.recops.next_event_loss.default, call)


@pytest.mark.composites(False)
def test_compiles_into_one_graph_of_dynamic_shape() -> None:
    compiled = torch.compile(
        recops.next_event_loss, fullgraph=True, dynamic=True, backend="aot_eager"
    )
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for rows, steps in [(5, 12), (8, 17)]:  # These sizes differ from all others.
        problem = Problem(rows, steps)
        leaves = problem.leaves()
        computed = problem.loss(leaves, compiled)
        gradients = torch.autograd.grad(2 * computed, leaves)
        for actual, other in zip([computed.detach(), *gradients], problem.results(), strict=True):
            torch.testing.assert_close(actual, other)
    assert graphs["unique_graphs"] == 1


@pytest.mark.composites(False)
def test_exports() -> None:
    layers = Problem().tensors[2:]

    class Loss(torch.nn.Module):
        def forward(self, states: Tensor, events: Tensor, drawn: Tensor) -> Tensor:
            return recops.next_event_loss(states, events, drawn, layers)

    small, large = Problem(4), Problem(9)
    batch = {0: torch.export.Dim("batch", min=2)}
    calls = [(*each.tensors[:2], each.drawn) for each in (small, large)]
    program = torch.export.export(Loss(), calls[0], dynamic_shapes=(batch,) * 3)
    assert torch.equal(program.module()(*calls[1]), Loss()(*calls[1]))


def test_autocast_computes_in_float32() -> None:
    problem = Problem()
    expected = problem.loss(problem.leaves())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(problem.loss(problem.leaves()), expected)


def changed(**changes: object) -> Callable[[], object]:
    problem = Problem(ragged=False)
    states, events, *layers = problem.tensors
    arguments = {"states": states, "events": events, "drawn": problem.drawn, "layers": layers}
    return lambda: recops.next_event_loss(**{**arguments, **changes})


LAYERS, STATES = Problem().tensors[2:], Problem().tensors[0]
ERRORS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no tensor": (changed(states=[1.0]), TypeError, "states must be a tensor, got list"),
    "integers": (changed(states=STATES.int()), TypeError, "states must be one of float32"),
    "two dtypes": (changed(events=STATES.double()), TypeError, "events must be one of float32"),
    "dimensions": (changed(states=STATES[0]), ValueError, "states must have 3 dimensions"),
    "events": (changed(events=STATES[:, :6]), ValueError, r"events must be \(5, 7, 3\)"),
    "drawn": (changed(drawn=torch.zeros(5, 7).int()), ValueError, r"drawn must be \(5, 6\)"),
    "real places": (changed(drawn=torch.zeros(5, 6)), TypeError, "drawn must be one of int32"),
    "no hidden layer": (changed(layers=LAYERS[-2:]), ValueError, "of 1 to 8 hidden layers"),
    "odd": (changed(layers=LAYERS[:-1]), ValueError, "got 5 tensors"),
    "a weight": (
        changed(layers=[LAYERS[0][:, 1:], *LAYERS[1:]]),
        ValueError,
        r"layers\[0\] must be \(9, 6\), got \(9, 5\)",
    ),
    "two scores": (
        changed(layers=[*LAYERS[:4], *(torch.cat([each] * 2) for each in LAYERS[4:])]),
        ValueError,
        r"layers\[4\] must be \(1, 4\)",
    ),
    "lengths": (changed(lengths=torch.ones(4).int()), ValueError, r"lengths must be \(5,\)"),
    "too long": (
        changed(lengths=torch.tensor([7, 7, 8, 0, 0])),
        ValueError,
        r"from 0 to 7, got lengths\[2\] = 8",
    ),
    "far away": (
        changed(drawn=torch.full((5, 6), 35)),
        IndexError,
        r"drawn must be from 0 to 34, got drawn\[0, 0\] = 35",
    ),
    "elsewhere": (
        changed(drawn=torch.zeros(5, 6).int().to("meta")),
        ValueError,
        "drawn must be on",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"next_event_loss: .*{message}"):
        call()
