"""Counts of calls that would wait for a device, found on CPU tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recops.ops._composite import COMPOSITES, composite

_READS = ("_local_scalar_dense", "_unique2", "is_nonzero", "item", "masked_select", "nonzero")
"""Ops of torch whose result depends on data, and which therefore wait for it."""

_COPIES = ("cpu", "new_tensor", "numpy", "tolist")
"""Methods of tensors that copy data to the host or from it."""


@contextmanager
def device_reads() -> Iterator[Counter[str]]:
    """Run composites, and count their reads of data and copies between host and tensors."""
    counts: Counter[str] = Counter()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return call(*arguments, **options)

        return run

    with pytest.MonkeyPatch.context() as patch, _Composites(counts):
        for name in _COPIES:
            patch.setattr(Tensor, name, counted(name, getattr(Tensor, name)))
        patch.setattr(torch, "tensor", counted("tensor", torch.tensor))
        yield counts


class _Composites(TorchDispatchMode):
    """Runs composites instead of kernels, and counts the ops of torch that wait for data."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.__name__.partition(".")[0]
        if func.namespace == "recops" and name in COMPOSITES:
            with self:
                return composite(name)(*args)
        has_mask = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in _READS or has_mask:
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))
