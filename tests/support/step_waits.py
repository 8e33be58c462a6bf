"""Waits of the host for the fake device between the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fake_device import host_waits
from recops_models.training import trainer

LOSS_READ = "recops_models/training/device.py"
"""File whose functions read the loss, at intervals of many steps."""


@contextmanager
def waits_of_steps(*, with_losses: bool = False) -> Iterator[list[str]]:
    """Record waits in the epochs of all trainings within the context.

    Args:
        with_losses: record also the reads of the loss.
    """
    run_epoch, record = trainer._Training._run_epoch, list[str]()

    def recorded(*args: Any) -> None:
        with host_waits() as waits:
            run_epoch(*args)
        record.extend(wait for wait in waits if with_losses or LOSS_READ not in wait)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Training, "_run_epoch", recorded)
        yield record
