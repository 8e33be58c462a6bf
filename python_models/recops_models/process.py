"""Settings of the process: threads, division of the cores, heap, garbage collection, and pandas."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

_WAIT_POLICY = "OMP_WAIT_POLICY"
_WAIT_SETTINGS = (_WAIT_POLICY, "GOMP_SPINCOUNT")
"""Environment variables by which libgomp decides how a thread waits."""
_THREADS = "OMP_NUM_THREADS"
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameter numbers of mallopt, from glibc's malloc.h."""
_HEAP_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Environment variables by which a user configures glibc's heap."""


def wait_passively() -> bool:
    """Let idle threads of torch sleep instead of spin, unless the user chose a wait policy.

    A thread of libgomp that waits for work spins for milliseconds by default. Next to another busy
    process it holds a core that the computing thread needs. libgomp reads the policy once, when
    torch loads it, so this function must run before torch is imported. Child processes inherit the
    policy.

    Returns:
        whether the policy was set: torch is not imported yet, and the environment has neither
        ``OMP_WAIT_POLICY`` nor ``GOMP_SPINCOUNT``.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _WAIT_SETTINGS):
        return False
    os.environ[_WAIT_POLICY] = "PASSIVE"
    return True


def skip_pandas() -> bool:
    """Let pyarrow work without pandas in this process, which saves the import of pandas.

    pyarrow imports an installed pandas at its first conversion of a Python object, to recognize
    series. It looks for pandas once and remembers the result. Conversions to pandas are then not
    available in this process; an own import of pandas still works.

    Returns:
        whether pyarrow was set up: neither pyarrow nor pandas is imported yet.
    """
    if "pyarrow" in sys.modules or "pandas" in sys.modules:
        return False
    import pyarrow

    sys.meta_path.insert(0, _WithoutPandas())
    try:
        pyarrow.array([None])
    finally:
        del sys.meta_path[0]
    return True


class _WithoutPandas(MetaPathFinder):
    """Finder that reports pandas as not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause Python's cyclic garbage collector while torch is imported.

    This import makes hundreds of thousands of objects that stay. The collector would scan them many
    times and free nothing. Afterwards all objects are frozen, so that later collections skip them.
    Nothing is paused if torch is imported already, or if the collector is off.
    """
    if not gc.isenabled() or "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def wait_settings() -> str:
    """Return the wait settings of the environment as text."""
    settings = [f"{name}={os.environ[name]}" for name in _WAIT_SETTINGS if name in os.environ]
    return ", ".join(settings) or "libgomp's default (threads spin)"


def threads_per_job(jobs: int) -> int:
    """Divide the cores of this process among ``jobs`` processes; at least one thread per job."""
    return max(1, len(os.sched_getaffinity(0)) // jobs)


@contextmanager
def worker_environment(jobs: int) -> Iterator[None]:
    """Environment for ``jobs`` worker processes that start within this context.

    Workers wait passively and have :func:`threads_per_job` threads each. Variables that are set
    already keep their values.
    """
    defaults = {_THREADS: str(threads_per_job(jobs))}
    if not any(name in os.environ for name in _WAIT_SETTINGS):
        defaults[_WAIT_POLICY] = "PASSIVE"
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def keep_freed_memory() -> bool:
    """Keep freed blocks below 1 GiB in the process for the next training step.

    By default glibc returns large blocks to the system when they are freed. The next step then
    waits while their pages are mapped and zeroed again. The process keeps its peak memory instead.
    Other C libraries are not changed.

    Returns:
        whether the heap was configured: the C library is glibc, and the environment has no setting
        of its heap.
    """
    if any(name in os.environ for name in _HEAP_SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 1 << 26}
    results: list[int] = [mallopt(name, value) for name, value in settings.items()]
    return min(results) == 1
