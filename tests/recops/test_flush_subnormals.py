"""``recops.flush_subnormals``: the mode of every thread inside and after the context."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

import recops
from float_modes import MODES, count_subnormals, modes_set, thread_modes

SUBNORMAL = torch.full((1 << 20,), 1e-40)


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_every_thread_flushes_inside_and_is_restored(
    modes: list[int], set_threads: Callable[[int], None]
) -> None:
    with modes_set(modes, set_threads):
        with recops.flush_subnormals():
            assert thread_modes() == [1, 1, 1]
            # Large enough for all threads; tests a subnormal operand and a subnormal result.
            assert not (SUBNORMAL * 2**20).any()
            assert not count_subnormals(torch.full_like(SUBNORMAL, 2.0**-126) / 2)
            with recops.flush_subnormals():
                pass
            assert thread_modes() == [1, 1, 1]
        assert thread_modes() == modes


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_an_exception_restores_the_modes(
    modes: list[int], set_threads: Callable[[int], None]
) -> None:
    with modes_set(modes, set_threads):
        with pytest.raises(KeyboardInterrupt), recops.flush_subnormals():
            raise KeyboardInterrupt
        assert thread_modes() == modes


def test_the_number_of_threads_may_change_inside(set_threads: Callable[[int], None]) -> None:
    for before, inside in ((3, 2), (2, 3)):
        with modes_set([0] * before, set_threads):
            with recops.flush_subnormals():
                set_threads(inside)
                assert thread_modes() == [1] * inside
            assert thread_modes() == [0] * inside
            set_threads(before)


def test_a_thread_inherits_the_mode_and_others_keep_theirs() -> None:
    inside, finished = threading.Event(), threading.Event()
    modes: dict[str, list[int]] = {}

    def other() -> None:
        inside.wait()
        modes["other"] = thread_modes()
        finished.set()

    earlier = threading.Thread(target=other)
    earlier.start()
    with recops.flush_subnormals():
        inside.set()
        finished.wait()
        later = threading.Thread(target=lambda: modes.update(later=thread_modes()))
        later.start()
        later.join()
    earlier.join()
    assert not any(modes["other"])
    assert all(modes["later"])


def test_use_as_a_decorator() -> None:
    modes_inside = recops.flush_subnormals()(thread_modes)
    assert all(modes_inside())
    assert all(modes_inside())
    assert not any(thread_modes())


def test_the_op_refuses_an_empty_list() -> None:
    with pytest.raises(ValueError, match="swap_flush_subnormals: flush must have an entry"):
        torch.ops.recops.swap_flush_subnormals([])
