"""Worker processes that train one model together: shares, sums over workers, the first worker.

Without :func:`joined` there is one worker, and every function here is the plain operation.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, wraps
from typing import TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

_T = TypeVar("_T")
_Rows = TypeVar("_Rows", Tensor, NDArray[np.int64])

_COPY = "is_copy_of_first_worker"
"""Attribute of an error that the first worker raises too."""

_Function = TypeVar("_Function", bound=Callable[..., object])

_TIMEOUT = timedelta(days=7)
"""Longest wait for another worker. The first one may work alone for hours; torchrun, not this
limit, ends the workers when one of them dies."""


def eager(function: _Function) -> _Function:
    """Keep a function out of compiled graphs where there are several workers.

    The first such call imports torch's compiler, whose import takes long.
    """
    without_graph = cache(lambda: torch.compiler.disable(function))

    @wraps(function)
    def call(*arguments: object) -> object:
        return without_graph()(*arguments) if several() else function(*arguments)

    return cast(_Function, call)


@dataclass(frozen=True)
class BatchShare:
    """Contiguous share of each batch that one of ``size`` workers has.

    The shares of all workers cover each row once, in order. Their sizes differ by at most one.

    Attributes:
        rank: number of the worker, from 0.
        size: number of workers.

    Example:
        >>> import numpy as np
        >>> from recops_models.workers import BatchShare
        >>> [BatchShare(rank, size=3).of(np.arange(7)).tolist() for rank in range(3)]
        [[0, 1], [2, 3], [4, 5, 6]]
    """

    rank: int = 0
    size: int = 1

    def of(self, rows: _Rows) -> _Rows:
        """Return this worker's part of ``rows``, a view; all rows if there is one worker."""
        if self.size == 1:
            return rows
        part: _Rows = rows[
            len(rows) * self.rank // self.size : len(rows) * (self.rank + 1) // self.size
        ]
        return part


ALL = BatchShare()
"""BatchShare of the only worker."""

_share = ALL  # A plain global, which torch.compile can read.


def share() -> BatchShare:
    """Return the share of this worker."""
    return _share


def several() -> bool:
    """Return whether there is more than one worker."""
    return _share.size > 1


def is_first() -> bool:
    """Return whether this worker writes files and talks to the user."""
    return _share.rank == 0


@contextmanager
def joined(backend: str) -> Iterator[None]:
    """Join the workers that torchrun has started, within the context.

    A process group that the caller has initialized is used as it is.

    Args:
        backend: argument of :func:`torch.distributed.init_process_group`; tensors of the host need
            a backend too.
    """
    global _share
    is_initialized = dist.is_initialized()
    if not is_initialized:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    before, _share = _share, BatchShare(dist.get_rank(), dist.get_world_size())
    try:
        yield
    finally:
        _share = before
        if not is_initialized:
            dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Let this worker work without the others, within the context."""
    global _share
    before, _share = _share, ALL
    try:
        yield
    finally:
        _share = before


class WorkerLostError(RuntimeError):
    """Another worker has ended, so that this one cannot continue."""


def collective(operation: Callable[..., object], *arguments: object) -> None:
    """Run an operation of :mod:`torch.distributed` in which all workers take part.

    Raises:
        WorkerLostError: another worker has ended.
    """
    try:
        operation(*arguments)
    except RuntimeError as error:
        raise WorkerLostError("another worker has ended, so this one cannot continue") from error


def on_first(function: Callable[[], _T]) -> _T:
    """Call ``function`` on the first worker, alone, and return its result on all workers.

    The other workers get a copy by pickle. An error of ``function`` is raised on all workers, so
    that none waits for the others in vain; :func:`is_copy` recognizes the copies.

    Args:
        function: returns a value on the host that can be pickled.
    """
    if not several():
        return function()
    own: list[_T] = []
    error: BaseException | None = None
    content = b""
    if is_first():
        try:
            with alone():
                own.append(function())
            content = pickle.dumps((own[0], None))
        except (Exception, KeyboardInterrupt) as raised:
            error = raised
            content = _pickled_error(raised)
    content = _broadcast(content)
    if error is not None:
        raise error
    if own:
        return own[0]
    result: _T
    result, error = pickle.loads(content)  # The content is that of the first worker.
    if error is not None:
        vars(error)[_COPY] = True
        raise error
    return result


def is_copy(error: BaseException) -> bool:
    """Return whether an error comes from the first worker, which raises it too."""
    return _COPY in vars(error)


def _pickled_error(error: BaseException) -> bytes:
    """Return the pickle of an error; of a RuntimeError with its message if it has none."""
    try:
        content = pickle.dumps((None, error))
        pickle.loads(content)
    except Exception:
        return pickle.dumps((None, RuntimeError(str(error))))
    return content


def _broadcast(content: bytes) -> bytes:
    """Return the bytes of the first worker."""
    length = torch.tensor([len(content)])
    collective(dist.broadcast, length, 0)
    data = torch.empty(int(length), dtype=torch.uint8)
    if is_first() and len(content):
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if len(data):
        collective(dist.broadcast, data, 0)
    return data.numpy().tobytes()


def others_after_first(function: Callable[[], _T]) -> _T:
    """Call ``function`` on the first worker, then on all others, which find its files.

    An error of the first call is raised on all workers.
    """
    own: list[_T] = []
    on_first(lambda: own.append(function()))
    return own[0] if own else function()


def gathered(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Return the numbers of all workers, ``[size, n]``, on the host."""
    own = torch.tensor(numbers, dtype=torch.int64)
    if not several():
        return own[None].numpy()
    parts = [torch.empty_like(own) for _ in range(_share.size)]
    collective(dist.all_gather, parts, own)
    return torch.stack(parts).numpy()


