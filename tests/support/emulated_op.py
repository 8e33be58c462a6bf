"""CUDA ops whose kernels run on the host: their library, and calls as a CUDA graph captures them.

Loading such a library registers its ops for CUDA, so the calls run in a separate process.
"""

from __future__ import annotations

import copy
import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from recops.ops._composite import define_composite

CSRC = Path(__file__).resolve().parents[2] / "csrc"
COMPILER = os.environ.get("CXX") or "c++"

_CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
_RUN = "\nimport sys, emulated_op\nemulated_op.print_results(calls, *sys.argv[1:])\n"

READS: dict[str, int] = {
    "trie_allowed_tokens": 1,
    "trie_bans": 1,
    "trie_build": 2,
    "trie_items": 1,
    "trie_mask": 1,
}
"""Number of reads of the device by an op whose result has a size, or an error, that only the data
gives. No graph can capture such an op."""

Call = tuple[bool, Any, Sequence[Any]]
"""Whether the op has a kernel for these arguments, the overload, and the arguments."""


def build_library(source: str, folder: Path, csrc: Path = CSRC) -> Path:
    """Compile ``csrc/tests/SOURCE.cpp`` into a library in ``folder``."""
    torch_folder = Path(torch.__file__).parent
    library = folder / f"{source}.so"
    command = [COMPILER, "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", "-O1"]
    command += [f"-I{csrc}", f"-I{csrc / 'tests'}", "-isystem", str(torch_folder / "include")]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", str(csrc / f"tests/{source}.cpp")]
    command += [str(torch_folder / "lib/libtorch_cpu.so"), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5}
TOLERANCES |= {torch.bfloat16: 2**-7, torch.float16: 2**-10}
"""Largest difference of close results, relative to the largest value of a tensor or 1."""


def results_of_calls(calls: str, library: Path | str, how: str, *, exact: bool = True) -> list[str]:
    """Compare CUDA ops with CPU ops, and return one word per call.

    Args:
        calls: Python code that sets ``calls``, a list of :data:`Call`.
        library: the real CUDA library, or one of :func:`build_library`.
        how: ``"call"``, or ``"capture"`` with the restrictions of a graph capture, for calls with a
            kernel.
        exact: whether results must have the same bits. Otherwise they may differ by TOLERANCES.
    """
    result = run_script(calls + _RUN, library, how, *([] if exact else ["close"]))
    assert result.returncode == 0, f"status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout.split()


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code that can import the modules of tests/support."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def print_results(calls: Sequence[Call], library: str, how: str, comparison: str = "exact") -> None:
    """Print "agrees" or "differs" for each call."""
    is_equal = torch.equal if comparison == "exact" else _is_close
    torch.ops.load_library(library)
    for op in {op.__name__.partition(".")[0] for _, op, _ in calls}:
        if not hasattr(torch.ops.recops_composite, op):  # this build has no CUDA library
            define_composite(op)
    device = DeviceMemory(library) if how == "capture" else None
    for has_kernel, op, arguments in calls:
        expected = copy.deepcopy(arguments)
        results = op(*expected)
        if device is None:
            actual = copy.deepcopy(arguments)
            results_there = op.redispatch(_CUDA, *actual)
        elif has_kernel:
            results_there, actual = device.capture(op, arguments)
        else:
            continue
        # Arguments may be outputs.
        pairs = zip(
            tree_leaves((results, expected)), tree_leaves((results_there, actual)), strict=True
        )
        is_same = all(is_equal(two, one) for one, two in pairs if isinstance(one, Tensor))
        print("agrees" if is_same else "differs")


_COUNTS = ("count", "on_another_stream", "without_guard", "reads")


def _is_close(actual: Tensor, expected: Tensor) -> bool:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    if not expected.is_floating_point():
        return torch.equal(actual, expected)
    largest = max(1.0, expected.abs().max().item() if expected.numel() else 0.0)
    return bool(((actual - expected).abs() <= TOLERANCES[expected.dtype] * largest).all())


class _Launches(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in _COUNTS]


class DeviceMemory:
    """Memory of an emulated device, from a library of :func:`build_library`.

    While an op runs, an access by the host ends the process with a segmentation fault.
    """

    def __init__(self, library: str) -> None:
        functions = ctypes.CDLL(library)
        self._allocate, self._begin = functions.recops_allocate, functions.recops_begin
        self._allocate.restype, self._allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        self._end = functions.recops_end
        self._end.restype = _Launches

    def copy_of(self, tensor: Tensor) -> Tensor:
        """Return a contiguous copy in this memory."""
        size = tensor.numel() * tensor.element_size()
        if size == 0:
            return tensor.contiguous()
        memory = (ctypes.c_char * size).from_address(self._allocate(size))
        return torch.frombuffer(memory, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)

    def begin(self) -> None:
        """Forbid accesses by the host."""
        self._begin()

    def capture(self, op: Any, arguments: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        """Call the op of CUDA, and return its results and arguments.

        Raises:
            RuntimeError: there was no launch, or one on another stream or without a device guard,
                or the host read the device more often than :data:`READS` says.
        """
        moved = tree_map_only(Tensor, self.copy_of, tuple(arguments))
        self.begin()
        try:
            results = op.redispatch(_CUDA, *moved)
        finally:
            launches = self._end()
        if launches.count == 0 or launches.on_another_stream or launches.without_guard:
            raise RuntimeError(
                f"{op}: launches must be on the current stream under a device guard, got "
                f"{launches.count} launches, {launches.on_another_stream} on another stream, "
                f"{launches.without_guard} without a guard"
            )
        reads = READS.get(op.__name__.partition(".")[0], 0)
        if launches.reads > reads:
            raise RuntimeError(f"{op}: reads of the device must be {reads}, got {launches.reads}")
        return results, moved
