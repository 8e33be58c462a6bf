"""Reference of gated recurrent scans; see :func:`recops.recurrent_scan`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from recops._dtypes import widened
from recops.reference._padding import without_padding


def recurrent_step(
    h: Tensor,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    cell: str = "gru",
    reset: str = "after",
    update: str = "paper",
    convention: str | None = None,
) -> Tensor:
    """Compute :func:`recops.recurrent_step` in PyTorch."""
    reset, update = _resolved(reset, update, convention)
    h, gates, w_hh = widened(h), widened(gates), widened(w_hh)
    b_hh = w_hh.new_zeros(len(w_hh)) if b_hh is None else widened(b_hh)
    (g_r, g_z, g_n), (w_r, w_z, w_n), (b_r, b_z, b_n) = (
        gates.chunk(3, 1),
        w_hh.chunk(3),
        b_hh.chunk(3),
    )
    r = torch.sigmoid(g_r + linear(h, w_r, b_r))
    z = torch.sigmoid(g_z + linear(h, w_z, b_z))
    if reset == "after":
        n = torch.tanh(g_n + r * linear(h, w_n, b_n))
    else:
        n = torch.tanh(g_n + linear(r * h, w_n, b_n))
    if cell == "gru":
        return z * h + (1 - z) * n
    assert attention is not None
    a = widened(attention)[:, None]
    if cell == "agru":
        return (1 - a) * h + a * n
    if update == "paper":
        return (1 - a * (1 - z)) * h + a * (1 - z) * n
    return (1 - a) * z * h + (1 - (1 - a) * z) * n


def recurrent_scan(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
    gates_index: Tensor | None = None,
    cell: str = "gru",
    reset: str = "after",
    update: str = "paper",
    convention: str | None = None,
    checkpoint: bool = False,  # ignored: autograd keeps all intermediate values
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.recurrent_scan` in PyTorch."""
    reset, update = _resolved(reset, update, convention)
    dtype, steps = gates.dtype, gates.shape[1]
    gates = widened(gates)
    if lengths is None:
        lengths = torch.full((len(gates),), steps, device=gates.device)
    if gates_index is not None:
        gates, lengths = gates[gates_index.long()], lengths[gates_index.long()]
    h = gates.new_zeros(len(gates), w_hh.shape[1]) if h0 is None else widened(h0)
    outputs = []
    gates = without_padding(gates, lengths)
    if attention is not None:
        attention = without_padding(attention, lengths)
    attentions = [None] * steps if attention is None else attention.unbind(1)
    # The gradient of unbind is a stack; that of an index would fill all steps at every step.
    for t, (gate, a) in enumerate(zip(gates.unbind(1), attentions, strict=True)):
        new = recurrent_step(
            h, gate, w_hh, b_hh, attention=a, cell=cell, reset=reset, update=update
        )
        live = (t < lengths)[:, None]
        h = torch.where(live, new, h)
        outputs.append(torch.where(live, new, 0))
    stacked = torch.stack(outputs, 1) if outputs else h.new_zeros(len(h), 0, h.shape[1])
    return stacked.to(dtype), h


def recurrent_layer(
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    lengths: Tensor | None = None,
    cell: str = "gru",
    reset: str = "after",
    update: str = "paper",
    convention: str | None = None,
    checkpoint: bool = False,
) -> tuple[Tensor, Tensor]:
    """Compute :func:`recops.recurrent_layer` in PyTorch."""
    wide = widened(x)
    if lengths is not None:
        wide = without_padding(wide, lengths)
    gates = linear(wide, widened(w_ih), None if b_ih is None else widened(b_ih))
    outputs, h_last = recurrent_scan(
        gates,
        w_hh,
        b_hh,
        h0,
        attention=attention,
        lengths=lengths,
        cell=cell,
        reset=reset,
        update=update,
        convention=convention,
        checkpoint=checkpoint,
    )
    return outputs.to(x.dtype), h_last


def _resolved(reset: str, update: str, convention: str | None) -> tuple[str, str]:
    """Return ``(reset, update)``, those of ``convention`` if there is one."""
    if convention is None:
        return reset, update
    return {"torch": ("after", "paper"), "tf": ("before", "or")}[convention]
