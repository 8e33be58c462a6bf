"""``recops.debug``: where the data of tensors is checked."""

from __future__ import annotations

import pytest
import torch

import recops
from recops._debug import checks_data


def test_data_on_the_cpu_is_always_checked() -> None:
    assert checks_data(torch.zeros(1))
    with pytest.raises(IndexError, match="rq_decode: codes must be from 0 to 1"):
        recops.rq_decode(torch.tensor([[2]]), torch.zeros(1, 2, 3))


def test_data_elsewhere_is_checked_inside_the_context_only() -> None:
    elsewhere = torch.zeros(1, device="meta")
    assert not checks_data(elsewhere)
    with recops.debug():
        with recops.debug():
            assert checks_data(elsewhere)
        assert checks_data(elsewhere)
    assert not checks_data(elsewhere)


def test_an_exception_ends_the_mode() -> None:
    with pytest.raises(KeyboardInterrupt), recops.debug():
        raise KeyboardInterrupt
    assert not checks_data(torch.zeros(1, device="meta"))
