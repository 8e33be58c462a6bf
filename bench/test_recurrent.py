"""Floors for recurrent layers, each a ratio of interleaved minima in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from recops.benchmarks import recurrent as cases

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from onednn_augru import OneDnnAugru, Unavailable, build

PAPER, MIMN, WIDER, WIDEST = cases.SHAPES


@pytest.mark.parametrize(("shape", "floor"), [(PAPER, 3), (MIMN, 3), (WIDER, 2), (WIDEST, 1.5)])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
def test_an_augru_is_faster_than_nn_gru(
    shape: tuple[int, int, int], floor: float, backward: bool, outruns
) -> None:
    outruns(cases.layer_case(*shape, backward=backward), "nn.GRU", floor)


@pytest.mark.parametrize(("shape", "floor"), [(PAPER, 8), (MIMN, 20)])
def test_training_is_faster_than_the_loop_over_steps(
    shape: tuple[int, int, int], floor: float, outruns
) -> None:
    outruns(cases.layer_case(*shape, backward=True), "loop", floor)


@pytest.fixture(scope="module")
def onednn():
    try:
        return build()
    except Unavailable as reason:
        pytest.skip(f"no oneDNN: {reason}")


@pytest.mark.parametrize(
    ("shape", "forward", "training"),
    [(PAPER, 1.35, 1.35), (MIMN, 1.35, 1.35), (WIDER, 1.1, 1.15), (WIDEST, 1.03, 1.1)],
)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
def test_an_augru_is_faster_than_onednns(
    shape: tuple[int, int, int], forward: float, training: float, backward: bool, onednn, outruns
) -> None:
    """The released code's form, oneDNN's. Its gradient of the attention is not the true one."""
    inputs = cases.Inputs.random(*shape)
    peer = OneDnnAugru(
        onednn,
        inputs.x,
        inputs.w_ih,
        inputs.w_hh,
        inputs.bias,
        torch.zeros(shape[0], shape[2]),
        inputs.attention,
        inputs.grad_outputs,
        reset="before",
    )
    forward_case = cases.layer_case(*shape, reset="before", update="or")
    torch.testing.assert_close(peer.infer(), forward_case.run(), rtol=1e-4, atol=1e-4)
    if not backward:
        outruns(forward_case, peer.infer, forward)
    else:
        case = cases.layer_case(*shape, reset="before", update="or", backward=True)
        outruns(case, peer.train, training)
