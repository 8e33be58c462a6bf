"""Load the compiled op libraries into torch, from an installed wheel or an editable build alike."""

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
        """Ops of the library as their overloads, from load_ops; those defined in Python as packets.

        A packet looks for the right overload at each call: with cold caches, of ten arguments, it
        takes 49 µs where the overload itself takes 32 (a busy Zen 4 core). No op has a second one.
        """

        def __getattr__(self, name: str) -> Any:
            return getattr(torch.ops.recops, name)

    ops = _Ops()


def _library_path(name: str) -> str | None:
    spec = importlib.util.find_spec(f"recops.{name}")
    return None if spec is None else spec.origin


def load_ops() -> None:
    """Register ``torch.ops.recops``; CUDA kernels join where they were built and torch has CUDA.

    Raises:
        ImportError: the op library is missing from this installation.
    """
    path = _library_path("_ops")
    if path is None:
        raise ImportError("recops: the op library is missing; reinstall with `pip install .`")
    torch.ops.load_library(path)
    _find_ops()
    ops.cpu_isa()  # An impossible RECOPS_ISA ends here, not inside the first op.
    cuda_path = _library_path("_ops_cuda")
    if cuda_path is not None and torch.version.cuda is not None and torch.cuda.is_available():
        _load_cuda(cuda_path)


def _find_ops() -> None:
    """Fill ``ops``, and let those that throw ``std::invalid_argument`` raise ValueError.

    torch up to 2.13 does so by itself; from 2.14 on it raises RuntimeError. Wrapping the op's own
    callable leaves ``torch.compile`` and ``torch.export`` what they know, an op.
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
            # What an op says of its arguments begins with the function's name; nothing else does.
            if type(error) is RuntimeError and re.match(r"[A-Za-z_.]+: ", str(error)):
                raise ValueError(*error.args) from None
            raise

    return checked


def _load_cuda(path: str) -> None:
    runtime, driver = _cuda_versions(path)
    if driver < runtime:
        warnings.warn(
            f"recops: built for CUDA {_dotted(runtime)}, but the driver serves at most CUDA "
            f"{_dotted(driver)}; CPU ops work, CUDA ops are left out",
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
    """The instruction set the CPU kernels run on: ``"base"``, ``"avx2"`` or ``"avx512"``.

    The best one this machine has, or the one that the environment variable ``RECOPS_ISA`` names
    when recops is imported.

    Examples:
        >>> recops.cpu_isa() in ("base", "avx2", "avx512")
        True
    """
    return ops.cpu_isa()


@cache
def build_info() -> dict[str, str | None]:
    """What this build is.

    Returns:
        ``version``, ``torch_target`` (the oldest torch whose stable ABI it needs), ``compiler``,
        ``cuda_runtime`` and ``cuda_architectures`` (None where the CUDA library was not built).

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
