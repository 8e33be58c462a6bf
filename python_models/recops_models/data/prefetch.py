"""Ordered map with threads that work in advance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def ordered_map(
    function: Callable[[_Task], _Result],
    tasks: Iterable[_Task],
    *,
    workers: int,
    ahead: int | None = None,
) -> Iterator[_Result]:
    """Return ``map(function, tasks)``, computed by ``workers`` threads, or lazily without any.

    One more thread iterates over ``tasks``. At most ``ahead`` tasks (default ``2 * workers``) are
    started before their results are consumed. Results and their order do not depend on ``workers``.
    An error of ``function`` or of ``tasks`` is raised at its position. Closing the iterator ends
    all threads.

    Threads suffice because NumPy's gathers and Arrow's decoding release the GIL. Passing a batch
    between processes takes longer than gathering it.

    Raises:
        ValueError: ``workers`` is negative.
    """
    if workers < 0:
        raise ValueError(f"ordered_map: workers must be 0 or more, got {workers}")
    if workers == 0:
        return map(function, tasks)
    return _threaded(function, iter(tasks), workers, ahead or 2 * workers)


def _threaded(
    function: Callable[[_Task], _Result], tasks: Iterator[_Task], workers: int, ahead: int
) -> Iterator[_Result]:
    results: SimpleQueue[Future[_Result] | None] = SimpleQueue()
    slots = threading.Semaphore(ahead)
    stop = threading.Event()

    def draw() -> None:
        try:
            while slots.acquire() and not stop.is_set():
                results.put(pool.submit(function, next(tasks)))
        except StopIteration:
            results.put(None)
        except BaseException as error:  # Raised in the consumer's thread.
            failed: Future[_Result] = Future()
            failed.set_exception(error)
            results.put(failed)

    with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
        drawer = threading.Thread(target=draw, name="loader-draw", daemon=True)
        drawer.start()
        try:
            while (result := results.get()) is not None:
                value = result.result()
                slots.release()
                yield value
        finally:
            stop.set()
            slots.release()
            drawer.join()
