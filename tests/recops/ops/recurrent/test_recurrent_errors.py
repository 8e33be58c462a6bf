"""Errors of recurrent scans, layers and steps."""

from __future__ import annotations

import pytest
import torch

import recops

pytestmark = pytest.mark.composites

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
