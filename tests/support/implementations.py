"""Replacement of CPU kernels by the composites of the same ops."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recops.ops._composite import COMPOSITES, composite

_WARNING = r"[\s\S]*Overriding a previously registered kernel"


@contextmanager
def composites_on_cpu() -> Iterator[None]:
    """Run composites instead of CPU kernels, for every op that has a composite."""
    library = torch.library.Library("recops", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_WARNING, category=UserWarning)
            for op in COMPOSITES:
                library.impl(op, composite(op), "CPU")
        yield
    finally:
        library._destroy()
