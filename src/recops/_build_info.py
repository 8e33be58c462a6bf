"""Versions, compiler and GPU kernels of this build."""

from __future__ import annotations

from functools import cache
from typing import TypedDict

from recops._load import cuda_library, ops
from recops.ops._backends import backends, reasons

__all__ = ["BuildInfo", "build_info"]


class BuildInfo(TypedDict):
    """Result of :func:`build_info`."""

    version: str
    torch_target: str
    compiler: str
    cuda_runtime: str | None
    cuda_architectures: str | None
    backends: dict[str, str]
    without_kernel: dict[str, str]


@cache
def build_info() -> BuildInfo:
    """Return the versions, the compiler and the GPU kernels of this build.

    Returns:
        ``version``, ``torch_target`` (the oldest torch with a compatible stable ABI), ``compiler``,
        ``cuda_runtime`` and ``cuda_architectures`` (None if the CUDA library was not built),
        ``backends``, which maps each op to what runs it on a CUDA tensor: ``"cuda"`` and
        ``"triton"`` are kernels, ``"composite"`` is a composition of torch ops, and
        ``without_kernel``, which maps each op without a kernel to the reason. A composite also
        replaces a kernel where the driver, the GPU or the sizes of a call do not permit it.

    Examples:
        >>> recops.build_info()["version"] == recops.__version__
        True
        >>> recops.build_info()["backends"]["coaction"]
        'triton'
        >>> recops.build_info()["without_kernel"]["code_flips"]
        'a diagnosis: noise by elementwise torch ops, and matrix products'
    """
    cuda = cuda_library()
    cuda_ops = cuda.ops if cuda else []
    return {
        "version": ops.version(),
        "torch_target": ops.torch_target(),
        "compiler": ops.compiler(),
        "cuda_runtime": cuda.runtime if cuda else None,
        "cuda_architectures": ",".join(cuda.architectures) if cuda else None,
        "backends": backends(cuda_ops),
        "without_kernel": reasons(cuda_ops),
    }
