"""Recurrent scans and layers: their reference, their promises on bits, torch's own machinery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recops import reference
from recurrent_inputs import DTYPES, FORMS, LAYOUTS, Scan, wide
from tolerances import AGREEMENT

every_form = pytest.mark.parametrize("form", FORMS, ids="-".join)
layer_or_scan = pytest.mark.parametrize("inputs", [None, 5], ids=["scan", "layer"])


def agrees(scan: Scan, **changes: object) -> None:
    """Values and gradients are the reference's, computed in float64 and rounded."""
    found, gradients = scan.gradients(recops, **changes)
    due, due_gradients = scan.gradients(reference, torch.float64)
    for actual, expected, dtype in zip(found, due, (scan.dtype, wide(scan.dtype)), strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual, expected.to(dtype), **AGREEMENT[dtype])
    for name, expected in due_gradients.items():
        actual = gradients[name]
        assert actual.dtype == scan.tensors[name].dtype, name
        if scan.dtype in (torch.bfloat16, torch.float16):
            # The weights that its outputs are summed with are rounded on their way, too.
            step = torch.finfo(scan.dtype).eps
            largest = expected.abs().max().item() if expected.numel() else 0.0
            tolerance = {"rtol": 4 * step, "atol": 4 * step * largest + 1e-6}
        else:
            tolerance = dict(AGREEMENT[actual.dtype])
            largest = expected.abs().max().item() if expected.numel() else 0.0
            tolerance["atol"] *= max(1.0, largest)  # sums over rows and steps
        torch.testing.assert_close(actual, expected.to(actual.dtype), **tolerance)


# ---- Agreement with the reference.


@every_form
@layer_or_scan
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_the_reference(
    form: tuple[str, str, str], inputs: int | None, dtype: torch.dtype
) -> None:
    agrees(Scan(rows=21, hidden=20, inputs=inputs, form=form, dtype=dtype))


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
    for actual, due in zip(scan.run(recops, **strided, **indices), expected, strict=True):
        assert torch.equal(actual, due)


@every_form
@layer_or_scan
def test_gradcheck(form: tuple[str, str, str], inputs: int | None) -> None:
    scan = Scan(rows=4, steps=3, hidden=3, inputs=inputs, form=form, dtype=torch.float64)
    leaves = scan.leaves()

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return scan.run(recops, **dict(zip(leaves, tensors, strict=True)))

    assert torch.autograd.gradcheck(run, tuple(leaves.values()))


def test_a_gradient_of_either_result_alone() -> None:
    scan = Scan(rows=6, dtype=torch.float64)
    for result in (0, 1):
        leaves, twins = scan.leaves(), scan.leaves()
        found = torch.autograd.grad(scan.run(recops, **leaves)[result].sum(), list(leaves.values()))
        due = torch.autograd.grad(scan.run(reference, **twins)[result].sum(), list(twins.values()))
        for actual, expected in zip(found, due, strict=True):
            torch.testing.assert_close(actual, expected, **AGREEMENT[torch.float64])


# ---- What cells are.


def test_attention_of_one_and_of_none() -> None:
    scan = Scan(rows=20, hidden=9)
    ones = torch.ones_like(scan.tensors["attention"])
    gru = scan.run(recops, cell="gru", attention=None)
    for actual, due in zip(scan.run(recops, attention=ones), gru, strict=True):
        assert torch.equal(actual, due)
    zeros = scan.run(recops, attention=0 * ones, update="or")
    for actual, due in zip(zeros, gru, strict=True):
        assert torch.equal(actual, due)
    for keywords in ({"cell": "agru"}, {"update": "paper"}):
        _, still = scan.run(recops, attention=0 * ones, **keywords)
        assert torch.equal(still, scan.tensors["h0"])


@pytest.mark.parametrize(
    ("convention", "reset", "update"), [("torch", "after", "paper"), ("tf", "before", "or")]
)
def test_conventions_are_short_for_both(convention: str, reset: str, update: str) -> None:
    for inputs in (None, 4):
        scan = Scan(inputs=inputs)
        by_name = scan.run(recops, convention=convention)
        for actual, due in zip(by_name, scan.run(recops, reset=reset, update=update), strict=True):
            assert torch.equal(actual, due)


