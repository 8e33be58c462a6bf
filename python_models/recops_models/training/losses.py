"""Sum of an epoch's losses, read from the device at intervals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recops_models.training.checkpoint import State
from recops_models.training.device import numbers, steps_per_read
from recops_models.training.diverged import DivergedError


class EpochLosses:
    """Losses of the current epoch's steps, which :meth:`read` adds to a :class:`State`.

    Steps on the CPU are read one by one. On another device the losses stay there for several steps,
    so that no step waits for the device. The sums do not depend on the interval.

    Args:
        state: gets the number of steps, and the sums of losses and targets.
        device: where the steps run.

    Attributes:
        last: the last loss that was read.
    """

    def __init__(self, state: State, device: torch.device) -> None:
        self._state, self._interval = state, steps_per_read(device)
        self._losses: list[Tensor] = []
        self._targets: list[Tensor | int] = []
        self.last = math.nan

    def add(self, loss: Tensor, targets: Tensor | int) -> bool:
        """Add a step, and return whether its loss was read.

        Args:
            loss: mean loss of the step.
            targets: number of targets it is the mean of.

        Raises:
            DivergedError: see :meth:`read`.
        """
        self._losses.append(loss.detach())
        self._targets.append(targets)
        return len(self._losses) >= self._interval and self.read()

    def read(self) -> bool:
        """Read all steps since the last read, add them to the state, and return whether there are.

        Raises:
            DivergedError: a loss is NaN or infinite; the message names its step.
        """
        if not self._losses:
            return False
        state = self._state
        for loss, targets in zip(numbers(self._losses), numbers(self._targets), strict=True):
            state.step += 1
            if not math.isfinite(loss):
                raise DivergedError(
                    f"training: the loss became {loss} in step {state.step} of epoch "
                    f"{len(state.curve) + 1}; lower learning_rate"
                )
            state.total += loss * int(targets)
            state.targets += int(targets)
            self.last = loss
        self._losses, self._targets = [], []
        return True
