"""Work done ahead by threads, handed over in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def ordered_map(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], *, workers: int
) -> Iterator[_Result]:
    """``map(function, tasks)`` by ``workers`` threads; with none, in the caller's.

    One more thread draws the tasks. At most ``2 * workers`` results are begun before they are asked
    for. The results and their order do not depend on ``workers``. An error, of a task or of drawing
    one, comes in its place. Closing the iterator ends all threads.

    Threads, not processes: NumPy's gathers and Arrow's decoding let go of the interpreter's lock,
    and batches need no copying from one process to another.

    Raises:
        ValueError: ``workers`` is negative.
    """
    if workers < 0:
        raise ValueError(f"ordered_map: workers must be 0 or more, got {workers}")
    return map(function, tasks) if workers == 0 else _threaded(function, tasks, workers)


def _threaded(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Iterator[_Result]:
    results: SimpleQueue[Future[_Result] | None] = SimpleQueue()
    room = threading.Semaphore(2 * workers)
    stop = threading.Event()

    def draw() -> None:
        try:
            for task in tasks:
                room.acquire()
                if stop.is_set():
                    break
                results.put(pool.submit(function, task))
            results.put(None)
        except BaseException as error:  # Handed over to whoever reads.
            failed: Future[_Result] = Future()
            failed.set_exception(error)
            results.put(failed)

    with ThreadPoolExecutor(workers, thread_name_prefix="loader") as pool:
        drawer = threading.Thread(target=draw, name="loader-draw", daemon=True)
        drawer.start()
        try:
            while (result := results.get()) is not None:
                value = result.result()
                room.release()
                yield value
        finally:
            stop.set()
            room.release()
            drawer.join()