def test_large_gates_saturate() -> None:
    scan = Scan(rows=3, steps=4, hidden=5, form=("gru", "after", "paper"), ragged=False)
    gates = torch.tensor([-1e30, 1e30, 300.0, -300.0]).repeat(3, 4, 4)[:, :, :15]
    found = scan.run(recops, gates=gates)
    for actual, due in zip(found, scan.run(reference, gates=gates), strict=True):
        torch.testing.assert_close(actual, due, **AGREEMENT[torch.float32])


@layer_or_scan
def test_a_row_with_nan_harms_no_other(inputs: int | None) -> None:
    scan = Scan(rows=20, inputs=inputs, ragged=False)
    first = next(iter(scan.tensors))
    poisoned = scan.tensors[first].index_fill(0, torch.tensor([7]), torch.nan)
    expected, _ = scan.run(recops)
    outputs, h_last = scan.run(recops, **{first: poisoned})
    assert outputs[7].isnan().all()
    assert h_last[7].isnan().all()
    others = torch.arange(20) != 7
    assert torch.equal(outputs[others], expected[others])


# ---- The same bits.


@every_form
@layer_or_scan
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_split_anywhere(form: tuple[str, str, str], inputs: int | None, dtype: torch.dtype) -> None:
    scan = Scan(rows=11, steps=7, hidden=19, inputs=inputs, form=form, dtype=dtype, ragged=False)
    outputs, h_last = scan.run(recops)
    for split in range(8):
        pieces, h = [], scan.tensors["h0"]
        for part in (slice(split), slice(split, None)):
            parts = {
                name: scan.tensors[name][:, part]
                for name in ("gates", "x", "attention")
                if name in scan.tensors
            }
            piece, h = scan.run(recops, h0=h, **parts)
            pieces.append(piece)
        assert torch.equal(torch.cat(pieces, 1), outputs)
        assert torch.equal(h, h_last)


@every_form
def test_steps_are_the_scans(form: tuple[str, str, str]) -> None:
    scan = Scan(rows=19, steps=5, hidden=21, form=form, ragged=False)
    outputs, h_last = scan.run(recops)
    keywords = dict(zip(("cell", "reset", "update"), form, strict=True))
    h, attention = scan.tensors["h0"], scan.tensors.get("attention")
    for t in range(5):
        h = recops.recurrent_step(
            h,
            scan.tensors["gates"][:, t],
            scan.tensors["w_hh"],
            scan.tensors["b_hh"],
            attention=None if attention is None else attention[:, t],
            **keywords,
        )
        assert torch.equal(h, outputs[:, t])
        one = scan.run(
            recops,
            **{
                name: tensor[3:4]
                for name, tensor in scan.tensors.items()
                if name in ("gates", "h0", "attention")
            },
        )
        assert torch.equal(one[0][0], outputs[3])
    assert torch.equal(h, h_last)


@layer_or_scan
@pytest.mark.parametrize("checkpoint", [False, True])
def test_padding_changes_no_bit(inputs: int | None, checkpoint: bool) -> None:
    scan = Scan(rows=18, inputs=inputs)
    (outputs, h_last), gradients = scan.gradients(recops, checkpoint=checkpoint)
    first = next(iter(scan.tensors))
    for added in (1, 30):
        padded = Scan(rows=18, inputs=inputs)
        for name in (first, "attention"):
            tensor = scan.tensors[name]
            more = torch.full((18, added, *tensor.shape[2:]), torch.nan)
            padded.tensors[name] = torch.cat([tensor, more], 1)
        padded.keywords = scan.keywords
        leaves = padded.leaves()
        longer, last = padded.run(recops, **leaves, checkpoint=checkpoint)
        assert torch.equal(longer[:, :6], outputs)
        assert longer[:, 6:].eq(0).all()
        assert torch.equal(last, h_last)
        weights = torch.Generator().manual_seed(1)
        loss = (torch.randn(outputs.shape, generator=weights) * longer[:, :6]).sum()
        loss = loss + (torch.randn(last.shape, generator=weights) * last).sum()
        found = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, found, strict=True):
            if name in (first, "attention"):
                assert gradient[:, 6:].eq(0).all()
                gradient = gradient[:, :6]
            assert torch.equal(gradient, gradients[name]), name


