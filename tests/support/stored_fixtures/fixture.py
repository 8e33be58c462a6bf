"""One stored fixture, its folders, and the comparison of values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops_models.cli import run

ROOT = Path(__file__).resolve().parents[3]
STORED = ROOT / "tests" / "fixtures" / "stored"
EXPECTED = "expected.json"

_RELATIVE, _ABSOLUTE = 1e-4, 1e-6

Values = dict[str, Any]
"""JSON-ready."""


@dataclass(frozen=True)
class StoredFixture:
    """Functions that write the files of a fixture and read values from them.

    Both functions run in a copy of ``tests/fixtures/stored``, so that a path such as ``shop/1``
    means the same folder on every machine.

    Attributes:
        write: writes the files into an empty folder.
        read: opens the folder, evaluates or scores what it holds, and returns the values.
        packages: optional packages that ``read`` needs.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], Values]
    packages: tuple[str, ...] = ()


def versions(name: str, stored: Path = STORED) -> list[int]:
    """Return the numbers of a fixture's folders, the oldest first."""
    return sorted(int(path.name) for path in (stored / name).glob("[0-9]*"))


def newest(name: str) -> Path:
    """Return the newest folder of a fixture, relative to the copy that is the working directory."""
    return Path(name) / str(versions(name, Path())[-1])


def dump(values: Values) -> str:
    """Return values as JSON with one line per key."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def run_command(*words: str) -> None:
    """Run ``recops`` with these arguments.

    Raises:
        RuntimeError: the command failed.
    """
    if run(words) != 0:
        raise RuntimeError(f"failed: recops {' '.join(words)}")


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """List where ``actual`` departs from ``expected``, one line per value.

    Floats agree within a relative 1e-4, which covers every instruction set. All other values and
    the lengths of lists must be equal. A mapping may have keys that ``expected`` lacks.
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            if key in actual:
                yield from differences(value, actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is missing"
    elif isinstance(expected, Sequence) and isinstance(actual, Sequence) and not _is_text(expected):
        if len(expected) != len(actual):
            yield f"{path} must have {len(expected)} elements, got {len(actual)}"
            return
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif not _agree(expected, actual):
        yield f"{path} must be {expected!r}, got {actual!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _agree(expected: object, actual: object) -> bool:
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return type(expected) is type(actual) and expected == actual
