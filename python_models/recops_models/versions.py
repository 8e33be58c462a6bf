"""What a result was made with."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

import torch

_PACKAGES = ("recops", "numpy", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can change a figure, for ``metrics.json``."""
    # torch's own name for itself tells which build it is (2.15.0+cu132); its metadata does not.
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{name: _version(name) for name in _PACKAGES},
    }


@cache
def _version(package: str) -> str:
    return version(package)
