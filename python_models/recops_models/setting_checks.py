"""What settings must be: each check refuses in one line that names the setting."""

from __future__ import annotations

import math
from pathlib import Path


def check_at_least(owner: str, settings: object, **least: float) -> None:
    """The named numbers are finite and none is below its least; so is each one of a tuple.

    None, where a setting has it, is no number and passes.

    Args:
        owner: whose settings they are, for the text.
        settings: has them as attributes.
        least: of each, by name.

    Raises:
        ValueError: one is not.

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


def check_above_zero(owner: str, settings: object, *names: str) -> None:
    """The named numbers are finite and above 0; see :func:`check_at_least`.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        if min(_finite(owner, settings, name), default=1) <= 0:
            raise ValueError(f"{owner}: {name} must be > 0, got {getattr(settings, name)}")


def check_shares(owner: str, settings: object, *names: str) -> None:
    """The named numbers lie within [0, 1), as a dropout must; see :func:`check_at_least`.

    Raises:
        ValueError: one does not.
    """
    for name in names:
        if not all(0 <= number < 1 for number in _finite(owner, settings, name)):
            raise ValueError(
                f"{owner}: {name} must lie within [0, 1), got {getattr(settings, name)}"
            )


def check_lengths(owner: str, settings: object, **least: int) -> None:
    """The named tuples are at least so long.

    Raises:
        ValueError: one is not.
    """
    for name, length in least.items():
        value = getattr(settings, name)
        if len(value) < length:
            raise ValueError(f"{owner}: {name} must have ≥ {length} numbers, got {value}")


def check_heads(owner: str, width: int, heads: int) -> None:
    """The heads of an attention divide its width; both are 1 or more.

    Raises:
        ValueError: they do not.
    """
    if width % heads:
        raise ValueError(f"{owner}: heads must divide width {width}, got {heads}")


def check_file(owner: str, name: str, path: Path) -> None:
    """There is a file where the setting ``name`` says so.

    Raises:
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{owner}: {name} must be a file, got {path}: there is none")


def _finite(owner: str, settings: object, name: str) -> tuple[float, ...]:
    """The numbers of a setting.

    Raises:
        ValueError: one is infinite or NaN.
    """
    value = getattr(settings, name)
    numbers = () if value is None else value if isinstance(value, tuple) else (value,)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{owner}: {name} must be finite, got {value}")
    return numbers
