"""Decision whether the host may read values of tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def is_on_host(tensor: Tensor) -> bool:
    """Return whether ``tensor`` is on the CPU.

    Example:
        >>> import torch
        >>> from recops._host import is_on_host
        >>> is_on_host(torch.ones(2)), is_on_host(torch.ones(2, device="meta"))
        (True, False)
    """
    return tensor.device.type == "cpu"


def reads_are_free(tensor: Tensor) -> bool:
    """Return whether the host can read values of ``tensor`` without waiting for a device.

    Only then are checks of values, and algorithms that depend on values, worth their cost. False
    in compiled code, where a read breaks the graph.

    Example:
        >>> import torch
        >>> from recops._host import reads_are_free
        >>> reads_are_free(torch.ones(2)), reads_are_free(torch.ones(2, device="meta"))
        (True, False)
    """
    return is_on_host(tensor) and not torch.compiler.is_compiling()
