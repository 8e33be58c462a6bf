"""Records of calls whose order of additions varies on CUDA, found on CPU tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from implementations import CompositesMode

_VARYING = ("bincount", "histc", "index_add", "index_reduce", "put", "scatter_reduce")
"""Ops of torch that :func:`torch.use_deterministic_algorithms` changes or refuses on CUDA."""

_VARYING_WITH_DUPLICATES = ("index_copy", "scatter", "scatter_add")
"""Ops that vary only if two entries have the same target."""


@contextmanager
def varying_order() -> Iterator[list[str]]:
    """Run composites, and record the ops of torch whose results vary from run to run on CUDA."""
    names: list[str] = []
    with _Composites(names):
        yield names


class _Composites(CompositesMode):
    """Records the ops of torch that may vary."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def record(self, func: Any, name: str, args: Sequence[Any]) -> None:
        if func.namespace == "aten" and _varies(name.removesuffix("_"), args):
            self._names.append(name)


def _varies(name: str, args: Sequence[Any]) -> bool:
    if name in _VARYING_WITH_DUPLICATES:
        return _has_duplicates(args[2], args[1])
    if name == "index_put":
        accumulates = len(args) > 3 and args[3]  # It sorts the indices first.
        return not accumulates and _has_equal_rows(args[1])
    if name == "cumsum":
        return bool(args[0].is_floating_point())
    return name in _VARYING


def _has_duplicates(index: Tensor, dim: int) -> bool:
    """Return whether an index has equal entries along ``dim``."""
    return bool((index.sort(dim).values.diff(dim=dim) == 0).any())


def _has_equal_rows(indices: Sequence[Tensor | None]) -> bool:
    present = [index for index in indices if index is not None]
    if len(present) == 1 and present[0].dtype == torch.bool:
        return False
    rows = torch.stack(torch.broadcast_tensors(*present), -1).flatten(0, -2)
    return len(rows.unique(dim=0)) < len(rows)
