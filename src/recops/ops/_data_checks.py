"""Checks of tensor data that a composite reads from the device together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recops._debug import checks_data

Error = Callable[[list[int]], Exception]
"""Function that returns the exception for the index of the first wrong entry."""


class DataChecks:
    """Checks of the data of one call, read from the device in one transfer.

    A read waits for the device. A composite therefore collects its checks and reads them once,
    before it returns. Until then it clamps every index that may be wrong.

    Args:
        optional: leave out the checks where a read waits for a device, except in
            :func:`recops.debug`. The ops of training steps do so.
    """

    def __init__(self, *, optional: bool = False) -> None:
        self._optional = optional
        self._checks: list[tuple[Tensor, Error]] = []

    def add(self, is_wrong: Tensor, error: Error) -> None:
        """Add a check that no entry of ``is_wrong`` is true."""
        if not self._optional or checks_data(is_wrong):
            self._checks.append((is_wrong, error))

    def read(self, *numbers: Tensor) -> list[int]:
        """Raise the error of the first failed check, or return the integers ``numbers``."""
        flags = [is_wrong.any().long() for is_wrong, _ in self._checks]
        if not flags and not numbers:
            return []
        values: list[int] = torch.stack([*flags, *numbers]).tolist()
        for failed, (is_wrong, error) in zip(values, self._checks, strict=False):
            if failed:
                raise error(is_wrong.nonzero()[0].tolist())
        self._checks.clear()
        return values[len(flags) :]
