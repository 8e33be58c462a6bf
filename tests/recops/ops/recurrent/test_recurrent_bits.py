"""Determinism of recurrent scans: splits, padding, threads and checkpoints change no bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recops
from instruction_sets import results_at_each
from recurrent_inputs import FORMS, Scan, every_form, layer_or_scan


@every_form
@layer_or_scan
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_scan_may_be_split_anywhere(
    form: tuple[str, str, str], inputs: int | None, dtype: torch.dtype
) -> None:
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


@pytest.mark.numerics
@every_form
def test_steps_equal_the_scan(form: tuple[str, str, str]) -> None:
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
        gradients_at = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, gradients_at, strict=True):
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
    scan = Scan(rows=180, steps=30, hidden=33, inputs=inputs, users=users)
    set_threads(1)
    expected, gradients = scan.gradients(recops)
    for threads in (2, 3, 7):
        set_threads(threads)
        gradients_at, others = scan.gradients(recops)
        for actual, correct in zip(gradients_at, expected, strict=True):
            assert torch.equal(actual, correct)
        for name, correct in gradients.items():
            assert torch.equal(others[name], correct), name


def test_checkpoints_change_no_bit() -> None:
    for inputs in (None, 6):
        for form in FORMS:
            scan = Scan(rows=20, inputs=inputs, form=form)
            plain = scan.run(recops)  # keeps nothing
            saved, gradients = scan.gradients(recops)
            states, others = scan.gradients(recops, checkpoint=True)
            for one, other, third in zip(plain, saved, states, strict=True):
                assert torch.equal(one, other)
                assert torch.equal(one, third)
            for name, correct in gradients.items():
                assert torch.equal(others[name], correct), name


@pytest.mark.parametrize(
    ("dtype", "checkpoint", "most"),
    [
        (torch.float32, False, 4),
        (torch.float32, True, 0),  # the outputs are the states
        (torch.bfloat16, False, 1),
        (torch.bfloat16, True, 1),
    ],
)
def test_memory_for_the_backward_pass(dtype: torch.dtype, checkpoint: bool, most: int) -> None:
    scan = Scan(rows=8, steps=10, hidden=16, dtype=dtype)
    leaves = scan.leaves()
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs, _ = scan.run(recops, **leaves, checkpoint=checkpoint)
    for tensor in (outputs, *leaves.values(), *scan.keywords.values()):
        if isinstance(tensor, Tensor):
            saved.pop(tensor.data_ptr(), None)
    assert sum(saved.values()) <= most * 8 * 10 * 16


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
