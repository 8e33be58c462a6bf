"""Checks of settings, with one-line errors that name the setting."""

from __future__ import annotations

import math
from pathlib import Path


def check_at_least(owner: str, settings: object, **least: float) -> None:
    """Check that numbers, or all numbers of a tuple, are finite and at least a bound.

    A setting that is None passes.

    Args:
        owner: owner of the settings, for error messages.
        settings: object with the settings as attributes.
        least: lower bound of each setting by name.

    Raises:
        ValueError: a number is infinite, NaN or below its bound.

    Examples:
        >>> from types import SimpleNamespace
        >>> check_at_least("din", SimpleNamespace(hidden=(8, 0)), hidden=1)
        Traceback (most recent call last):
        ValueError: din: hidden must be ≥ 1, got (8, 0)
    """
    for name, bound in least.items():
        numbers = _finite(owner, settings, name)
        if min(numbers, default=bound) < bound:
            raise ValueError(f"{owner}: {name} must be ≥ {bound}, got {getattr(settings, name)}")


def check_at_most(owner: str, settings: object, **most: float) -> None:
    """Check that numbers are finite and at most a bound; see :func:`check_at_least`.

    Raises:
        ValueError: a number is not finite or above its bound.
    """
    for name, bound in most.items():
        if max(_finite(owner, settings, name), default=bound) > bound:
            raise ValueError(f"{owner}: {name} must be ≤ {bound}, got {getattr(settings, name)}")


def check_above_zero(owner: str, settings: object, *names: str) -> None:
    """Check that numbers are finite and above 0; see :func:`check_at_least`.

    Raises:
        ValueError: a number is not finite or not above 0.
    """
    for name in names:
        if min(_finite(owner, settings, name), default=1) <= 0:
            raise ValueError(f"{owner}: {name} must be > 0, got {getattr(settings, name)}")


def check_shares(owner: str, settings: object, *names: str) -> None:
    """Check that numbers lie in [0, 1), such as dropout rates; see :func:`check_at_least`.

    Raises:
        ValueError: a number is not finite or outside [0, 1).
    """
    for name in names:
        if not all(0 <= number < 1 for number in _finite(owner, settings, name)):
            raise ValueError(
                f"{owner}: {name} must lie within [0, 1), got {getattr(settings, name)}"
            )


def check_lengths(owner: str, settings: object, **least: int) -> None:
    """Check that tuples have at least the given lengths.

    Raises:
        ValueError: a tuple is shorter.
    """
    for name, length in least.items():
        value = getattr(settings, name)
        if len(value) < length:
            raise ValueError(f"{owner}: {name} must have ≥ {length} numbers, got {value}")


def check_heads(owner: str, width: int, heads: int) -> None:
    """Check that the number of attention heads divides the width; both are at least 1.

    Raises:
        ValueError: ``heads`` does not divide ``width``.
    """
    if width % heads:
        raise ValueError(f"{owner}: heads must divide width {width}, got {heads}")


def check_file(owner: str, name: str, path: Path) -> None:
    """Check that the file of the setting ``name`` exists.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{owner}: {name} must be an existing file, got {path}")


def _finite(owner: str, settings: object, name: str) -> tuple[float, ...]:
    """Return the numbers of a setting; an empty tuple for None.

    Raises:
        ValueError: a number is infinite or NaN.
    """
    value = getattr(settings, name)
    numbers = () if value is None else value if isinstance(value, tuple) else (value,)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{owner}: {name} must be finite, got {value}")
    return numbers
