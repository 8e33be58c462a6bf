"""Loading of the compiled op libraries into torch, from a wheel or an editable build."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

__all__ = ["CudaLibrary", "cpu_isa", "cuda_library", "load_ops", "ops"]

if TYPE_CHECKING:
    from recops import _ops as ops  # _ops.pyi types what the library registers.
else:

    class _Ops(SimpleNamespace):
        """The library's ops: compiled ones as overloads, ones defined in Python as packets.

        A packet searches for the right overload at each call. Each op has only one overload, so
        calling the overload directly avoids that search.
        """

        def __getattr__(self, name: str) -> Any:
            return getattr(torch.ops.recops, name)

    ops = _Ops()


def _library_path(name: str) -> str | None:
    spec = importlib.util.find_spec(f"recops.{name}")
    return None if spec is None else spec.origin


class CudaLibrary(NamedTuple):
    """Description of the CUDA library, which the build writes."""

    path: str
    runtime: str
    """Version of the CUDA runtime inside."""
    architectures: list[str]
    """``80-real`` is machine code for sm_80; ``100`` is machine code for sm_100 and PTX."""
    ops: list[str]
    """Ops with a kernel in the library."""


@cache
def cuda_library() -> CudaLibrary | None:
    """Return the CUDA library of this installation, or None if none was built."""
    path = _library_path("_ops_cuda")
    if path is None:
        return None
    description = Path(path).with_suffix(".json")
    if not description.exists():
        return None
    return CudaLibrary(path, **json.loads(description.read_text()))


def load_ops() -> None:
    """Register ``torch.ops.recops``, with CUDA kernels if they were built and torch has CUDA.

    A problem with CUDA is a warning: CPU kernels work, and GPU tensors use composites.

    Raises:
        ImportError: the op library is missing from this installation.
    """
    path = _library_path("_ops")
    if path is None:
        raise ImportError("recops: the op library is missing; reinstall with `pip install .`")
    torch.ops.load_library(path)
    _find_ops()
    ops.cpu_isa()  # An invalid RECOPS_ISA raises here instead of inside the first op.
    cuda = cuda_library()
    if cuda is not None and torch.version.cuda is not None:
        _load_cuda(cuda)


def _find_ops() -> None:
    """Fill ``ops``, and translate the C++ exception ``std::invalid_argument`` to ValueError.

    torch up to 2.13 translates it itself; torch 2.14 raises RuntimeError instead. The wrapper goes
    around the op's own callable, so ``torch.compile`` and ``torch.export`` still see an op.
    """
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("recops::"):
            packet = getattr(torch.ops.recops, name.removeprefix("recops::"))
            if torch.__version__ >= "2.14.dev0":
                for op in (packet, packet.default):
                    op._op = _raising_value_errors(op._op)
            setattr(ops, name.removeprefix("recops::"), packet.default)


def _raising_value_errors(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            # Only messages about an op's arguments begin with the function's name.
            if type(error) is RuntimeError and re.match(r"[A-Za-z_.]+: ", str(error)):
                raise ValueError(*error.args) from None
            raise

    return checked


def _load_cuda(library: CudaLibrary) -> None:
    """Register the CUDA kernels if the driver supports them, else warn in one line.

    Without a driver there is no GPU, and nothing happens. Kernels need a driver for the same major
    version of CUDA.
    """
    driver = _cuda_driver()
    if driver is None:
        return
    if int(driver.split(".")[0]) < int(library.runtime.split(".")[0]):
        _warn_without_cuda(
            f"built for CUDA {library.runtime}, but the driver supports at most CUDA {driver}"
        )
        return
    try:
        torch.ops.load_library(library.path)
    except (OSError, RuntimeError) as error:
        _warn_without_cuda(f"the CUDA library did not load ({' '.join(str(error).split())})")


def _warn_without_cuda(reason: str) -> None:
    warnings.warn(
        f"recops: {reason}; GPU tensors use compositions of torch ops, without CUDA kernels",
        RuntimeWarning,
        stacklevel=4,
    )


def _cuda_driver() -> str | None:
    """Return the newest CUDA version that the driver supports, or None without a driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


@cache
def cpu_isa() -> str:
    """Return the instruction set of the CPU kernels: ``"base"``, ``"avx2"`` or ``"avx512"``.

    By default it is the best one that this machine supports. The environment variable
    ``RECOPS_ISA``, read when recops is imported, selects another.

    Examples:
        >>> recops.cpu_isa() in ("base", "avx2", "avx512")
        True
    """
    return ops.cpu_isa()
