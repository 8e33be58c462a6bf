"""Recurrent scans agree with nn.GRU and the AUGRU cells of DeepCTR-Torch, FuxiCTR and RecBole.

The three libraries have the same equations, with u = 1 − z as the weight of the *new* state, and
with different orders of r and u. The tests compare with the equations and, if the packages are
installed (the ``peers`` extra), with the cells of the libraries.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import recops
from recurrent_inputs import Scan

pytestmark = pytest.mark.composites

# Tolerance for float32 sums in another order, over all steps.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROWS, STEPS, INPUTS, HIDDEN = 6, 20, 5, 12


def layer() -> Scan:
    return Scan(rows=ROWS, steps=STEPS, hidden=HIDDEN, inputs=INPUTS, start=False)


def from_u(tensor: Tensor, order: str) -> Tensor:
    """Convert gate rows in ``order``, with u, to the rows r, z, n of this package, z = 1 − u."""
    parts = dict(zip(order, tensor.chunk(3), strict=True))
    return torch.cat([parts["r"], -parts["u"], parts["n"]])  # σ(−s) = 1 − σ(s)


def equations(scan: Scan) -> tuple[Tensor, Tensor]:
    """Compute the paper's AUGRU as the torch ports do, in a loop over steps in float64."""
    t = {name: tensor.double() for name, tensor in scan.tensors.items()}
    gates = t["x"] @ t["w_ih"].T + t["b_ih"]
    h, outputs = gates.new_zeros(ROWS, HIDDEN), []
    for step in range(STEPS):
        x_r, x_u, x_n = gates[:, step].chunk(3, 1)
        h_r, h_u, h_n = (h @ t["w_hh"].T + t["b_hh"]).chunk(3, 1)
        r, u = torch.sigmoid(x_r + h_r), torch.sigmoid(-x_u - h_u)
        u = t["attention"][:, step, None] * u
        new = (1 - u) * h + u * torch.tanh(x_n + r * h_n)
        live = step < scan.keywords["lengths"][:, None]
        h = torch.where(live, new, h)
        outputs.append(torch.where(live, new, 0))
    return torch.stack(outputs, 1), h


def test_scans_equal_the_equations_of_the_torch_ports() -> None:
    scan = layer()
    for actual, correct in zip(scan.run(recops, convention="torch"), equations(scan), strict=True):
        torch.testing.assert_close(actual, correct.float(), **CLOSE)


def test_scans_equal_the_equations_of_the_released_code() -> None:
    """TensorFlow 1's GRUCell has u as the weight of the old state, and reset before the product."""
    scan = layer()
    t = {name: tensor.double() for name, tensor in scan.tensors.items()}
    h, states = t["x"].new_zeros(ROWS, HIDDEN), []
    (w_r, w_u, w_n), (u_r, u_u, u_n) = t["w_ih"].chunk(3), t["w_hh"].chunk(3)
    b_r, b_u, b_n = (t["b_ih"] + t["b_hh"]).chunk(3)
    for step in range(STEPS):
        x = t["x"][:, step]
        r = torch.sigmoid(x @ w_r.T + h @ u_r.T + b_r)
        u = torch.sigmoid(x @ w_u.T + h @ u_u.T + b_u)
        candidate = torch.tanh(x @ w_n.T + (r * h) @ u_n.T + b_n)
        u = (1 - t["attention"][:, step, None]) * u
        h = u * h + (1 - u) * candidate
        states.append(h)
    outputs, _ = scan.run(recops, convention="tf", lengths=None)
    torch.testing.assert_close(outputs, torch.stack(states, 1).float(), **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
def test_nn_gru(bias: bool) -> None:
    gru = nn.GRU(INPUTS, HIDDEN, batch_first=True, bias=bias)
    scan = Scan(
        rows=ROWS, steps=STEPS, hidden=HIDDEN, inputs=INPUTS, form=("gru", "after", "paper")
    )
    lengths = scan.keywords["lengths"].clamp(min=1)  # nn.GRU cannot pack empty rows
    x = scan.tensors["x"].clone().requires_grad_()
    h0 = scan.tensors["h0"].clone().requires_grad_()
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    correct, last = gru(packed, h0[None])
    correct, _ = nn.utils.rnn.pad_packed_sequence(correct, batch_first=True, total_length=STEPS)
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    weights = dict(zip(names, gru.all_weights[0], strict=False))
    outputs, h_last = recops.recurrent_layer(x, **weights, h0=h0, lengths=lengths)
    torch.testing.assert_close(outputs, correct, **CLOSE)
    torch.testing.assert_close(h_last, last[0], **CLOSE)
    inputs = [x, h0, *weights.values()]
    weight = torch.randn_like(correct)
    for actual, expected in zip(
        torch.autograd.grad((weight * outputs).sum() + h_last.sum(), inputs),
        torch.autograd.grad((weight * correct).sum() + last.sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def follow(cell: nn.Module, x: Tensor, attention: Tensor) -> Tensor:
    """Run a peer's cell over all steps from a zero state; return ``[B, T, H]``."""
    h, states = x.new_zeros(len(x), HIDDEN), []
    for step in range(x.shape[1]):
        h = cell(x[:, step], h, attention[:, step])
        states.append(h)
    return torch.stack(states, 1)


def same_as_peer(cell: nn.Module, weights: tuple[Tensor, ...], order: str) -> None:
    scan = layer()
    x, attention = scan.tensors["x"], scan.tensors["attention"]
    with torch.no_grad():
        names = ("w_ih", "w_hh", "b_ih", "b_hh")
        output = {name: from_u(w, order) for name, w in zip(names, weights, strict=True)}
        results, _ = recops.recurrent_layer(
            x, **output, attention=attention, cell="augru", convention="torch"
        )
        torch.testing.assert_close(results, follow(cell, x, attention), **CLOSE)


def test_deepctr_torch() -> None:
    sequence = pytest.importorskip("deepctr_torch.layers.sequence")
    cell = sequence.AUGRUCell(INPUTS, HIDDEN)
    biases = [p for name, p in cell.named_parameters() if name.startswith("bias")]
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    # It registers its second bias under the name of the first, so both are one parameter.
    same_as_peer(cell, (cell.weight_ih, cell.weight_hh, biases[0], biases[-1]), "run")


def test_recbole() -> None:
    layers = pytest.importorskip("recbole.model.sequential_recommender.dien")
    cell = layers.AUGRUCell(INPUTS, HIDDEN)
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    same_as_peer(cell, (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh), "run")


def test_fuxictr() -> None:
    model = pytest.importorskip("model_zoo.LongCTR.DIEN.DIEN")
    cell = model.AUGRUCell(INPUTS, HIDDEN)
    weights = (cell.x2h.weight, cell.h2h.weight, cell.x2h.bias, cell.h2h.bias)
    same_as_peer(cell, weights, "urn")
