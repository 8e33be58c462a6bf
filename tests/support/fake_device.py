"""A second device type for tests without a GPU, whose tensors hold their values in CPU tensors.

``torch.device("fake")`` behaves like an accelerator. An op refuses tensors of two devices, and
float64, which Apple's GPUs lack. Ops of this library run their composites. Everything that makes
the host wait for an accelerator is recorded, see :func:`host_waits`. The kernels of torch's own ops
are those of the CPU, so results can be compared with a run on the CPU. The fake device cannot show
which of torch's ops a real device lacks, or computes in a varying order.

torch takes one such device type per process and keeps it. Import this module only in a separate
process, such as those of ``tests/on_fake_device``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.utils import _pytree, backend_registration

NAME = "fake"
KEY, AUTOCAST_KEY = "PrivateUse1", "AutocastPrivateUse1"

_PACKAGES = ("recops", "recops_models", "recops_evidence")

_ATEN = torch.ops.aten
_CPU = torch.device("cpu")

# Ops that read values of their inputs on the host, such as the size of their result.
_READS = {
    _ATEN._coalesce,
    _ATEN._local_scalar_dense,
    _ATEN._unique,
    _ATEN._unique2,
    _ATEN.bincount,
    _ATEN.equal,
    _ATEN.histc,
    _ATEN.is_nonzero,
    _ATEN.masked_select,
    _ATEN.nonzero,
    _ATEN.unique_consecutive,
    _ATEN.unique_dim,
}
_CUMULATIVE = {_ATEN.cumsum, _ATEN.cumsum_, _ATEN.cumprod, _ATEN.logcumsumexp}
_ADDING = {_ATEN.index_add, _ATEN.index_add_, _ATEN.scatter_add, _ATEN.scatter_add_}
_INDEXING = {_ATEN.index, _ATEN.index_put, _ATEN.index_put_, _ATEN._index_put_impl_}


class _Generator:
    """State of the device's random numbers; ops draw from it instead of the CPU's generator."""

    def __init__(self) -> None:
        self.state = torch.Generator("cpu").manual_seed(0).get_state()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let ops on CPU tensors draw from this generator."""
        cpu = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(cpu)


_GENERATOR = _Generator()


