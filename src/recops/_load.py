"""Loading of the compiled op libraries into torch, from a wheel or an editable build."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import warnings
from collections.abc import Callable
from functools import cache, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

__all__ = ["build_info", "cpu_isa", "load_ops", "ops"]

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


def load_ops() -> None:
    """Register ``torch.ops.recops``, with CUDA kernels if they were built and torch has CUDA.

    Raises:
        ImportError: the op library is missing from this installation.
    """
    path = _library_path("_ops")
    if path is None:
        raise ImportError("recops: the op library is missing; reinstall with `pip install .`")
    torch.ops.load_library(path)
    _find_ops()
    ops.cpu_isa()  # An invalid RECOPS_ISA raises here instead of inside the first op.
    cuda_path = _library_path("_ops_cuda")
    if cuda_path is not None and torch.version.cuda is not None and torch.cuda.is_available():
        _load_cuda(cuda_path)


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


def _load_cuda(path: str) -> None:
    runtime, driver = _cuda_versions(path)
    if driver < runtime:
        warnings.warn(
            f"recops: built for CUDA {_dotted(runtime)}, but the driver supports at most CUDA "
            f"{_dotted(driver)}; only CPU ops are available",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    torch.ops.load_library(path)


def _cuda_versions(path: str) -> tuple[int, int]:
    library = ctypes.CDLL(path)
    return library.recops_cuda_runtime_version(), library.recops_cuda_driver_version()


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


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


@cache
def build_info() -> dict[str, str | None]:
    """Return the versions and the compiler of this build.

    Returns:
        ``version``, ``torch_target`` (the oldest torch with a compatible stable ABI), ``compiler``,
        ``cuda_runtime`` and ``cuda_architectures`` (None if the CUDA library was not built).

    Examples:
        >>> recops.build_info()["version"] == recops.__version__
        True
    """
    cuda_path = _library_path("_ops_cuda")
    return {
        "version": ops.version(),
        "torch_target": ops.torch_target(),
        "compiler": ops.compiler(),
        "cuda_runtime": None if cuda_path is None else _dotted(_cuda_versions(cuda_path)[0]),
        "cuda_architectures": None if cuda_path is None else ops.cuda_architectures(),
    }
