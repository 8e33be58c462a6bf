"""Restriction of torch to one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the body with one torch thread, so that results do not depend on the number of cores.

    torch's matrix products split sums by the number of threads. The setting is global: torch calls
    of other Python threads also run on one thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
