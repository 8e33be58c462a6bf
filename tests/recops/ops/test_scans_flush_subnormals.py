"""Scans flush subnormal numbers in any mode of the caller's threads, and restore that mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from float_modes import MODES, count_subnormals, modes_set, thread_modes
from instruction_sets import results_at_each
from memory_inputs import (
    MimnScan,
    hpmn_params,
    hpmn_state,
    map_tensors,
    own,
    same_bits,
    shuffled_events,
)
from recops.state.hpmn import HpmnState
from recurrent_inputs import FORMS, Scan, every_form, layer_or_scan

DTYPES = [torch.float32, torch.float64]
PERIODS = [1, 2, 6]
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_utilization = pytest.mark.parametrize("utilization", ["none", "paper", "code"])


def smallest_normal(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).smallest_normal)


def subnormal(tensor: Tensor) -> Tensor:
    """Return the values at the scale of subnormal numbers."""
    return tensor * (smallest_normal(tensor.dtype) / 64)


def small_like(tensor: Tensor) -> Tensor:
    """Return gradients between the smallest normal number and 2²⁴ times that number."""
    exponents = torch.linspace(0, 24, tensor.numel(), dtype=tensor.dtype)
    return (smallest_normal(tensor.dtype) * 2**exponents).view(tensor.shape)


def recurrent_gradients(
    dtype: torch.dtype, rows: int, inputs: int | None, form: tuple[str, str, str], **options: Any
) -> dict[str, Tensor]:
    scan = Scan(rows=rows, steps=30, hidden=19, inputs=inputs, form=form, dtype=dtype)
    leaves = scan.leaves()
    _, h_last = scan.run(recops, **leaves, **options)
    gradients = torch.autograd.grad(h_last, list(leaves.values()), small_like(h_last))
    return dict(zip(leaves, gradients, strict=True))


def mimn_gradients(dtype: torch.dtype, rows: int, utilization: str) -> dict[str, Tensor]:
    scan = MimnScan(rows=rows, steps=30, utilization=utilization, dtype=dtype, ragged=False)
    params = map_tensors(scan.params, lambda t: t.clone().requires_grad_())
    x = scan.x.clone().requires_grad_()
    outputs, _ = recops.mimn_scan(x, params, scan.state, utilization=utilization)
    leaves = {"x": x, "head_w": params.head_w, "controller_w_hh": params.controller_w_hh}
    last = outputs[:, -1]
    gradients = torch.autograd.grad(last, list(leaves.values()), small_like(last))
    return dict(zip(leaves, gradients, strict=True))


def hpmn_gradients(dtype: torch.dtype, rows: int) -> dict[str, Tensor]:
    params = map_tensors(hpmn_params(dtype=dtype), lambda t: t.clone().requires_grad_())
    x = torch.randn(rows, 30, 5, dtype=dtype).requires_grad_()
    memory, _ = recops.hpmn_scan(x, params, periods=PERIODS)
    leaves = {"x": x, "w_hh": params.w_hh, "bias": params.bias}
    gradients = torch.autograd.grad(memory, list(leaves.values()), small_like(memory))
    return dict(zip(leaves, gradients, strict=True))


def next_event_gradients(dtype: torch.dtype, rows: int) -> dict[str, Tensor]:
    """Return gradients of terms whose slope is near the smallest normal number."""
    states, events = torch.randn(2, rows, 40, 5, dtype=dtype)
    layers = [torch.randn(size, dtype=dtype) for size in ((8, 10), (8,), (1, 8), (1,))]
    layers[-1].fill_(-math.log(smallest_normal(dtype)) - 12)
    # Each event is its own negative, whose term is omitted.
    drawn = (torch.arange(rows)[:, None] * 40 + torch.arange(1, 40)).contiguous()
    leaves = [tensor.clone().requires_grad_() for tensor in (states, events, *layers)]
    loss = recops.next_event_loss(*leaves[:2], drawn, leaves[2:])
    gradients = torch.autograd.grad(loss, leaves, torch.full_like(loss, 1 / 64))
    names = ("states", "events", "w_1", "b_1", "w", "b")
    return dict(zip(names, gradients, strict=True))


GRADIENTS: dict[str, Callable[[torch.dtype, int], dict[str, Tensor]]] = {
    "recurrent_scan": lambda dtype, rows: recurrent_gradients(dtype, rows, None, FORMS[4]),
    "recurrent_layer": lambda dtype, rows: recurrent_gradients(dtype, rows, 5, FORMS[1]),
    "checkpoint": lambda dtype, rows: recurrent_gradients(
        dtype, rows, 5, FORMS[7], checkpoint=True
    ),
    "mimn none": lambda dtype, rows: mimn_gradients(dtype, rows, "none"),
    "mimn paper": lambda dtype, rows: mimn_gradients(dtype, rows, "paper"),
    "mimn code": lambda dtype, rows: mimn_gradients(dtype, rows, "code"),
    "hpmn": hpmn_gradients,
    "next_event": next_event_gradients,
}
every_gradient = pytest.mark.parametrize("name", GRADIENTS)


@every_gradient
@every_dtype
def test_small_gradients_are_zero_or_normal(name: str, dtype: torch.dtype) -> None:
    gradients = GRADIENTS[name](dtype, 37)
    for leaf, gradient in gradients.items():
        assert not count_subnormals(gradient), leaf
    # Some values are close to the smallest normal number and some were flushed.
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients.values()])
    assert ((sizes > 0) & (sizes < 64 * smallest_normal(dtype))).any()
    assert (sizes == 0).any()


@pytest.mark.slow
@every_gradient
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_the_mode_changes_no_bit_and_is_kept(
    name: str, modes: list[int], set_threads: Callable[[int], None]
) -> None:
    rows = 1000  # enough work for several threads
    set_threads(1)
    torch.manual_seed(0)
    expected = GRADIENTS[name](torch.float32, rows)
    for threads in range(1, len(modes) + 1):
        torch.manual_seed(0)
        with modes_set(modes[:threads], set_threads):
            gradients = GRADIENTS[name](torch.float32, rows)
        for leaf, gradient in expected.items():
            assert torch.equal(gradients[leaf].view(torch.int32), gradient.view(torch.int32)), leaf


def test_an_error_keeps_the_mode() -> None:
    torch.set_flush_denormal(False)
    before = thread_modes()
    with pytest.raises(ValueError, match="lengths must be from 0 to 6"):
        Scan(rows=1).run(recops, lengths=torch.tensor([7]))
    assert thread_modes() == before


# ---- Streaming equals scanning, from states and inputs that are subnormal.


@every_form
@layer_or_scan
@pytest.mark.parametrize("flush", [False, True])
def test_a_split_recurrent_scan_has_the_same_bits(
    form: tuple[str, str, str], inputs: int | None, flush: bool
) -> None:
    # In float32, tanh of a small number has an error far above subnormal numbers.
    scan = Scan(
        rows=11,
        steps=7,
        hidden=19,
        inputs=inputs,
        form=form,
        dtype=torch.float64,
        biases=False,
        ragged=False,
    )
    first = next(iter(scan.tensors))
    scan.tensors |= {name: subnormal(scan.tensors[name]) for name in (first, "h0")}
    outputs, h_last = scan.run(recops)
    assert not count_subnormals(outputs)
    torch.set_flush_denormal(flush)
    try:
        pieces, h = [], scan.tensors["h0"]
        for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
            names = {first, "attention"} & scan.tensors.keys()
            parts = {name: scan.tensors[name][:, part] for name in names}
            piece, h = scan.run(recops, h0=h, **parts)
            pieces.append(piece)
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(torch.cat(pieces, 1), outputs)
    assert torch.equal(h, h_last)


@every_utilization
@pytest.mark.parametrize("flush", [False, True])
def test_streaming_mimn_is_its_scan(utilization: str, flush: bool) -> None:
    scan = MimnScan(rows=41, steps=9, utilization=utilization)
    scan.state = map_tensors(scan.state, subnormal)
    scan.x = subnormal(scan.x)
    outputs, last = scan.run(recops)
    assert scan.lengths is not None
    pool = own(scan.state)
    torch.set_flush_denormal(flush)
    try:
        for rows, events in shuffled_events(scan.x, scan.lengths, 0):
            recops.mimn_step_(pool, rows, events, scan.params, utilization=utilization)
        rows = torch.arange(41)
        read, *_ = recops.mimn_read(
            scan.state, rows, scan.x[:, 0], scan.params, utilization=utilization
        )
    finally:
        torch.set_flush_denormal(False)
    assert same_bits(pool, last)
    has_events = scan.lengths > 0
    assert torch.equal(read[has_events], outputs[has_events, 0])


@pytest.mark.parametrize("flush", [False, True])
def test_streaming_hpmn_is_its_scan(flush: bool) -> None:
    params = hpmn_params(dtype=torch.float32)
    params = replace(params, bias=torch.zeros_like(params.bias))
    state = hpmn_state(params, 41, dtype=torch.float32)
    state = HpmnState(subnormal(state.memory), state.count)
    x, lengths = subnormal(torch.randn(41, 9, 5)), torch.randint(0, 10, (41,))
    memory, last = recops.hpmn_scan(x, params, state, periods=PERIODS, lengths=lengths)
    assert not memory[lengths > 0, 0].any()
    pool = own(state)
    torch.set_flush_denormal(flush)
    try:
        for rows, events in shuffled_events(x, lengths, 0):
            recops.hpmn_step_(pool, rows, events, params, periods=PERIODS)
    finally:
        torch.set_flush_denormal(False)
    assert same_bits(pool, last)


# ---- Subnormal float16 numbers are normal in float32, and are not flushed.

NARROW = """
import sys
import torch, recops

gates, w_hh = torch.load(sys.argv[1])
w_hh = w_hh.float()
narrow, _ = recops.recurrent_scan(gates, w_hh)
wide, _ = recops.recurrent_scan(gates.float(), w_hh)
torch.save((narrow, wide), sys.argv[2])
"""


def test_subnormal_float16_inputs_are_not_flushed(tmp_path: Path) -> None:
    every_magnitude = torch.arange(0x7C00, dtype=torch.int16).view(torch.float16)
    values = torch.cat([every_magnitude, -every_magnitude])
    gates = torch.zeros(len(values), 1, 3, dtype=torch.float16)
    gates[:, 0, 2] = values
    for narrow, wide in results_at_each(NARROW, tmp_path, (gates, torch.zeros(3, 1))):
        assert torch.equal(narrow, wide.half())
        assert narrow[0x200].item() != 0
