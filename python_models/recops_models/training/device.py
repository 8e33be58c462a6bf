"""Devices of torch: choice, autocast, random generators, and copies between host and device.

Only this module names backends and copies tensors to the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import chain
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HOST = torch.device("cpu")
"""Device of the host's memory."""
AUTO = "auto"
"""Name of the default device: see :func:`resolve_device`."""

_NAME = re.compile(r"cpu|mps|(cuda|xpu)(:\d+)?")
_COUNT: Mapping[str, Callable[[], int]] = {
    "cpu": lambda: 1,
    "cuda": lambda: torch.cuda.device_count(),
    "mps": lambda: int(torch.backends.mps.is_available()),
    "xpu": lambda: torch.xpu.device_count(),
}
"""Number of devices of each backend that torch can use on this machine."""
_PINNING = ("cuda", "xpu")
"""Backends that copy from pinned host memory without waiting."""
_COMMUNICATION: Mapping[str, str] = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""Backend of torch.distributed by device type."""
_READ_EVERY = 50
"""Training steps between two reads of the loss on a device other than the CPU."""

_auto: ContextVar[torch.device | None] = ContextVar("auto", default=None)

_T = TypeVar("_T")


def resolve_device(device: str | torch.device = AUTO) -> torch.device:
    """Return the device of a name.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"xpu"`` or
            ``"xpu:1"``. ``"auto"`` is the first CUDA device, or the CPU if there is none; see also
            :func:`auto_device`. A ``torch.device`` is returned as it is.

    Raises:
        ValueError: unknown name, or torch has no such device on this machine.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if isinstance(device, torch.device):
        return device
    if device == AUTO:
        chosen = _auto.get()
        if chosen is not None:
            return chosen
        return torch.device("cuda", 0) if _COUNT["cuda"]() else HOST
    if not _NAME.fullmatch(device):
        raise ValueError(f"device must be auto, cpu, cuda[:i], mps or xpu[:i], got {device!r}")
    kind, _, index = device.partition(":")
    if int(index or 0) >= _COUNT[kind]():
        raise ValueError(
            f"device must be available, got {device}; this machine has {', '.join(_available())}"
        )
    return torch.device(kind, int(index or 0)) if kind in ("cuda", "xpu") else torch.device(kind)


