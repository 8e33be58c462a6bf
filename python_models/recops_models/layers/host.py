"""Choice between algorithms for the host's memory and for other devices."""

from __future__ import annotations

from torch import Tensor


def is_on_host(tensor: Tensor) -> bool:
    """Return whether the tensor is in the host's memory.

    Branches on its values then cost nothing. On another device, each branch waits for all earlier
    work.
    """
    return tensor.device.type == "cpu"
