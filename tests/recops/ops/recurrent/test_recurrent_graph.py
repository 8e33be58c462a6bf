"""Recurrent scans and layers with opcheck, torch.compile, export and autocast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recops
from compilation import inductor_in_ci
from recurrent_inputs import Scan, every_form, layer_or_scan

pytestmark = pytest.mark.composites


@every_form
@layer_or_scan
def test_opcheck(form: tuple[str, str, str], inputs: int | None) -> None:
    scan = Scan(rows=3, steps=2, hidden=4, inputs=inputs, form=form, ragged=False)
    scan.keywords["lengths"] = torch.tensor([2, 2, 2])  # values past the lengths are not written
    op = getattr(torch.ops.recops, scan.name)
    names = [argument.name for argument in op.default._schema.arguments]
    given_ = {**scan.leaves(), **scan.keywords}
    for keep in ("gates", "states"):
        arguments = [keep if name == "keep" else given_.get(name) for name in names]
        torch.library.opcheck(op.default, tuple(arguments))
    kept_arguments = tuple(a.detach() if isinstance(a, Tensor) else a for a in arguments)
    outputs, h_last, saved = op(*kept_arguments)
    backward = (torch.ones_like(outputs), h_last, outputs, saved, *kept_arguments[:-1])
    torch.library.opcheck(
        getattr(torch.ops.recops, f"{scan.name}_backward").default,
        backward,
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.composites(False)
@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@layer_or_scan
@inductor_in_ci
def test_compiles_into_one_graph_of_dynamic_shape(inputs: int | None, backend: str) -> None:
    def loss(scan: dict[str, Tensor], lengths: Tensor) -> Tensor:
        function = recops.recurrent_scan if inputs is None else recops.recurrent_layer
        outputs, h_last = function(**scan, lengths=lengths, cell="augru")
        return outputs.square().sum() + h_last.sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for rows, steps in [(9, 6), (11, 4), (17, 8)]:
        scan = Scan(rows=rows, steps=steps, hidden=7, inputs=inputs)
        results, correct = scan.leaves(), scan.leaves()
        lengths = scan.keywords["lengths"]
        actual, expected = compiled(results, lengths), loss(correct, lengths)
        torch.testing.assert_close(actual, expected)
        for one, other in zip(
            torch.autograd.grad(actual, list(results.values())),
            torch.autograd.grad(expected, list(correct.values())),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    assert graphs["unique_graphs"] == 1


@pytest.mark.composites(False)
@layer_or_scan
def test_exports(inputs: int | None) -> None:
    class Module(torch.nn.Module):
        def forward(self, tensors: dict[str, Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
            function = recops.recurrent_scan if inputs is None else recops.recurrent_layer
            return function(**tensors, lengths=lengths, cell="augru")

    rows, steps = torch.export.Dim("rows", min=2), torch.export.Dim("steps", min=2)
    scan = Scan(inputs=inputs)
    dynamic = {
        name: {0: rows, 1: steps}
        if name in ("gates", "x", "attention")
        else {0: rows}
        if name == "h0"
        else None
        for name in scan.tensors
    }
    program = torch.export.export(
        Module(),
        (scan.tensors, scan.keywords["lengths"]),
        dynamic_shapes={"tensors": dynamic, "lengths": {0: rows}},
    )
    other = Scan(rows=8, steps=3, inputs=inputs)
    results = program.module()(other.tensors, other.keywords["lengths"])
    for actual, correct in zip(results, other.run(recops), strict=True):
        assert torch.equal(actual, correct)


@layer_or_scan
def test_autocast_computes_in_float32(inputs: int | None) -> None:
    scan = Scan(inputs=inputs)
    first = next(iter(scan.tensors))
    half = scan.tensors[first].bfloat16()
    expected = scan.run(recops, **{first: half.float()})
    with torch.autocast("cpu", torch.bfloat16):
        results = scan.run(recops, **{first: half})
    for actual, correct in zip(results, expected, strict=True):
        assert torch.equal(actual, correct)


@layer_or_scan
def test_a_second_derivative_is_refused(inputs: int | None) -> None:
    scan = Scan(inputs=inputs)
    leaves = scan.leaves()
    outputs, _ = scan.run(recops, **leaves)
    (gradient,) = torch.autograd.grad(outputs.sum(), [leaves["w_hh"]], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()
