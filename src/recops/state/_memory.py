"""Base class and checks for parameters and states of memory networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from recops._checks import check_device, check_tensor
from recops.state._holder import map_tensors

MAX_SIZE = 1024  # largest width of an event or a state, and largest number of slots

HolderT = TypeVar("HolderT", bound="MemoryHolder")


class MemoryHolder:
    """Base class of frozen dataclasses of tensors, tuples of tensors, None and plain numbers."""

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each tensor with its name; tensors of a tuple are ``name.0``, ``name.1``, …"""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                yield field.name, value
            elif isinstance(value, tuple):
                for i, tensor in enumerate(value):
                    yield f"{field.name}.{i}", tensor

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return dict(self.named_tensors())

    def to(
        self: HolderT,
        target: torch.device | torch.dtype | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        device: torch.device | str | None = None,
    ) -> HolderT:
        """Move to another device, convert the floating tensors to another dtype, or both.

        Args:
            target: a device or a dtype.
            dtype: dtype of the floating tensors.
            device: alternative to a device as ``target``.

        Returns:
            A new holder, or this one if device and dtypes are as asked for.

        Raises:
            TypeError: no device and no dtype is given, one is given twice, or a type is wrong.
            ValueError: the device does not exist.
        """
        op = f"{type(self).__name__}.to"
        new_device, float_dtype = _resolve_target(op, target, dtype, device)

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(new_device, float_dtype if tensor.is_floating_point() else None)

        return map_tensors(self, moved)


def _resolve_target(
    op: str, target: object, dtype: object, device: object
) -> tuple[torch.device | None, torch.dtype | None]:
    """Return the requested device and dtype; at most one of them is None.

    Raises:
        TypeError: no device and no dtype is given, one is given twice, or a type is wrong.
        ValueError: the device does not exist.
    """
    name, arguments = "device", f"target {target!r}, dtype {dtype!r} and device {device!r}"
    if isinstance(target, torch.dtype):
        if dtype is not None:
            raise TypeError(f"{op}: the dtype must be given once, got {arguments}")
        target, dtype = None, target
    elif target is not None:
        if device is not None:
            raise TypeError(f"{op}: the device must be given once, got {arguments}")
        name, device = "target", target
    if dtype is None and device is None:
        raise TypeError(f"{op}: a device or a dtype must be given, got None")
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"{op}: dtype must be a torch.dtype, got {type(dtype).__name__}")
    return None if device is None else check_device(op, name, device), dtype


def check_tensors(
    holder: str,
    like: Tensor,
    expected: Mapping[str, tuple[object, tuple[int, ...]]],
    *,
    dtypes: tuple[torch.dtype, ...],
    counts: Mapping[str, tuple[object, tuple[int, ...]]] | None = None,
) -> None:
    """Check the dtype, device and shape of all tensors of a holder.

    Args:
        holder: name of the holder, for the message.
        like: tensor whose device all tensors have.
        expected: value and shape of each floating tensor; all have the dtype of ``like``.
        dtypes: dtypes that the floating tensors may have.
        counts: value and shape of each int64 tensor.

    Raises:
        TypeError: a value is not a tensor, or has another dtype.
        ValueError: a tensor has another device, shape or layout.
    """
    for name, (tensor, shape) in {**expected, **(counts or {})}.items():
        is_count = counts is not None and name in counts
        allowed = (torch.int64,) if is_count else dtypes
        check_tensor(holder, name, tensor, ndim=len(shape), dtypes=allowed, device=like.device)
        assert isinstance(tensor, Tensor)
        if not is_count and tensor.dtype != like.dtype:
            raise TypeError(f"{holder}: {name} must be {like.dtype}, got {tensor.dtype}")
        if any(size != length for size, length in zip(tensor.shape, shape, strict=True)):
            raise ValueError(f"{holder}: {name} must be {shape}, got {tuple(tensor.shape)}")


def check_kind(op: str, name: str, value: object, kind: type) -> None:
    """Check that ``value`` is an instance of ``kind``, a parameter or state class.

    Raises:
        TypeError: ``value`` has another type.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{op}: {name} must be {kind.__name__}, got {type(value).__name__}")


def register_memory(kind: type[MemoryHolder]) -> None:
    """Register a holder as a pytree, so that compiled and exported programs take and return it.

    Unflattening skips the checks, because torch also builds trees whose leaves are not tensors.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]

    def flatten(holder: Any) -> tuple[list[Any], None]:
        return [getattr(holder, name) for name in names], None

    def unflatten(values: Any, _: None) -> Any:
        holder = object.__new__(kind)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(holder, name, value)
        return holder

    def flatten_with_keys(holder: Any) -> tuple[list[tuple[_pytree.KeyEntry, Any]], None]:
        values, context = flatten(holder)
        keys = [_pytree.GetAttrKey(name) for name in names]
        return list(zip(keys, values, strict=True)), context

    _pytree.register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=f"recops.{kind.__name__}",
        flatten_with_keys_fn=flatten_with_keys,
    )
