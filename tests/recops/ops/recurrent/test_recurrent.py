"""Recurrent scans and layers: agreement with the reference, and properties of the cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference
from recurrent_inputs import FORMS, LAYOUTS, Scan, every_form, layer_or_scan
from tolerances import AGREEMENT, DTYPES, wide

pytestmark = pytest.mark.composites


def agrees(scan: Scan, **changes: object) -> None:
    """Compare values and gradients with the reference's in float64."""
    results, gradients = scan.gradients(recops, **changes)
    correct, due_gradients = scan.gradients(reference, torch.float64)
    for actual, expected, dtype in zip(
        results, correct, (scan.dtype, wide(scan.dtype)), strict=True
    ):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual, expected.to(dtype), **AGREEMENT[dtype])
    for name, expected in due_gradients.items():
        actual = gradients[name]
        assert actual.dtype == scan.tensors[name].dtype, name
        if scan.dtype in (torch.bfloat16, torch.float16):
            # The gradients of the outputs are rounded too.
            step = torch.finfo(scan.dtype).eps
            largest = expected.abs().max().item() if expected.numel() else 0.0
            tolerance = {"rtol": 4 * step, "atol": 4 * step * largest + 1e-6}
        else:
            tolerance = dict(AGREEMENT[actual.dtype])
            largest = expected.abs().max().item() if expected.numel() else 0.0
            tolerance["atol"] *= max(1.0, largest)  # sums over rows and steps
        torch.testing.assert_close(actual, expected.to(actual.dtype), **tolerance)


@pytest.mark.numerics
@every_form
@layer_or_scan
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_the_reference(
    form: tuple[str, str, str], inputs: int | None, dtype: torch.dtype
) -> None:
    agrees(Scan(rows=21, hidden=20, inputs=inputs, form=form, dtype=dtype))


@pytest.mark.numerics
@settings(max_examples=40)
@given(
    rows=st.integers(0, 37),
    steps=st.integers(0, 9),
    hidden=st.integers(1, 40),
    inputs=st.one_of(st.none(), st.integers(0, 20)),
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    biases=st.booleans(),
    start=st.booleans(),
    ragged=st.booleans(),
    checkpoint=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shape(checkpoint: bool, **shape: object) -> None:
    agrees(Scan(**shape), checkpoint=checkpoint)  # type: ignore[arg-type]


@settings(max_examples=25)
@given(
    rows=st.integers(0, 50),
    users=st.integers(1, 20),
    steps=st.integers(0, 6),
    hidden=st.integers(1, 20),
    form=st.sampled_from(FORMS),
    ragged=st.booleans(),
    seed=st.integers(0, 99),
)
def test_candidates_share_the_gates_of_users(**shape: object) -> None:
    agrees(Scan(**shape))  # type: ignore[arg-type]


@pytest.mark.numerics
@pytest.mark.parametrize("layout", LAYOUTS)
@layer_or_scan
@pytest.mark.parametrize("integers", [torch.int32, torch.int64])
def test_any_strides_and_integers(layout: str, inputs: int | None, integers: torch.dtype) -> None:
    scan = Scan(rows=9, inputs=inputs, users=None if inputs else 4)
    expected = scan.run(recops)
    strided = {
        name: LAYOUTS[layout](tensor) for name, tensor in scan.tensors.items() if tensor.ndim >= 2
    }
    indices = {
        name: value.to(integers)
        for name, value in scan.keywords.items()
        if isinstance(value, Tensor)
    }
    for actual, correct in zip(scan.run(recops, **strided, **indices), expected, strict=True):
        assert torch.equal(actual, correct)


@pytest.mark.numerics
@every_form
@layer_or_scan
def test_gradcheck(form: tuple[str, str, str], inputs: int | None) -> None:
    scan = Scan(rows=4, steps=3, hidden=3, inputs=inputs, form=form, dtype=torch.float64)
    leaves = scan.leaves()

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return scan.run(recops, **dict(zip(leaves, tensors, strict=True)))

    assert torch.autograd.gradcheck(run, tuple(leaves.values()))


@pytest.mark.numerics
def test_a_gradient_of_either_result() -> None:
    scan = Scan(rows=6, dtype=torch.float64)
    for result in (0, 1):
        leaves, twins = scan.leaves(), scan.leaves()
        results = torch.autograd.grad(
            scan.run(recops, **leaves)[result].sum(), list(leaves.values())
        )
        correct = torch.autograd.grad(
            scan.run(reference, **twins)[result].sum(), list(twins.values())
        )
        for actual, expected in zip(results, correct, strict=True):
            torch.testing.assert_close(actual, expected, **AGREEMENT[torch.float64])


@pytest.mark.composites(False)
def test_attention_of_one_equals_a_gru() -> None:
    scan = Scan(rows=20, hidden=9)
    ones = torch.ones_like(scan.tensors["attention"])
    gru = scan.run(recops, cell="gru", attention=None)
    for actual, correct in zip(scan.run(recops, attention=ones), gru, strict=True):
        assert torch.equal(actual, correct)
    zeros = scan.run(recops, attention=0 * ones, update="or")
    for actual, correct in zip(zeros, gru, strict=True):
        assert torch.equal(actual, correct)


def test_attention_of_zero_keeps_the_state() -> None:
    scan = Scan(rows=20, hidden=9)
    zeros = torch.zeros_like(scan.tensors["attention"])
    for keywords in ({"cell": "agru"}, {"update": "paper"}):
        _, still = scan.run(recops, attention=zeros, **keywords)
        assert torch.equal(still, scan.tensors["h0"])


@pytest.mark.parametrize("module", [recops, reference])
@layer_or_scan
def test_nan_past_the_lengths_has_no_effect(module: Any, inputs: int | None) -> None:
    scan, padded = Scan(rows=9, inputs=inputs), Scan(rows=9, inputs=inputs)
    past = torch.arange(scan.steps) >= scan.keywords["lengths"][:, None]
    names = [next(iter(scan.tensors)), "attention"]
    for name in names:
        padded.tensors[name] = scan.tensors[name].clone()
        padded.tensors[name][past] = torch.nan
    (results, gradients), (correct, expected) = padded.gradients(module), scan.gradients(module)
    torch.testing.assert_close(results, correct, **AGREEMENT[torch.float32])
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], **AGREEMENT[torch.float32])
        if name in names:
            assert gradient[past].eq(0).all()


