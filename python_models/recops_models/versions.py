"""What a result was made with."""

from __future__ import annotations

import platform
from importlib.metadata import version

_PACKAGES = ("recops", "torch", "numpy", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can change a figure, for ``metrics.json``."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