@pytest.mark.parametrize("users", [None, 9], ids=["rows", "shared"])
@layer_or_scan
def test_threads_change_no_bit(
    users: int | None, inputs: int | None, set_threads: Callable[[int], None]
) -> None:
    if users is not None and inputs is not None:
        pytest.skip("layers share no gates")
    scan = Scan(rows=90, steps=30, hidden=33, inputs=inputs, users=users)
    set_threads(1)
    expected, gradients = scan.gradients(recops)
    for threads in (2, 3, 7):
        set_threads(threads)
        found, others = scan.gradients(recops)
        for actual, due in zip(found, expected, strict=True):
            assert torch.equal(actual, due)
        for name, due in gradients.items():
            assert torch.equal(others[name], due), name


def test_what_is_kept_changes_no_bit() -> None:
    for inputs in (None, 6):
        for form in FORMS:
            scan = Scan(rows=20, inputs=inputs, form=form)
            plain = scan.run(recops)  # where nothing is kept
            kept, gradients = scan.gradients(recops)
            states, others = scan.gradients(recops, checkpoint=True)
            for one, other, third in zip(plain, kept, states, strict=True):
                assert torch.equal(one, other)
                assert torch.equal(one, third)
            for name, due in gradients.items():
                assert torch.equal(others[name], due), name


@pytest.mark.parametrize(
    ("dtype", "checkpoint", "most"),
    [
        (torch.float32, False, 4),
        (torch.float32, True, 0),  # the outputs are the states
        (torch.bfloat16, False, 1),
        (torch.bfloat16, True, 1),
    ],
)
def test_what_is_kept_for_the_backward_pass(
    dtype: torch.dtype, checkpoint: bool, most: int
) -> None:
    scan = Scan(rows=8, steps=10, hidden=16, dtype=dtype)
    leaves = scan.leaves()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs, _ = scan.run(recops, **leaves, checkpoint=checkpoint)
    for tensor in (outputs, *leaves.values(), *scan.keywords.values()):
        if isinstance(tensor, Tensor):
            kept.pop(tensor.data_ptr(), None)
    assert sum(kept.values()) <= most * 8 * 10 * 16


# ---- torch's own machinery.


