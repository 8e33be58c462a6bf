"""What parameters and states of memory networks share: checks, ``to``, ``state_dict``, pytrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from recops._checks import check_device, check_tensor

MOST = 1024  # wide: of an event, a state, or a memory's slots

HolderT = TypeVar("HolderT", bound="MemoryHolder")


class MemoryHolder:
    """A frozen dataclass of tensors, tuples of tensors, None and plain numbers."""

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each tensor with its name, those of a tuple as ``name.0``, ``name.1``, …"""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                yield field.name, value
            elif isinstance(value, tuple):
                for i, tensor in enumerate(value):
                    yield f"{field.name}.{i}", tensor

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return dict(self.named_tensors())

    def to(
        self: HolderT,
        target: torch.device | torch.dtype | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        device: torch.device | str | None = None,
    ) -> HolderT:
        """The same on another device, with floating tensors of another dtype, or both.

        Args:
            target: a device, or a dtype where nothing else is given.
            dtype: of the floating tensors.
            device: the same as a device for ``target``.

        Raises:
            TypeError: nothing is given, one thing twice, or neither a device nor a dtype.
            ValueError: no such device.
        """
        op = f"{type(self).__name__}.to"
        where, floats = _place(op, target, dtype, device)

        def moved(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(moved, value))
            if not isinstance(value, Tensor):
                return value
            return value.to(where, floats if value.is_floating_point() else None)

        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return replace(self, **{name: moved(getattr(self, name)) for name in names})  # type: ignore[type-var]


def _place(
    op: str, target: object, dtype: object, device: object
) -> tuple[torch.device | None, torch.dtype | None]:
    """The device and the dtype that are asked for, one of them at least.

    Raises:
        TypeError: nothing is given, one thing twice, or neither a device nor a dtype.
        ValueError: no such device.
    """
    name, given = "device", f"target {target!r}, dtype {dtype!r} and device {device!r}"
    if isinstance(target, torch.dtype):
        if dtype is not None:
            raise TypeError(f"{op}: the dtype must be given once, got {given}")
        target, dtype = None, target
    elif target is not None:
        if device is not None:
            raise TypeError(f"{op}: the device must be given once, got {given}")
        name, device = "target", target
    if dtype is None and device is None:
        raise TypeError(f"{op}: a device or a dtype must be given, got None")
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"{op}: dtype must be a torch.dtype, got {type(dtype).__name__}")
    return None if device is None else check_device(op, name, device), dtype


def check_tensors(
    holder: str,
    like: object,
    due: Mapping[str, tuple[object, tuple[int, ...]]],
    dtypes: tuple[torch.dtype, ...],
) -> None:
    """Each tensor has its shape, on the device and of the dtype of ``like``, one of ``dtypes``.

    Raises:
        TypeError, ValueError: one has not.
    """
    for name, (tensor, shape) in due.items():
        check_tensor(holder, name, tensor, ndim=len(shape), dtypes=dtypes)
        assert isinstance(tensor, Tensor)
        assert isinstance(like, Tensor)
        if tensor.dtype != like.dtype:
            raise TypeError(f"{holder}: {name} must be {like.dtype}, got {tensor.dtype}")
        if tensor.device != like.device:
            raise ValueError(f"{holder}: {name} must be on {like.device}, got {tensor.device}")
        if any(size != wanted for size, wanted in zip(tensor.shape, shape, strict=True)):
            raise ValueError(f"{holder}: {name} must be {shape}, got {tuple(tensor.shape)}")


def check_kind(op: str, name: str, value: object, kind: type) -> None:
    """``value`` is parameters, or a state, of this kind of network.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{op}: {name} must be {kind.__name__}, got {type(value).__name__}")


def register_memory(kind: type[MemoryHolder]) -> None:
    """Make a pytree of the holder, so that compiled and exported programs take and return it.

    Trees are also rebuilt of what are no tensors, so this way in has no checks.
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