def any_of(*flags: bool) -> list[bool]:
    """Return, for each flag, whether a worker has set it."""
    if not several():
        return list(flags)
    sums = gathered([int(flag) for flag in flags]).sum(axis=0)
    return [bool(number) for number in sums.tolist()]


@eager
def total(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all workers, without a gradient."""
    if not several():
        return values
    values = values.detach().clone()
    collective(dist.all_reduce, values)
    return values


class _Total(torch.autograd.Function):
    """Sum over workers. The loss of a training is a sum over workers too, so its gradient is."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return total(grad.contiguous())


@eager
def differentiable_total(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all workers.

    Its gradient is the sum of all workers' gradients.
    """
    result: Tensor = _Total.apply(values)  # type: ignore[no-untyped-call]
    return result


def at_least_one(count: Tensor) -> Tensor:
    """Return the sum of a count over all workers, at least 1."""
    return (total(count) if several() else count).clamp(min=1)


def _count(number: int, like: Tensor) -> Tensor:
    """Return a number of this worker, summed over all workers, at least 1."""
    return at_least_one(torch.full((), number, dtype=torch.int64, device=like.device))


def share_of_mean(values: Tensor) -> Tensor:
    """Return this worker's share of the mean over all workers' values, a scalar.

    The shares of all workers add up to the mean, and so do their gradients. With one worker, it is
    the mean.
    """
    if not several():
        return values.mean()
    return values.sum() / _count(values.numel(), values)


def share_of_ratio(numerator: Tensor, count: int) -> Tensor:
    """Return this worker's share of ``Σ numerator / max(Σ count, 1)``, sums over all workers."""
    if not several():
        return numerator / max(count, 1)
    return numerator / _count(count, numerator)


def share_of_rows(mean: Tensor, rows: int) -> Tensor:
    """Return this worker's share of a mean over all workers' rows, a scalar.

    Args:
        mean: the mean over this worker's rows, a scalar; any number if it has none.
        rows: number of this worker's rows.
    """
    if not several():
        return mean
    return share_of_ratio(mean * rows if rows else torch.zeros_like(mean), rows)


def largest(values: Tensor) -> Tensor:
    """Return the maximum over the values ``[n]`` of all workers, a scalar without a gradient.

    It is −∞ if there are no values.
    """
    own = values.detach().new_full((), -torch.inf) if not len(values) else values.detach().max()
    if several():
        collective(dist.all_reduce, own, dist.ReduceOp.MAX)
    return own


def mean(values: Tensor) -> Tensor:
    """Return the mean over the values ``[n]`` of all workers, without a gradient."""
    if not several():
        return values.mean()
    number = torch.full((), len(values), dtype=values.dtype, device=values.device)
    added, count = total(torch.stack([values.sum(), number])).unbind()
    return added / count
