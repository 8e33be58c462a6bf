"""Runs of test files in Triton's interpreter, and what such tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.overrides import TorchFunctionMode
from triton.runtime.interpreter import GridExecutor


def run_interpreted(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process whose Triton interprets, because it decides at its import.

    The interpreter computes with numpy, which warns of overflow and infinite values.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += ["-p", "interpreted_products", "-W", "ignore::RuntimeWarning"]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "TRITON_INTERPRET": "1", **(environment or {})},
        capture_output=True,
        text=True,
    )


def assert_interpreted(folder: Path, *arguments: str) -> None:
    """Check that tests pass in Triton's interpreter."""
    result = run_interpreted(folder, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


class HostReads(TorchFunctionMode):
    """Record of what makes the host wait for a GPU, outside the kernels.

    The interpreter itself copies the arguments of a kernel.
    """

    _READS = (
        *("cpu", "item", "numpy", "tolist", "__bool__", "__int__", "__float__", "__index__"),
        *("nonzero", "is_nonzero", "equal", "masked_select", "unique", "_unique2"),
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.names: list[str] = []
        self._is_in_kernel = False
        launch_grid = GridExecutor.__call__

        def launch(executor: Any, *arguments: Any, **keywords: Any) -> Any:
            self._is_in_kernel = True
            try:
                return launch_grid(executor, *arguments, **keywords)
            finally:
                self._is_in_kernel = False

        monkeypatch.setattr(GridExecutor, "__call__", launch)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not self._is_in_kernel and name in self._READS:
            self.names.append(name)
        return func(*args, **(kwargs or {}))
