"""The C library's heap, told to keep what training and evaluation free."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Numbers of mallopt's settings, of glibc's malloc.h."""
_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Where somebody has told the heap something else, it stays."""


def keep_freed_memory() -> bool:
    """Let freed blocks below 1 GiB stay in the process, for the step that comes next.

    As glibc has it, large blocks go back to the system when they are freed, and the next step waits
    for their pages, one by one, to be mapped and zeroed again. Kept, they are what the process
    held at its peak. Other C libraries are left as they are.

    Returns:
        Whether it was set: by glibc, and no setting of the heap in the environment.
    """
    if any(name in os.environ for name in _OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = {_MMAP_THRESHOLD: 1 << 30, _TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 1 << 26}
    taken: list[int] = [mallopt(name, value) for name, value in settings.items()]
    return min(taken) == 1
