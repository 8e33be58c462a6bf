"""Checks of argument types, ranges, dtypes, devices and shapes. The ops check the data itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INDICES = (torch.int32, torch.int64)
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
MAX_BEAMS = 2**20
"""Largest number of beams: their paths already take 16 MB per row."""

INTEGERS = (int, np.integer, torch.SymInt)
_NUMBERS = (float, np.floating, torch.SymFloat, *INTEGERS)

T = TypeVar("T")


def check_tensor(
    op: str,
    name: str,
    value: object,
    *,
    ndim: int | tuple[int, ...] | None,
    dtypes: Iterable[torch.dtype],
    device: torch.device | None = None,
) -> None:
    """Check that ``value`` is a tensor with ``ndim`` dimensions, one of ``dtypes``, on ``device``.

    ``ndim`` or ``device`` may be None to skip that check.

    Raises:
        TypeError: ``value`` is not a tensor or has another dtype.
        ValueError: ``value`` has another number of dimensions, is on another device, or is sparse.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}")
    if value.dtype not in dtypes:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(
            f"{op}: {name} must be one of {names}, got {str(value.dtype).removeprefix('torch.')}"
        )
    if (
        value.ndim != ndim
        and ndim is not None
        and (isinstance(ndim, int) or value.ndim not in ndim)
    ):
        counts = str(ndim) if isinstance(ndim, int) else " or ".join(str(n) for n in ndim)
        raise ValueError(
            f"{op}: {name} must have {counts} dimensions, got shape {tuple(value.shape)}"
        )
    if device is not None and value.device != device:
        raise ValueError(f"{op}: {name} must be on {device}, got {value.device}")
    if value.layout is not torch.strided:
        raise ValueError(f"{op}: {name} must be strided, got {value.layout}")


def check_integer(
    op: str, name: str, value: object, *, least: int = 0, most: int = INT32_MAX
) -> None:
    """Check that ``value`` is an integer from ``least`` to ``most``; a bool is not an integer.

    Raises:
        TypeError: ``value`` is not an integer.
        ValueError: ``value`` is out of range.
    """
    if not isinstance(value, INTEGERS) or isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be an integer, got {type(value).__name__}")
    # While compiling, the value may be an input's size: an upper bound would add a guard.
    if value < least or (not torch.compiler.is_compiling() and value > most):
        raise ValueError(f"{op}: {name} must be from {least} to {most}, got {value}")


def check_number(op: str, name: str, value: object, *, least: float, most: float) -> None:
    """Check that ``value`` is a number from ``least`` to ``most``.

    Raises:
        TypeError: ``value`` is not a number.
        ValueError: ``value`` is out of range or NaN.
    """
    if not isinstance(value, _NUMBERS):
        raise TypeError(f"{op}: {name} must be a number, got {type(value).__name__}")
    try:
        fits = least <= float(value) <= most
    except OverflowError:  # The integer exceeds the range of a float.
        fits = False
    if not fits:
        raise ValueError(f"{op}: {name} must be from {least} to {most}, got {value}")


def check_flag(op: str, name: str, value: object) -> None:
    """Check that ``value`` is True or False.

    Raises:
        TypeError: ``value`` is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{op}: {name} must be True or False, got {type(value).__name__}")


def check_choice(op: str, name: str, value: object, choices: Sequence[str]) -> None:
    """Check that ``value`` is one of ``choices``.

    Raises:
        ValueError: ``value`` is not one of them.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = (repr(choice) for choice in choices)
        raise ValueError(f"{op}: {name} must be {', '.join(others)} or {last}, got {value!r}")


def check_list(op: str, name: str, values: Iterable[T]) -> list[T]:
    """Return ``values`` as a list.

    Raises:
        TypeError: ``values`` is not iterable, or is a string or a scalar tensor.
    """
    scalar = isinstance(values, str) or (isinstance(values, Tensor) and values.ndim == 0)
    if scalar or not isinstance(values, Iterable):
        raise TypeError(f"{op}: {name} must be a sequence, got {type(values).__name__}")
    return list(values)


def check_sizes(op: str, name: str, sizes: Iterable[int], *, most: int = INT32_MAX) -> list[int]:
    """Return ``sizes`` as a list of integers from 1 to ``most``.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is out of range.
    """
    values = check_list(op, name, sizes)
    for index, size in enumerate(values):
        if type(size) is not int or not 1 <= size <= most:
            check_integer(op, f"{name}[{index}]", size, least=1, most=most)
    return [int(size) for size in values]


def check_device(op: str, name: str, device: object) -> torch.device:
    """Return ``device`` as a ``torch.device`` that this build of torch can use.

    Raises:
        TypeError: ``device`` is neither a device nor its name.
        ValueError: the device does not exist.
    """
    if not isinstance(device, torch.device | str):
        raise TypeError(f"{op}: {name} must be a device or its name, got {type(device).__name__}")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{op}: {name} must be a device that torch can use, got {str(device)!r}: {reason}"
        ) from None


def check_tuple(op: str, name: str, value: object, parts: Sequence[str]) -> Sequence[Any]:
    """Return ``value``, a tuple or list with one entry for each name in ``parts``.

    Raises:
        TypeError: ``value`` is not a tuple or list.
        ValueError: ``value`` has another length.
    """
    if not isinstance(value, tuple | list):
        raise TypeError(f"{op}: {name} must be ({', '.join(parts)}), got {type(value).__name__}")
    if len(value) != len(parts):
        raise ValueError(f"{op}: {name} must be ({', '.join(parts)}), got {len(value)} entries")
    return value
