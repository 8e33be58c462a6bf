"""Versions of the software that a result depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

import torch

_PACKAGES = ("recops", "numpy", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of Python and of packages that affect results, for ``metrics.json``."""
    # torch.__version__ includes the build (2.15.0+cu132), which the package metadata lacks.
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{name: _version(name) for name in _PACKAGES},
    }


@cache
def _version(package: str) -> str:
    return version(package)
