"""Registry of benchmarks: each family of ops lists a :class:`Case` per op, shape and direction."""

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
    """Benchmark of one call, with its peers and its ceiling.

    ``run`` and each of ``peers`` do the same work on the same inputs. ``verify`` runs before any
    timing and raises if the results disagree. ``flops`` and ``bytes`` are the minimum work of the
    algorithm, not that of the implementation. ``ceiling`` names the limit of the machine that
    applies. With ``memory``, the peak memory of each side is measured too; all sides must then
    allocate by torch.
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
    """Point of a sweep: ``size`` has ``value``, and ``case`` works on ``rows`` rows.

    ``of`` names the swept object if there are several. ``side`` is the label of ``case.run`` in
    the plot. ``facts`` is a remark for the table.
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
    """Decorate a family's ``cases(quick)``; quick omits cases with a long setup."""

    def add(cases: CaseList) -> CaseList:
        _families[family] = cases
        return cases

    return add


def register_scaling(family: str) -> Callable[[PointList], PointList]:
    """Decorate a family's ``points()``, which yields the points sweep by sweep."""

    def add(points: PointList) -> PointList:
        _sweeps[family] = points
        return points

    return add


def families() -> list[str]:
    """Import all modules of this package and return the families that have benchmarks."""
    for module in pkgutil.iter_modules(recops.benchmarks.__path__):
        importlib.import_module(f"recops.benchmarks.{module.name}")
    return sorted(_families)


def cases(family: str, *, quick: bool = False) -> Iterator[Case]:
    """Return an iterator over the cases of a family.

    Each case holds its inputs, so release it before the next.

    Raises:
        ValueError: the family does not exist.
    """
    known = families()
    if family not in known:
        raise ValueError(f"bench: no family {family!r}; available: {', '.join(known)}")
    return _families[family](quick)


def sweeps() -> list[str]:
    """Return the names of all sweeps."""
    families()
    return sorted(_sweeps)


def points(family: str) -> Iterator[Point]:
    """Return an iterator over the points of a family's sweeps; see :func:`cases`.

    Raises:
        ValueError: the family has no sweeps.
    """
    known = sweeps()
    if family not in known:
        raise ValueError(f"bench: {family} has no sweeps; these have: {', '.join(known)}")
    return _sweeps[family]()
