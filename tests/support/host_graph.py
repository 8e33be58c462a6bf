"""Graphs of torch ops on the host, with the rules of a CUDA graph.

A capture records ops and their tensors. A replay calls the same ops on the same tensors, so values
that Python has read, and sizes that depend on values, stay those of the capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode


class _Call(NamedTuple):
    function: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    outputs: list[Tensor]
    """New tensors, in the order of the function's results; views and targets are left out."""
    positions: list[int]


class HostGraph(TorchDispatchMode):
    """Record of the ops within the context; they run as usual."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[_Call] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        inputs = {_address(leaf) for leaf in _tensors((args, kwargs))}
        outputs = _tensors(result)
        new = [i for i, output in enumerate(outputs) if _address(output) not in inputs]
        self._calls.append(_Call(func, args, kwargs, [outputs[i] for i in new], new))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Call the recorded ops again. Their results go to the tensors of the capture."""
        for call in self._calls:
            results = _tensors(call.function(*call.args, **call.kwargs))
            for output, position in zip(call.outputs, call.positions, strict=True):
                if output.shape != results[position].shape:
                    raise RuntimeError(
                        f"{call.function}: a size depends on values, "
                        f"{tuple(output.shape)} and {tuple(results[position].shape)}"
                    )
                output.copy_(results[position])


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    """Return the address of a tensor's memory; a tensor on the fake device has it on the host."""
    values: Tensor = getattr(tensor, "on_host", tensor)
    return values.untyped_storage().data_ptr()