@pytest.mark.parametrize(
    ("convention", "reset", "update"), [("torch", "after", "paper"), ("tf", "before", "or")]
)
def test_a_convention_sets_reset_and_update(convention: str, reset: str, update: str) -> None:
    for inputs in (None, 4):
        scan = Scan(inputs=inputs)
        by_name = scan.run(recops, convention=convention)
        for actual, correct in zip(
            by_name, scan.run(recops, reset=reset, update=update), strict=True
        ):
            assert torch.equal(actual, correct)


@pytest.mark.parametrize("module", [recops, reference])
@pytest.mark.parametrize(
    ("convention", "reset", "update"), [("torch", "after", "paper"), ("tf", "before", "or")]
)
def test_conventions_of_a_step(module: Any, convention: str, reset: str, update: str) -> None:
    step = torch.randn(4, 3), torch.randn(4, 9), torch.randn(9, 3), torch.randn(9)
    options = {"attention": torch.rand(4), "cell": "augru"}
    results = module.recurrent_step(*step, **options, convention=convention)
    assert torch.equal(results, module.recurrent_step(*step, **options, reset=reset, update=update))


def test_large_gates_saturate() -> None:
    scan = Scan(rows=3, steps=4, hidden=5, form=("gru", "after", "paper"), ragged=False)
    gates = torch.tensor([-1e30, 1e30, 300.0, -300.0]).repeat(3, 4, 4)[:, :, :15]
    results = scan.run(recops, gates=gates)
    for actual, correct in zip(results, scan.run(reference, gates=gates), strict=True):
        torch.testing.assert_close(actual, correct, **AGREEMENT[torch.float32])


@layer_or_scan
def test_nan_affects_only_its_row(inputs: int | None) -> None:
    scan = Scan(rows=20, inputs=inputs, ragged=False)
    first = next(iter(scan.tensors))
    poisoned = scan.tensors[first].index_fill(0, torch.tensor([7]), torch.nan)
    expected, _ = scan.run(recops)
    outputs, h_last = scan.run(recops, **{first: poisoned})
    assert outputs[7].isnan().all()
    assert h_last[7].isnan().all()
    others = torch.arange(20) != 7
    assert torch.equal(outputs[others], expected[others])
