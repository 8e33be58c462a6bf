"""Replacement of CPU kernels by composites of the same ops, or by the ops of another device."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import recops
from recops._dtypes import widest_dtype
from recops.ops._composite import COMPOSITES, composite
from recops.ops._data_errors import raise_data_errors

_WARNING = r"[\s\S]*Overriding a previously registered kernel"
_IN_PYTHON = (
    "cosine_nearest_codes",
    "cosine_rq_encode",
    "pack_codes",
    "straight_through",
    "straight_through_backward",
    "unpack_codes",
)
"""Ops without a composite, whose Python code runs on every device."""


def ops_with_tensors() -> set[str]:
    """Return the names of the ops that take a tensor."""
    names = set()
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("recops::"):
            op = name.removeprefix("recops::")
            schema = getattr(torch.ops.recops, op).default._schema
            if any("Tensor" in str(argument.type) for argument in schema.arguments):
                names.add(op)
    return names


def composites_on_cpu() -> AbstractContextManager[None]:
    """Run composites instead of CPU kernels, for every op that has a composite."""
    return _cpu_kernels({op: composite(op) for op in COMPOSITES})


class CompositesMode(TorchDispatchMode):
    """Runs composites instead of kernels, and shows :meth:`record` every op of torch they call.

    Args:
        others: modes of functions that must be active within a composite too.
    """

    def __init__(self, *others: AbstractContextManager[Any]) -> None:
        super().__init__()
        self._others = others

    @abstractmethod
    def record(self, func: Any, name: str, args: Sequence[Any]) -> None:
        """Record an op before its call, by its name without an overload."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.__name__.partition(".")[0]
        if func.namespace == "recops" and name in COMPOSITES:
            with ExitStack() as stack:
                for mode in (self, *self._others):
                    stack.enter_context(mode)
                return composite(name)(*args)
        self.record(func, name, args)
        return func(*args, **(kwargs or {}))


@contextmanager
def ops_on(device: torch.device) -> Iterator[None]:
    """Run every op on a device: move its tensors there, and its results back to the CPU.

    Inputs and expectations of a test stay on the CPU, and so do the ops of torch between calls.
    Data is checked as on the CPU. Where a device has no float64, calls with float64 run composites
    on the CPU.
    """
    kernels = {op: on_device(op, device) for op in (*COMPOSITES, *_IN_PYTHON)}
    with _cpu_kernels(kernels), recops.debug():
        yield


def on_device(
    op: str, device: torch.device, call: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return the op of a device, as a function of CPU tensors.

    Args:
        op: name of the op.
        device: where the op runs.
        call: the op; by default the one that torch selects for the device.
    """
    overload = getattr(torch.ops.recops, op).default
    call = overload if call is None else call
    is_written = [
        bool(each.alias_info and each.alias_info.is_write) for each in overload._schema.arguments
    ]

    def run(*arguments: Any) -> Any:
        tensors = [each for each in tree_leaves(arguments) if isinstance(each, Tensor)]
        is_float64 = any(tensor.dtype == torch.float64 for tensor in tensors)
        if is_float64 and widest_dtype(device) == torch.float32:
            return overload._op_dk(DispatchKey.CompositeExplicitAutograd, *arguments)
        moved = tree_map_only(Tensor, lambda tensor: tensor.to(device, copy=True), arguments)
        results = call(*moved)
        written = [each for each, changes in zip(moved, is_written, strict=False) if changes]
        for result in tree_leaves([results, written]):
            if isinstance(result, Tensor) and result.is_floating_point():
                raise_data_errors(op, moved, result)
        for argument, copy, written in zip(arguments, moved, is_written, strict=False):
            if written:
                for tensor, changed in zip(_listed(argument), _listed(copy), strict=True):
                    tensor.copy_(changed)
        return tree_map_only(Tensor, Tensor.cpu, results)

    return run


def _listed(argument: Tensor | list[Tensor]) -> list[Tensor]:
    return [argument] if isinstance(argument, Tensor) else argument


@contextmanager
def _cpu_kernels(kernels: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    library = torch.library.Library("recops", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_WARNING, category=UserWarning)
            for op, kernel in kernels.items():
                library.impl(op, kernel, "CPU")
        yield
    finally:
        library._destroy()
