"""Triton kernels are registered only where they can run, and imported at their first call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from recops.ops import _triton
from recops.ops._composite import COMPOSITES


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Any]]:
    """Return what is registered, instead of registering it."""
    functions: dict[str, Callable[..., Any]] = {}

    def impl(name: str, key: str, function: Callable[..., Any]) -> None:
        functions[f"{name} {key}"] = function

    monkeypatch.setattr(torch.library, "impl", impl)
    return functions


def has_cuda(monkeypatch: pytest.MonkeyPatch, *, triton: bool = True) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(_triton, "find_spec", lambda name: object() if triton else None)


def test_launchers_are_registered_for_cuda(
    monkeypatch: pytest.MonkeyPatch, registered: dict[str, Callable[..., Any]]
) -> None:
    has_cuda(monkeypatch)
    _triton.register_triton()
    assert set(registered) == {f"recops::{op} CUDA" for op in _triton.TRITON_FAMILIES}
    assert set(_triton.TRITON_FAMILIES) <= set(COMPOSITES)


def test_nothing_is_registered_without_cuda(
    monkeypatch: pytest.MonkeyPatch, registered: dict[str, Callable[..., Any]]
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    _triton.register_triton()
    assert registered == {}


def test_nothing_is_registered_without_triton(
    monkeypatch: pytest.MonkeyPatch, registered: dict[str, Callable[..., Any]]
) -> None:
    has_cuda(monkeypatch, triton=False)
    _triton.register_triton()
    assert registered == {}


def test_a_launcher_runs_without_autocast(
    monkeypatch: pytest.MonkeyPatch, registered: dict[str, Callable[..., Any]]
) -> None:
    has_cuda(monkeypatch)
    _triton.register_triton()
    monkeypatch.setattr(
        _triton, "_function", lambda op: lambda x: (op, torch.is_autocast_enabled("cpu"))
    )
    with torch.autocast("cpu"):
        assert registered["recops::rq_encode CUDA"](torch.zeros(1)) == ("rq_encode", False)


def test_importing_recops_imports_no_triton_kernels() -> None:
    code = "import sys, recops; print([m for m in sys.modules if m.endswith('.triton.launch')])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
