"""Training by several worker processes: joining, equal starts, and an agreed stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import Self

from recops_models import workers
from recops_models.training.device import backend_of, resolve_device, worker_device

WORLD_SIZE, LOCAL_RANK = "WORLD_SIZE", "LOCAL_RANK"
"""Environment variables of torchrun: number of workers, and number of this one on its machine."""


@contextmanager
def join_workers(device: str | torch.device) -> Iterator[torch.device]:
    """Join the workers of torchrun within the context, and yield the device of this one.

    Without torchrun, or if the workers are joined already, only the device is resolved.

    Args:
        device: name of a device. ``"auto"`` and ``"cuda"`` give each worker of a machine one GPU.

    Raises:
        ValueError: the device is missing, or workers cannot communicate on it.
    """
    if int(os.environ.get(WORLD_SIZE, "1")) < 2 or workers.several():
        yield resolve_device(device)
        return
    chosen = worker_device(device, int(os.environ.get(LOCAL_RANK, "0")))
    with workers.joined(backend_of(chosen)):
        yield chosen


@torch.no_grad()
def start_equal(model: nn.Module) -> None:
    """Copy the first worker's parameters and buffers to all workers."""
    if not workers.several():
        return
    for tensor in model.state_dict().values():
        if isinstance(tensor, Tensor):
            _copy_from_first(tensor)


def _copy_from_first(tensor: Tensor) -> None:
    content = tensor.detach().contiguous()
    flat = content.view(-1)
    if flat.numel():
        raw = flat.view(torch.uint8) if flat.dtype == torch.bool else flat
        workers.collective(dist.broadcast, raw, 0)
    if content.data_ptr() != tensor.data_ptr():
        tensor.copy_(content)


@torch.no_grad()
def check_equal(model: nn.Module) -> None:
    """Check that all workers have the same parameters, bit for bit.

    Raises:
        RuntimeError: they differ; a model draws or computes something else on each worker.
    """
    if not workers.several():
        return
    sums = [
        parameter.contiguous().view(-1).view(torch.uint8).sum(dtype=torch.int64)
        for parameter in model.parameters()
    ]
    total = torch.stack(sums).sum() if sums else torch.zeros((), dtype=torch.int64)
    if len(np.unique(workers.gathered([int(total)]))) > 1:
        raise RuntimeError("training: the weights of the workers must be equal, but they differ")


def summed_loss(loss: Tensor, count: Tensor | int) -> tuple[Tensor, Tensor | int]:
    """Return the loss of a batch and its number of targets, from the shares of all workers."""
    if not workers.several():
        return loss, count
    targets = count if isinstance(count, Tensor) else loss.new_full((), count, dtype=torch.float64)
    shares = torch.stack([loss.detach().double(), targets.double()])
    total, all_targets = workers.total(shares).unbind()
    return total, all_targets


def seed_step(seed: int, step: int) -> None:
    """Seed torch's generators for one step of this worker; nothing is done with one worker.

    The draws of a step then depend on the seed, the step and the worker's number only, so a
    checkpoint holds no states of generators, and any number of workers can continue it.
    """
    if workers.several():
        rng = np.random.default_rng((seed, step, workers.share().rank))
        torch.manual_seed(int(rng.integers(2**63)))


class StopRequest:
    """Wish of a worker to stop, by Ctrl-C or by callbacks; for use in a ``with`` statement.

    With several workers, Ctrl-C only sets a flag. :meth:`check` raises the error on all of them at
    the same step, so that none waits for another. With one worker, Ctrl-C works as usual.

    Attributes:
        is_requested: whether this worker wishes to stop.
    """

    def __init__(self) -> None:
        self.is_requested = False

    def __enter__(self) -> Self:
        self._handles_signals = (
            workers.several() and threading.current_thread() is threading.main_thread()
        )
        if self._handles_signals:
            self._previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handles_signals:
            signal.signal(signal.SIGINT, self._previous)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Context that turns a ``KeyboardInterrupt`` into a request, with several workers."""
        try:
            yield
        except KeyboardInterrupt:
            if not workers.several():
                raise
            self.is_requested = True

    def check(self) -> None:
        """Stop if any worker wishes to.

        Raises:
            KeyboardInterrupt: on all workers.
        """
        if workers.several() and workers.any_of(self.is_requested)[0]:
            raise KeyboardInterrupt

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True
