"""Argument checks that need no data: types, ranges, dtype, device, shape. Data the op checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INDICES = (torch.int32, torch.int64)
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
MOST_BEAMS = 2**20
"""More paths than that, 16 MB of them a row, are no search any longer."""

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
    """``value`` is a tensor of one of ``dtypes``, with ``ndim`` dimensions, on ``device``.

    None asks for no number of dimensions, and for no device.

    Raises:
        TypeError: not a tensor, or of another dtype.
        ValueError: another number of dimensions, on another device, or sparse.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}")
    if value.dtype not in dtypes:
        wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(
            f"{op}: {name} must be one of {wanted}, got {str(value.dtype).removeprefix('torch.')}"
        )
    if (
        value.ndim != ndim
        and ndim is not None
        and (isinstance(ndim, int) or value.ndim not in ndim)
    ):
        wanted = str(ndim) if isinstance(ndim, int) else " or ".join(str(n) for n in ndim)
        raise ValueError(
            f"{op}: {name} must have {wanted} dimensions, got shape {tuple(value.shape)}"
        )
    if device is not None and value.device != device:
        raise ValueError(f"{op}: {name} must be on {device}, got {value.device}")
    if value.layout is not torch.strided:
        raise ValueError(f"{op}: {name} must be strided, got {value.layout}")


def check_integer(
    op: str, name: str, value: object, *, least: int = 0, most: int = INT32_MAX
) -> None:
    """``value`` is an integer from ``least`` to ``most``; True and False are none.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.
    """
    if not isinstance(value, INTEGERS) or isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be an integer, got {type(value).__name__}")
    # In a graph it may be the size of an input, of which an upper bound would become a condition.
    if value < least or (not torch.compiler.is_compiling() and value > most):
        raise ValueError(f"{op}: {name} must be from {least} to {most}, got {value}")


def check_number(op: str, name: str, value: object, *, least: float, most: float) -> None:
    """``value`` is a number from ``least`` to ``most``.

    Raises:
        TypeError: not a number.
        ValueError: out of range, or NaN.
    """
    if not isinstance(value, _NUMBERS):
        raise TypeError(f"{op}: {name} must be a number, got {type(value).__name__}")
    try:
        fits = least <= float(value) <= most
    except OverflowError:  # An integer beyond any float.
        fits = False
    if not fits:
        raise ValueError(f"{op}: {name} must be from {least} to {most}, got {value}")


def check_flag(op: str, name: str, value: object) -> None:
    """``value`` is True or False.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{op}: {name} must be True or False, got {type(value).__name__}")


def check_choice(op: str, name: str, value: object, choices: Sequence[str]) -> None:
    """``value`` is one of ``choices``.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = (repr(choice) for choice in choices)
        raise ValueError(f"{op}: {name} must be {', '.join(others)} or {last}, got {value!r}")


def check_list(op: str, name: str, values: Iterable[T]) -> list[T]:
    """``values`` as a list.

    Raises:
        TypeError: it is no sequence, or a text.
    """
    scalar = isinstance(values, str) or (isinstance(values, Tensor) and values.ndim == 0)
    if scalar or not isinstance(values, Iterable):
        raise TypeError(f"{op}: {name} must be a sequence, got {type(values).__name__}")
    return list(values)


def check_sizes(op: str, name: str, sizes: Iterable[int], *, most: int = INT32_MAX) -> list[int]:
    """``sizes`` as a list of integers from 1 to ``most``.

    Raises:
        TypeError: something else than integers.
        ValueError: one out of range.
    """
    found = check_list(op, name, sizes)
    for place, size in enumerate(found):
        if type(size) is not int or not 1 <= size <= most:
            check_integer(op, f"{name}[{place}]", size, least=1, most=most)
    return [int(size) for size in found]


def check_device(op: str, name: str, device: object) -> torch.device:
    """``device`` as one that this torch has.

    Raises:
        TypeError: neither a device nor its name.
        ValueError: no such device.
    """
    if not isinstance(device, torch.device | str):
        raise TypeError(f"{op}: {name} must be a device or its name, got {type(device).__name__}")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{op}: {name} must be a device of this torch, got {str(device)!r}: {reason}"
        ) from None


def check_tuple(op: str, name: str, value: object, parts: Sequence[str]) -> Sequence[Any]:
    """``value`` as a tuple or list of so many ``parts``.

    Raises:
        TypeError: not a tuple or list.
        ValueError: of another length.
    """
    if not isinstance(value, tuple | list):
        raise TypeError(f"{op}: {name} must be ({', '.join(parts)}), got {type(value).__name__}")
    if len(value) != len(parts):
        raise ValueError(f"{op}: {name} must be ({', '.join(parts)}), got {len(value)} entries")
    return value
