"""Versions, compiler and GPU kernels of this build."""

from __future__ import annotations

from functools import cache
from typing import TypedDict

from recops._load import cuda_library, ops
from recops.ops._backends import backends

__all__ = ["BuildInfo", "build_info"]


class BuildInfo(TypedDict):
    """Result of :func:`build_info`."""

    version: str
    torch_target: str
    compiler: str
    cuda_runtime: str | None
    cuda_architectures: str | None
    backends: dict[str, str]


@cache
def build_info() -> BuildInfo:
    """Return the versions, the compiler and the GPU kernels of this build.

    Returns:
        ``version``, ``torch_target`` (the oldest torch with a compatible stable ABI), ``compiler``,
        ``cuda_runtime`` and ``cuda_architectures`` (None if the CUDA library was not built), and
        ``backends``, which maps each op to what runs it on a CUDA tensor: ``"cuda"`` and
        ``"triton"`` are kernels, ``"composite"`` is a composition of torch ops. A composite also
        replaces a kernel where the driver, the GPU or the sizes of a call do not permit it.

    Examples:
        >>> recops.build_info()["version"] == recops.__version__
        True
        >>> recops.build_info()["backends"]["recurrent_scan"]
        'composite'
    """
    cuda = cuda_library()
    return {
        "version": ops.version(),
        "torch_target": ops.torch_target(),
        "compiler": ops.compiler(),
        "cuda_runtime": cuda.runtime if cuda else None,
        "cuda_architectures": ",".join(cuda.architectures) if cuda else None,
        "backends": backends(cuda.ops if cuda else []),
    }
