"""Autocast rules of ops, for every type of device."""

from __future__ import annotations

from contextlib import suppress

import torch


def autocast_devices() -> list[str]:
    """Return the device types that get autocast rules.

    The last one is the backend of another package, under its present name. Import such a package
    before this library.
    """
    names = ["cpu", "cuda", "mps", "xpu", torch._C._get_privateuse1_backend_name()]
    return [name for name in names if torch.amp.is_autocast_available(name)]


def autocast_to_float32(op: str) -> None:
    """Make autocast convert the 16-bit inputs of an op to float32, on every type of device.

    Args:
        op: name of the op in ``torch.ops.recops``.
    """
    for device in autocast_devices():
        # The first supported versions of torch accept rules for the CPU and CUDA only.
        with suppress(ValueError):
            torch.library.register_autocast(f"recops::{op}", device, torch.float32)