@every_form
@layer_or_scan
def test_opcheck(form: tuple[str, str, str], inputs: int | None) -> None:
    scan = Scan(rows=3, steps=2, hidden=4, inputs=inputs, form=form, ragged=False)
    scan.keywords["lengths"] = torch.tensor([2, 2, 2])  # past them, what is kept is unwritten
    op = getattr(torch.ops.recops, scan.name)
    names = [argument.name for argument in op.default._schema.arguments]
    given_ = {**scan.leaves(), **scan.keywords}
    for keep in ("gates", "states"):
        arguments = [keep if name == "keep" else given_.get(name) for name in names]
        torch.library.opcheck(op.default, tuple(arguments))
    kept_arguments = tuple(a.detach() if isinstance(a, Tensor) else a for a in arguments)
    outputs, h_last, kept = op(*kept_arguments)
    backward = (torch.ones_like(outputs), h_last, outputs, kept, *kept_arguments[:-1])
    torch.library.opcheck(
        getattr(torch.ops.recops, f"{scan.name}_backward").default,
        backward,
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated:DeprecationWarning")
@layer_or_scan
def test_compiles_into_one_graph_of_dynamic_shape(inputs: int | None) -> None:
    def loss(scan: dict[str, Tensor], lengths: Tensor) -> Tensor:
        function = recops.recurrent_scan if inputs is None else recops.recurrent_layer
        outputs, h_last = function(**scan, lengths=lengths, cell="augru")
        return outputs.square().sum() + h_last.sum()

    compiled = torch.compile(loss, fullgraph=True, dynamic=True)
    graphs = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    for rows, steps in [(9, 6), (11, 4), (17, 8)]:
        scan = Scan(rows=rows, steps=steps, hidden=7, inputs=inputs)
        found, due = scan.leaves(), scan.leaves()
        lengths = scan.keywords["lengths"]
        actual, expected = compiled(found, lengths), loss(due, lengths)
        torch.testing.assert_close(actual, expected)
        for one, other in zip(
            torch.autograd.grad(actual, list(found.values())),
            torch.autograd.grad(expected, list(due.values())),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    assert graphs["unique_graphs"] == 1


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
    found = program.module()(other.tensors, other.keywords["lengths"])
    for actual, due in zip(found, other.run(recops), strict=True):
        assert torch.equal(actual, due)


@layer_or_scan
def test_autocast_computes_in_float32(inputs: int | None) -> None:
    scan = Scan(inputs=inputs)
    first = next(iter(scan.tensors))
    half = scan.tensors[first].bfloat16()
    expected = scan.run(recops, **{first: half.float()})
    with torch.autocast("cpu", torch.bfloat16):
        found = scan.run(recops, **{first: half})
    for actual, due in zip(found, expected, strict=True):
        assert torch.equal(actual, due)


@layer_or_scan
def test_a_second_derivative_is_refused(inputs: int | None) -> None:
    scan = Scan(inputs=inputs)
    leaves = scan.leaves()
    outputs, _ = scan.run(recops, **leaves)
    (gradient,) = torch.autograd.grad(outputs.sum(), [leaves["w_hh"]], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


ON_THIS_ISA = """
import sys
import torch
import recops
from recurrent_inputs import FORMS, Scan

results = []
for inputs in (None, 9):
    for form in FORMS:
        values, gradients = Scan(rows=21, hidden=19, inputs=inputs, form=form).gradients(recops)
        results += [value.detach() for value in values] + list(gradients.values())
torch.save(results, sys.argv[2])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    results = results_at_each(ON_THIS_ISA, tmp_path)
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


# ---- Errors.

GATES, W_HH = torch.zeros(2, 3, 12), torch.zeros(12, 4)
A = torch.zeros(2, 3)

ERRORS: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"gates": GATES[0]}, ValueError, "recurrent_scan: gates must have 3 dim"),
    ({"gates": GATES.int()}, TypeError, "gates must be one of"),
    ({"gates": GATES[:, :, :11]}, ValueError, "gates must be 12 wide"),
    ({"w_hh": W_HH[:11]}, ValueError, r"w_hh must be \[3 H, H\]"),
    ({"w_hh": torch.zeros(0, 0)}, ValueError, "H ≥ 1"),
    ({"b_hh": torch.zeros(11)}, ValueError, r"b_hh must be \(12,\), got \(11,\)"),
    ({"h0": torch.zeros(3, 4)}, ValueError, r"h0 must be \(2, 4\), got \(3, 4\)"),
    ({"h0": torch.zeros(2, 4).to("meta")}, ValueError, "h0 must be on cpu"),
    ({"lengths": torch.zeros(3).int()}, ValueError, "lengths must have 2 entries, got 3"),
    ({"lengths": torch.zeros(2)}, TypeError, "lengths must be one of int32"),
    ({"lengths": torch.tensor([1, 4])}, ValueError, r"from 0 to 3, got lengths\[1\] = 4"),
    ({"lengths": torch.tensor([-1, 4])}, ValueError, r"from 0 to 3, got lengths\[0\] = -1"),
    ({"gates_index": torch.tensor([0, 2])}, IndexError, r"from 0 to 1, got gates_index\[1\] = 2"),
    ({"attention": A}, ValueError, "attention must be None for cell 'gru'"),
    ({"cell": "augru"}, ValueError, "attention must be given for cell 'augru'"),
    ({"cell": "agru", "attention": A[:, :2]}, ValueError, r"attention must be \(2, 3\)"),
    ({"cell": "lstm"}, ValueError, "cell must be 'gru', 'agru' or 'augru', got 'lstm'"),
    ({"reset": "never"}, ValueError, "reset must be"),
    ({"update": "and"}, ValueError, "update must be"),
    ({"convention": "keras"}, ValueError, "convention must be 'torch' or 'tf', got 'keras'"),
]


@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recops.recurrent_scan(**{"gates": GATES, "w_hh": W_HH, **changes})  # type: ignore[arg-type]


def test_errors_of_layers_and_steps() -> None:
    with pytest.raises(ValueError, match=r"recurrent_layer: w_ih must be \(12, 5\), got \(12, 4\)"):
        recops.recurrent_layer(torch.zeros(2, 3, 5), torch.zeros(12, 4), W_HH)
    with pytest.raises(ValueError, match=r"recurrent_step: h must be \(2, 4\), got \(3, 4\)"):
        recops.recurrent_step(torch.zeros(3, 4), torch.zeros(2, 12), W_HH)
    with pytest.raises(ValueError, match="recurrent_step: attention must be given"):
        recops.recurrent_step(torch.zeros(2, 4), torch.zeros(2, 12), W_HH, cell="augru")
