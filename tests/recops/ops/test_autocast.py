"""Autocast rules of ops: float32 computation on every type of device."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

from recops.ops._autocast import autocast_devices

KEYS = ["AutocastCPU", "AutocastCUDA", "AutocastMPS", "AutocastXPU", "AutocastPrivateUse1"]
WITHOUT_RULE = {
    "embedding_bags",  # Sums of table rows keep the dtype of the tables.
    "straight_through",  # It adds and scales; results keep the dtype of x.
    "pack_codes",  # Integers; without a derivative, like the next one.
    "unpack_codes",
}


def ops_with(key: str) -> set[str]:
    """Return the names of the ops with a kernel for this dispatch key."""
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    names = torch._C._dispatch_get_all_op_names()
    return {
        name.removeprefix("recops::")
        for name in names
        if name.startswith("recops::") and has_kernel(name, key)
    }


def skip_if_refused(device: str) -> None:
    """Skip where torch accepts no rules for this type of device."""
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    if device not in ("cpu", "cuda") and version < (2, 13):
        pytest.skip(f"torch {torch.__version__} may refuse rules for {device}")


@pytest.mark.parametrize("key", KEYS)
def test_every_differentiable_op_has_a_rule(key: str) -> None:
    skip_if_refused(key.removeprefix("Autocast").lower())
    forward = {op for op in ops_with("Autograd") if "_backward" not in op}
    assert forward - ops_with(key) == WITHOUT_RULE
    assert ops_with(key) == ops_with("AutocastCPU")


def test_devices_include_the_backend_of_another_package() -> None:
    other = torch._C._get_privateuse1_backend_name()
    assert autocast_devices() == ["cpu", "cuda", "mps", "xpu", other]


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu"])
def test_results_are_float32(device: str) -> None:
    skip_if_refused(device)
    was_enabled = torch.is_autocast_enabled(device)
    torch.set_autocast_enabled(device, True)  # torch.autocast needs the device itself
    try:
        with FakeTensorMode():
            x = torch.empty(3, 4, dtype=torch.bfloat16, device=device)
            alpha = torch.empty(4, device=device)
            out, _, _ = torch.ops.recops.dice(x, alpha, None, None, 1e-8)
    finally:
        torch.set_autocast_enabled(device, was_enabled)
    assert (out.dtype, out.device.type) == (torch.float32, device)
