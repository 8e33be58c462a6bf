"""Composites of gated recurrent scans: the reference's loop over time.

Much slower than a dedicated kernel: each step launches about twenty torch ops. The backward passes
run the loop again and differentiate it by autograd, so they store the values of all steps. They do
not read the saved tensor. It has the kernel's shape, for which compiled graphs are built.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widened
from recops.ops._composite import check_range, sum_by_row, vector_jacobian
from recops.ops._shapes import check_dim, check_numel, check_shape
from recops.ops.recurrent._cells import fake_scan
from recops.reference.recurrent import recurrent_layer as reference_layer
from recops.reference.recurrent import recurrent_scan as reference_scan


def recurrent_scan(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::recurrent_scan``."""
    rows = len(gates) if gates_index is None else len(gates_index)
    _check_shapes("recurrent_scan", gates, None, w_hh, rows, b_hh=b_hh, h0=h0, attention=attention)
    _check("recurrent_scan", gates, lengths, gates_index)
    outputs, h_last = reference_scan(
        gates,
        w_hh,
        b_hh,
        h0,
        attention=attention,
        lengths=lengths,
        gates_index=gates_index,
        cell=cell,
        reset=reset,
        update=update,
    )
    return outputs, _own(h_last, h0), _saved(gates, len(outputs), w_hh, reset, keep)


def recurrent_scan_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of gates, w_hh, b_hh, h0 and attention."""
    _check("recurrent_scan", gates, lengths, gates_index)
    read = widened(gates)
    if gates_index is not None:
        read = read[gates_index]
        lengths = None if lengths is None else lengths[gates_index]

    def scan(
        gates: Tensor, w_hh: Tensor, b_hh: Tensor, h0: Tensor, *attention: Tensor
    ) -> tuple[Tensor, Tensor]:
        return reference_scan(
            gates,
            w_hh,
            b_hh,
            h0,
            attention=attention[0] if attention else None,
            lengths=lengths,
            cell=cell,
            reset=reset,
            update=update,
        )

    leaves = [read, w_hh, *_zeros_for_none(len(read), w_hh, b_hh, h0)]
    if attention is not None:
        leaves.append(attention)
    grad_read, *grads = vector_jacobian(scan, leaves, _output_grads(grad_outputs, grad_h_last))
    if gates_index is not None:
        grad_read = sum_by_row(grad_read.flatten(1), gates_index, len(gates)).view(gates.shape)
    if attention is None:
        grads.append(w_hh.new_empty(0))
    return grad_read, *grads  # type: ignore[return-value]  # five tensors


def recurrent_layer(
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::recurrent_layer``."""
    biases = {"b_ih": b_ih, "b_hh": b_hh}
    _check_shapes("recurrent_layer", x, w_ih, w_hh, len(x), **biases, h0=h0, attention=attention)
    _check("recurrent_layer", x, lengths)
    outputs, h_last = reference_layer(
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        attention=attention,
        lengths=lengths,
        cell=cell,
        reset=reset,
        update=update,
    )
    return outputs, _own(h_last, h0), _saved(x, len(x), w_hh, reset, keep)


def recurrent_layer_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    saved: Tensor,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of x, w_ih, w_hh, b_ih, b_hh, h0 and attention."""
    _check("recurrent_layer", x, lengths)

    def scan(
        x: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        h0: Tensor,
        *attention: Tensor,
    ) -> tuple[Tensor, Tensor]:
        return reference_layer(
            x,
            w_ih,
            w_hh,
            b_ih,
            b_hh,
            h0,
            attention=attention[0] if attention else None,
            lengths=lengths,
            cell=cell,
            reset=reset,
            update=update,
        )

    b_ih = w_hh.new_zeros(len(w_hh)) if b_ih is None else b_ih
    leaves = [widened(x), w_ih, w_hh, b_ih, *_zeros_for_none(len(x), w_hh, b_hh, h0)]
    if attention is not None:
        leaves.append(attention)
    grads = vector_jacobian(scan, leaves, _output_grads(grad_outputs, grad_h_last))
    if attention is None:
        grads.append(w_hh.new_empty(0))
    return tuple(grads)  # type: ignore[return-value]  # seven tensors


def _check_shapes(
    op: str, x: Tensor, w_ih: Tensor | None, w_hh: Tensor, rows: int, **optional: Tensor | None
) -> None:
    """Check the shapes of gates or inputs, of weights and of optional tensors."""
    name = "gates" if w_ih is None else "x"
    check_dim(op, name, x, 3)
    check_dim(op, "w_hh", w_hh, 2)
    hidden = w_hh.shape[1]
    check_shape(op, "w_hh", w_hh, 3 * hidden, hidden)
    if w_ih is None:
        check_shape(op, name, x, *x.shape[:2], 3 * hidden)
    else:
        check_shape(op, "w_ih", w_ih, 3 * hidden, x.shape[2])
    counts = {"h0": rows * hidden, "attention": rows * x.shape[1]}
    for name, tensor in optional.items():
        if tensor is not None:
            check_numel(op, name, tensor, counts.get(name, 3 * hidden))


def _check(op: str, x: Tensor, lengths: Tensor | None, gates_index: Tensor | None = None) -> None:
    if lengths is not None:
        check_numel(op, "lengths", lengths, len(x))
        check_range(op, "lengths", lengths, 0, x.shape[1], error=ValueError)
    if gates_index is not None:
        check_range(op, "gates_index", gates_index, 0, len(x) - 1)


def _own(h_last: Tensor, h0: Tensor | None) -> Tensor:
    """Return the last states, copied if the scan had no step: outputs must not alias inputs."""
    return h_last.clone() if h_last is h0 else h_last


def _saved(x: Tensor, rows: int, w_hh: Tensor, reset: str, keep: str) -> Tensor:
    return torch.zeros_like(fake_scan(x, rows, w_hh, reset, keep)[2])


def _zeros_for_none(
    rows: int, w_hh: Tensor, b_hh: Tensor | None, h0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the bias and the initial states, zero if they are None."""
    size, hidden = w_hh.shape
    return (
        w_hh.new_zeros(size) if b_hh is None else b_hh,
        w_hh.new_zeros((rows, hidden)) if h0 is None else h0,
    )


def _output_grads(*grads: Tensor | None) -> list[Tensor | None]:
    return [None if grad is None else widened(grad) for grad in grads]
