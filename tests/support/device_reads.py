"""Counts of calls that would wait for a device, found on CPU tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from implementations import CompositesMode

_READS = ("_local_scalar_dense", "_unique2", "is_nonzero", "item", "masked_select", "nonzero")
"""Ops of torch whose result depends on data, and which therefore wait for it."""

_COPIES_TO_HOST = ("cpu", "numpy", "tolist")
"""Methods of tensors that the dispatcher does not see on the CPU."""

_COPY_FROM_HOST = "lift_fresh"
"""Op that ``torch.tensor`` and ``new_tensor`` call."""


@contextmanager
def device_reads() -> Iterator[Counter[str]]:
    """Run composites, and count their reads of data and copies between host and tensors."""
    counts: Counter[str] = Counter()
    copies = _Copies(counts)
    with _Composites(counts, copies), copies:
        yield counts


class _Copies(TorchFunctionMode):
    """Counts the methods of tensors that copy data to the host."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _COPIES_TO_HOST:
            self._counts[name] += 1
        return func(*args, **(kwargs or {}))


class _Composites(CompositesMode):
    """Counts the ops of torch that wait for data."""

    def __init__(self, counts: Counter[str], copies: _Copies) -> None:
        super().__init__(copies)
        self._counts = counts

    def record(self, func: Any, name: str, args: Sequence[Any]) -> None:
        has_mask = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in (*_READS, _COPY_FROM_HOST) or has_mask:
            self._counts[name] += 1