class _Module(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """``torch.fake``, with the functions that torch expects of every device type."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def manual_seed(self, seed: int) -> None:
        _GENERATOR.state = torch.Generator("cpu").manual_seed(seed).get_state()

    def manual_seed_all(self, seed: int) -> None:
        self.manual_seed(seed)

    def get_rng_state(self, device: object = None) -> Tensor:
        return _GENERATOR.state.clone()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        _GENERATOR.state = state.clone()

    def synchronize(self, device: object = None) -> None:
        _record("synchronize")


class FakeDeviceTensor(Tensor):
    """Tensor on the fake device.

    Attributes:
        on_host: CPU tensor with the same values, sizes and strides. Views of one tensor have views
            of one CPU tensor.
    """

    on_host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> FakeDeviceTensor:
        if values.dtype == torch.float64:
            raise TypeError("the fake device has no float64, like Apple's GPUs")
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=None if values.layout is not torch.strided else values.stride(),
            storage_offset=None if values.layout is not torch.strided else values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=DEVICE,
        )
        tensor.on_host = values
        return tensor

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"{NAME}({self.on_host!r})"

    def tolist(self) -> Any:
        """Return the values as lists; torch refuses this for subclasses."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run an op that has a tensor on the fake device, or makes one."""
    if func.namespace == "recops":
        return _run_composite(func, args, kwargs)
    if _is_compound(func):
        return func.decompose(*args, **kwargs)
    packet = func.overloadpacket
    if packet is _ATEN.copy_:
        return _copy(args[0], args[1], len(args) > 2 and args[2])
    leaves = _pytree.tree_leaves((args, kwargs))
    device = kwargs.get("device")
    stays = device is None or torch.device(device).type == NAME
    _check_devices(func, leaves)
    _check_generator(func, kwargs)
    if packet in _READS or (packet is _ATEN._to_copy and not stays) or _has_mask(packet, args):
        _record(packet.__name__)
    if _varies(packet, args):
        _note(_varying, packet.__name__)
    if packet is _ATEN.repeat_interleave and kwargs.get("output_size") is None:
        _record(packet.__name__)

    owners = {id(leaf.on_host): leaf for leaf in leaves if isinstance(leaf, FakeDeviceTensor)}
    host_args, host_kwargs = _pytree.tree_map(_host_value, (tuple(args), dict(kwargs)))
    if torch.Tag.nondeterministic_seeded in func.tags:
        with _GENERATOR.drawing():
            result = func(*host_args, **host_kwargs)
    else:
        result = func(*host_args, **host_kwargs)
    if not stays:
        return result

    def on_device(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        owner = owners.get(id(value))
        if owner is None:
            return FakeDeviceTensor(value)
        if owner.shape != value.shape:
            raise NotImplementedError(f"{func}: the fake device has no ops that resize a tensor")
        return owner

    return _pytree.tree_map(on_device, result)


@cache
def _is_compound(func: Any) -> bool:
    """Return whether the op consists of other ops; it arrives here only below autograd."""
    has_kernel: bool = func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
    return has_kernel


def _run_composite(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if not func.has_kernel_for_dispatch_key(DispatchKey.CompositeExplicitAutograd):
        raise NotImplementedError(f"{func} has no composite")
    _check_devices(func, _pytree.tree_leaves((args, kwargs)))
    return func._op_dk(DispatchKey.CompositeExplicitAutograd, *args, **kwargs)


def _copy(target: Tensor, source: Tensor, non_blocking: bool) -> Tensor:
    if not isinstance(target, FakeDeviceTensor):
        _record("copy to the host")
        target.copy_(_host_value(source))
    else:
        if not isinstance(source, FakeDeviceTensor) and not non_blocking:
            _record("blocking copy to the device")
        target.on_host.copy_(_host_value(source))
    return target


def _host_value(value: Any) -> Any:
    if isinstance(value, FakeDeviceTensor):
        return value.on_host
    if isinstance(value, torch.device) and value.type == NAME:
        return _CPU
    return value


def _check_devices(func: Any, leaves: Sequence[Any]) -> None:
    """Refuse CPU tensors next to tensors on the device; scalars may be on the CPU."""
    devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim() > 0}
    if len(devices) > 1 or (devices == {_CPU} and _has_device_tensor(leaves)):
        names = ", ".join(sorted(map(str, devices)))
        raise RuntimeError(f"{func}: all tensors must be on one device, got {names}")


def _has_device_tensor(leaves: Sequence[Any]) -> bool:
    return any(isinstance(leaf, FakeDeviceTensor) for leaf in leaves)


def _check_generator(func: Any, kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: generator must be on {NAME}, got one on the CPU")


def _has_mask(packet: Any, args: Sequence[Any]) -> bool:
    """Return whether an indexing op has a boolean index, whose true entries it must count."""
    if packet not in _INDEXING:
        return False
    return any(
        isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
    )


def _varies(packet: Any, args: Sequence[Any]) -> bool:
    """Return whether CUDA adds floats in an order that varies from run to run."""
    if packet in _CUMULATIVE:  # Along other dimensions CUDA adds in order.
        is_last = args[1] % max(args[0].dim(), 1) == args[0].dim() - 1
        return is_last and args[0].is_floating_point() and args[0].numel() > 1
    if packet not in _ADDING or not args[0].is_floating_point():
        return False
    target, dim, index, *_ = map(_host_value, args)
    if index.numel() == 0:
        return False
    if packet in (_ATEN.index_add, _ATEN.index_add_):
        return len(index.unique()) < index.numel()
    counts = torch.zeros(target.shape, dtype=torch.int64)
    counts.scatter_add_(dim, index, torch.ones_like(index))
    return int(counts.max()) > 1


# ---- Records

_records: list[list[str]] = []
_varying: list[list[str]] = []


@contextmanager
def host_waits() -> Iterator[list[str]]:
    """Record what makes the host wait for the device, as "op at file:line" of this project.

    These are reads of values and of sizes that depend on values, copies to the host, and blocking
    copies to the device.
    """
    with _recording(_records) as record:
        yield record


@contextmanager
def varying_sums() -> Iterator[list[str]]:
    """Record sums of floats whose order varies from run to run on CUDA, as "op at file:line".

    These are cumulative sums along the last dimension, and sums by an index with duplicates.
    """
    with _recording(_varying) as record:
        yield record


@contextmanager
def _recording(records: list[list[str]]) -> Iterator[list[str]]:
    record: list[str] = []
    records.append(record)
    try:
        yield record
    finally:
        # By identity: two empty lists are equal.
        records[:] = [each for each in records if each is not record]


def _record(op: str) -> None:
    _note(_records, op)


def _note(records: list[list[str]], op: str) -> None:
    if records:
        text = f"{op} at {_position()}"
        for record in records:
            record.append(text)


def _position() -> str:
    """Return module file and line of the innermost frame in a package of this project.

    The path starts at the package, which may be installed anywhere.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _PACKAGES:
            return f"{module.replace('.', '/')}.py:{frame.f_lineno}"
        frame = frame.f_back
    return "a place outside the packages"


# ---- Registration


def _register() -> torch.device:
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    # torch.tensor(…, device="fake") otherwise copies to the device below the Python dispatch key.
    torch._C._set_only_lift_cpu_tensors(True)
    return torch.device(NAME, 0)


DEVICE = _register()
_EVERY_OP = torch.library.Library("_", "IMPL")
_OPS = torch.library.Library("aten", "IMPL")
_LOWERED = {
    "linear": torch.nn.functional.linear,
    "matmul": torch.matmul,
    "mm": torch.mm,
    "bmm": torch.bmm,
    "addmm": torch.addmm,
    "baddbmm": torch.baddbmm,
    "prelu": torch.prelu,
}
"""Ops that autocast runs in 16 bits on CUDA, as far as the models use them."""


def _kernel(func: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: _run(func, args, kwargs)


def _register_kernels() -> None:
    _EVERY_OP.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), KEY)
    # torch's own kernels of these make an empty tensor and resize it.
    for name in ("arange", "arange.start", "arange.start_step", "linspace", "eye", "eye.m"):
        packet, _, overload = name.partition(".")
        _OPS.impl(name, _kernel(getattr(getattr(_ATEN, packet), overload or "default")), KEY)
    _EVERY_OP.fallback(torch.library.fallthrough_kernel, AUTOCAST_KEY)
    for name, function in _LOWERED.items():
        _OPS.impl(name, _lowered(function), AUTOCAST_KEY)
    _OPS.impl("_pin_memory", lambda tensor, device=None: tensor.clone(), "CPU")


def _lowered(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return ``function`` with arguments cast to the dtype of autocast."""

    def cast(value: Any) -> Any:
        is_float = isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float16)
        return value.to(torch.get_autocast_dtype(NAME)) if is_float else value

    def run(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast(NAME, enabled=False):
            return function(*map(cast, args), **kwargs)

    return run


_register_kernels()
