"""What is measured: one :class:`Case` an op, shape and direction, listed by a function a family."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import recops.benchmarks

Thunk = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One thing to time, with everything it is compared with.

    ``run`` and each of ``peers`` do the same work on the same inputs; ``verify`` raises where they
    disagree, and runs before any timing. ``flops`` and ``bytes`` are what the algorithm cannot
    avoid, whatever the implementation spends; ``ceiling`` names the one that bounds it. With
    ``memory``, what each side allocates at its worst is told too; all of them then allocate by
    torch.
    """

    op: str
    shape: str
    run: Thunk
    verify: Thunk
    peers: Mapping[str, Thunk] = field(default_factory=dict)
    flops: float = 0.0
    bytes: float = 0.0
    ceiling: Literal["fma", "bandwidth"] = "fma"
    dtype: str = "float32"
    direction: Literal["forward", "backward"] = "forward"
    device: str = "cpu"
    threads: int = 1
    memory: bool = False


@dataclass(frozen=True)
class Point:
    """A point of a sweep: ``size`` has ``value``, and ``case`` works on ``rows`` rows.

    ``of`` names what the size is changed of, where there are several; ``side``, what ``case.run``
    is drawn as; ``facts`` tells what else is to be known of the point.
    """

    size: str
    value: int
    rows: int
    case: Case
    of: str = ""
    side: str = "recops"
    facts: str = ""


CaseList = Callable[[bool], Iterator[Case]]
PointList = Callable[[], Iterator[Point]]
_families: dict[str, CaseList] = {}
_sweeps: dict[str, PointList] = {}


def register(family: str) -> Callable[[CaseList], CaseList]:
    """Decorate a family's ``cases(quick)``; quick leaves out what takes long to set up."""

    def add(cases: CaseList) -> CaseList:
        _families[family] = cases
        return cases

    return add


def register_scaling(family: str) -> Callable[[PointList], PointList]:
    """Decorate a family's ``points()``, sweep by sweep."""

    def add(points: PointList) -> PointList:
        _sweeps[family] = points
        return points

    return add


def families() -> list[str]:
    """The families with benchmarks: every module of this package that registers cases."""
    for module in pkgutil.iter_modules(recops.benchmarks.__path__):
        importlib.import_module(f"recops.benchmarks.{module.name}")
    return sorted(_families)


def cases(family: str, *, quick: bool = False) -> Iterator[Case]:
    """The cases of a family, one at a time: each holds its inputs, so drop it before the next.

    Raises:
        ValueError: no such family.
    """
    known = families()
    if family not in known:
        raise ValueError(f"bench: no family {family!r}; there are {', '.join(known)}")
    return _families[family](quick)


def sweeps() -> list[str]:
    """The names of what is swept: of a family, or of a grid of its sizes."""
    families()
    return sorted(_sweeps)


def points(family: str) -> Iterator[Point]:
    """The points of a family's sweeps, one at a time, as :func:`cases`.

    Raises:
        ValueError: the family has no sweeps.
    """
    known = sweeps()
    if family not in known:
        raise ValueError(f"bench: {family} has no sweeps; these have: {', '.join(known)}")
    return _sweeps[family]()