def worker_device(device: str | torch.device, rank: int) -> torch.device:
    """Return the device of one of several workers on this machine.

    Args:
        device: see :func:`resolve_device`; ``"auto"`` and ``"cuda"`` give each worker another GPU.
        rank: number of the worker on this machine.

    Raises:
        ValueError: see :func:`resolve_device`.
    """
    is_free = device == "cuda" or (device == AUTO and _auto.get() is None and _COUNT["cuda"]())
    chosen = resolve_device(f"cuda:{rank}" if is_free else device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen


def backend_of(device: torch.device) -> str:
    """Return the backend by which workers on ``device`` communicate.

    Raises:
        ValueError: there is none.
    """
    if device.type not in _COMMUNICATION:
        raise ValueError(
            f"training: with several workers, device must be cpu or cuda, got {device.type}"
        )
    return _COMMUNICATION[device.type]


def _available() -> Iterator[str]:
    """Yield the names of all devices of this machine."""
    for kind, count in _COUNT.items():
        number = count()
        yield from [kind] if number == 1 else (f"{kind}:{index}" for index in range(number))


@contextmanager
def auto_device(device: str | torch.device) -> Iterator[None]:
    """Let ``"auto"`` mean ``device`` within the context, in this thread.

    Raises:
        ValueError: see :func:`resolve_device`.
    """
    token = _auto.set(resolve_device(device))
    try:
        yield
    finally:
        _auto.reset(token)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; the host if it has none."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return HOST if tensor is None else tensor.device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the autocast context of a training step.

    Args:
        device: where the step runs.
        precision: ``"bf16"`` for matrix products in bfloat16, or ``"float32"``.

    Raises:
        ValueError: torch has no autocast for ``device``.
    """
    is_available = torch.amp.is_autocast_available(device.type)
    if precision == "bf16":
        if not is_available:
            raise ValueError(f"training: precision must be float32 on {device.type}, got bf16")
        return torch.autocast(device.type, torch.bfloat16)
    if is_available and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that work on ``device`` draws from, by device type.

    These are the host's generator and, if ``device`` has its own, that of the device.
    """
    states = {HOST.type: torch.get_rng_state()}
    module = _generator_module(device)
    if module is not None:
        states[device.type] = module.get_rng_state(*_index(device))
    return states


def set_generator_states(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Restore the states of :func:`generator_states`, as far as ``states`` has them."""
    torch.set_rng_state(states[HOST.type])
    module = _generator_module(device)
    if module is not None and device.type in states:
        module.set_rng_state(states[device.type], *_index(device))


def _generator_module(device: torch.device) -> ModuleType | None:
    """Return the torch module with the generator of ``device``; None if it is the host's."""
    if device.type == HOST.type:
        return None
    module = torch.get_device_module(device.type)
    return module if hasattr(module, "set_rng_state") else None


def _index(device: torch.device) -> list[torch.device]:
    """Return the argument that selects a device; there is one MPS device, which takes none."""
    return [] if device.type == "mps" else [device]


@contextmanager
def fork_generators(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Restore the generators that work on ``device`` draws from after the context.

    Args:
        device: where the work runs.
        seed: initial seed of torch's generators within the context; None: they keep their states.
    """
    states = generator_states(device)
    try:
        if seed is not None:
            torch.manual_seed(seed)
        yield
    finally:
        set_generator_states(device, states)


def map_tensors(function: Callable[[Tensor], Tensor], value: _T) -> _T:
    """Apply ``function`` to every tensor in nested tuples, named tuples, lists and dictionaries.

    A tensor that occurs several times is mapped once.
    """
    results: dict[int, Tensor] = {}

    def apply(part: object) -> object:
        if isinstance(part, Tensor):
            if id(part) not in results:
                results[id(part)] = function(part)
            return results[id(part)]
        if isinstance(part, dict):
            return {key: apply(each) for key, each in part.items()}
        if isinstance(part, tuple) and hasattr(part, "_make"):  # a named tuple
            return part._make(map(apply, part))
        if isinstance(part, (tuple, list)):
            return type(part)(map(apply, part))
        return part

    return cast(_T, apply(value))


def to_device(value: _T, device: torch.device) -> _T:
    """Copy the host tensors in ``value`` to ``device``, without waiting if they are pinned."""
    if device.type == HOST.type:
        return value
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), value)


def pin(value: _T, device: torch.device) -> _T:
    """Copy the tensors in ``value`` to pinned memory if copies to ``device`` are faster from it."""
    if device.type not in _PINNING:
        return value
    return map_tensors(lambda tensor: tensor.pin_memory(), value)


def to_host(value: _T) -> _T:
    """Copy the tensors in ``value`` to the host, and wait for them."""
    return map_tensors(lambda tensor: tensor.detach().cpu(), value)


def array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; it shares the memory of a tensor on the host."""
    return to_host(tensor).numpy()


def number(tensor: Tensor) -> float:
    """Return the value of a tensor with one element."""
    return float(tensor.item())


def numbers(values: Sequence[Tensor | int]) -> list[float]:
    """Return the values of scalars of one kind, read from the device in one copy."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) != len(values):
        return [float(value) for value in values]
    if len(tensors) == 1:
        return [number(tensors[0])]
    return [float(value) for value in to_host(torch.stack(tensors)).tolist()]


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all entries of all tensors are finite, with one copy from the device."""
    flags = [tensor.isfinite().all() for tensor in tensors]
    return not flags or bool(number(torch.stack(flags).all()))


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has finished its work; the host has always."""
    if device.type != HOST.type:
        torch.get_device_module(device.type).synchronize(*_index(device))


def steps_per_read(device: torch.device) -> int:
    """Return the number of training steps per read of the loss.

    The loss is read after every step on a CPU. Elsewhere a read waits for the device, and is rare.
    """
    return 1 if device.type == HOST.type else _READ_EVERY
