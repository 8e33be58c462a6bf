"""One step of a recurrent scan."""

from __future__ import annotations

from torch import Tensor

from recops._checks import FLOATS, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops.recurrent._cells import (
    Cell,
    Convention,
    Reset,
    Update,
    check_shapes,
    hidden_size,
    resolve,
    to_dtype,
    values_to_keep,
)

__all__ = ["recurrent_step"]


def recurrent_step(
    h: Tensor,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None = None,
    *,
    attention: Tensor | None = None,
    cell: Cell = "gru",
    reset: Reset = "after",
    update: Update = "paper",
    convention: Convention | None = None,
) -> Tensor:
    """Update states with one step of :func:`recurrent_scan`, bit-identical to the scan.

    Differentiable like the scan.

    Args:
        h: ``[N, H]``, the states; use float32 with 16-bit gates to keep full precision.
        gates: ``[N, 3H]`` float32, bfloat16, float16 or float64.
        w_hh: ``[3H, H]``.
        b_hh: ``[3H]``, or None for zeros.
        attention: ``[N]``, only for "agru" and "augru".
        cell: as in :func:`recurrent_scan`, like ``reset``, ``update`` and ``convention``.
        reset: position of the reset gate.
        update: how attention enters an AUGRU.
        convention: name of a pair of ``reset`` and ``update``.

    Returns:
        The new states ``[N, H]``, float32 (float64 for float64 gates).

    Raises:
        TypeError, ValueError, NotImplementedError: as in :func:`recurrent_scan`.

    Time is O(N · H²).

    Source: that of :func:`recurrent_scan`.

    Examples:
        >>> h, gates, w_hh = torch.ones(2, 1), torch.zeros(2, 3), torch.zeros(3, 1)
        >>> attention = torch.tensor([0.0, 1.0])
        >>> recops.recurrent_step(h, gates, w_hh, attention=attention, cell="augru").flatten()
        tensor([1.0000, 0.5000])
    """
    op = "recurrent_step"
    check_tensor(op, "gates", gates, ndim=2, dtypes=FLOATS)
    reset_, update_ = resolve(op, cell, reset, update, convention, attention)
    hidden, rows = hidden_size(op, w_hh), gates.shape[0]
    required = {
        "gates": (gates, (rows, 3 * hidden)),
        "h": (h, (rows, hidden)),
        "w_hh": (w_hh, (3 * hidden, hidden)),
    }
    optional = {
        "b_hh": (b_hh, (3 * hidden,)),
        "attention": (attention, (rows,)),
    }
    check_shapes(op, gates.device, required, optional)
    dtype = compute_dtype(gates.dtype)
    _, h_last, _ = ops.recurrent_scan(
        gates.unsqueeze(1),
        w_hh.to(dtype),
        to_dtype(b_hh, dtype),
        h.to(dtype),
        None if attention is None else attention.to(dtype).unsqueeze(1),
        None,
        None,
        cell,
        reset_,
        update_,
        values_to_keep(False, h, gates, w_hh, b_hh, attention),
    )
    return h_last
