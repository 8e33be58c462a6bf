"""Devices: choice by name, random generators, and copies of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from recops_models.training import device as devices
from recops_models.training.device import (
    HOST,
    all_finite,
    auto_device,
    autocast,
    device_of,
    fork_generators,
    generator_states,
    map_tensors,
    numbers,
    resolve_device,
    set_generator_states,
    to_device,
)
from recops_models.training.device_batches import device_batches

META = torch.device("meta")
"""Device without memory, which stands for a device other than the host."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the number of devices of each backend."""

    def set_counts(**counts: int) -> None:
        known = {"cpu": 1, "cuda": 0, "mps": 0, "xpu": 0, **counts}
        monkeypatch.setattr(
            devices, "_COUNT", {kind: lambda n=count: n for kind, count in known.items()}
        )
        monkeypatch.setattr(devices, "_auto", ContextVar("auto", default=None))

    return set_counts


def test_names_of_devices(machine: Callable[..., None]) -> None:
    machine(cuda=2, mps=1, xpu=1)
    for name, device in {
        "auto": torch.device("cuda", 0),
        "cpu": HOST,
        "cuda": torch.device("cuda", 0),
        "cuda:1": torch.device("cuda", 1),
        "mps": torch.device("mps"),
        "xpu": torch.device("xpu", 0),
    }.items():
        assert resolve_device(name) == device
    assert resolve_device(META) == META


def test_auto_is_the_cpu_without_cuda(machine: Callable[..., None]) -> None:
    machine(mps=1)
    assert resolve_device() == HOST
    with auto_device(META):
        assert resolve_device("auto") == META
        assert resolve_device("cpu") == HOST
    assert resolve_device() == HOST


@pytest.mark.parametrize(
    ("name", "counts", "message"),
    [
        ("cuda", {}, r"device must be available, got cuda; this machine has cpu$"),
        ("cuda:2", {"cuda": 2}, r"got cuda:2; this machine has cpu, cuda:0, cuda:1$"),
        ("xpu:1", {"xpu": 1, "mps": 1}, r"got xpu:1; this machine has cpu, mps, xpu$"),
        (
            "mps:0",
            {"mps": 1},
            r"device must be auto, cpu, cuda\[:i\], mps or xpu\[:i\], got 'mps:0'",
        ),
        ("tpu", {}, "got 'tpu'"),
        ("", {}, "got ''"),
    ],
)
def test_other_devices_are_refused(
    name: str, counts: dict[str, int], message: str, machine: Callable[..., None]
) -> None:
    machine(**counts)
    with pytest.raises(ValueError, match=message):
        resolve_device(name)


class Generator:
    """Module of a device with a random generator, as ``torch.cuda`` is one."""

    def __init__(self) -> None:
        self.state = torch.tensor([1, 2], dtype=torch.uint8)

    def get_rng_state(self, device: torch.device) -> Tensor:
        return self.state.clone()

    def set_rng_state(self, state: Tensor, device: torch.device) -> None:
        self.state = state


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """Return the generator that torch has for every device other than the CPU."""
    module = Generator()
    monkeypatch.setattr(torch, "get_device_module", lambda kind: module)
    return module


def test_the_generators_of_host_and_device_are_restored(generator: Generator) -> None:
    device = torch.device("cuda", 0)
    before = generator_states(device)
    assert before.keys() == {"cpu", "cuda"}
    with fork_generators(device, 7):
        drawn = torch.rand(3)
        generator.state = torch.tensor([9], dtype=torch.uint8)
    assert all(torch.equal(generator_states(device)[kind], before[kind]) for kind in before)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), drawn)


def test_generators_are_restored_as_far_as_states_have_them(generator: Generator) -> None:
    host = generator_states(HOST)
    assert host.keys() == {"cpu"}
    torch.rand(1)
    set_generator_states(torch.device("cuda", 0), host)
    assert torch.equal(torch.get_rng_state(), host["cpu"])
    assert generator.state.tolist() == [1, 2]


def test_a_fork_without_a_seed_keeps_the_states() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with fork_generators(HOST):
        assert torch.equal(torch.rand(2), expected)
    assert torch.equal(torch.rand(2), expected)


def test_precision_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with autocast(HOST, "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        with autocast(HOST, "float32"):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: False)
    with autocast(META, "float32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match="precision must be float32 on meta, got bf16"):
        autocast(META, "bf16")


class Pair(NamedTuple):
    first: Tensor
    second: dict[str, Tensor]


def test_tensors_are_mapped_in_nested_values() -> None:
    one = torch.tensor(1)
    value = (Pair(one, {"a": one, "b": torch.tensor(2)}), [torch.tensor(3)], None, 4)
    pair, listed, *others = map_tensors(lambda tensor: tensor + 1, value)
    assert isinstance(pair, Pair)
    assert (int(pair.first), int(pair.second["b"])) == (2, 3)
    assert pair.second["a"] is pair.first
    assert listed == [torch.tensor(4)]
    assert others == [None, 4]
    assert to_device(value, HOST) is value
    assert to_device(pair, META).second["a"].device == META


def test_batches_arrive_in_order_on_the_device() -> None:
    batches = [(0.1 * i, {"x": torch.zeros(i + 1)}) for i in range(7)]
    moved = list(device_batches(iter(batches), META))
    assert [share for share, _ in moved] == [share for share, _ in batches]
    assert [part["x"].shape for _, part in moved] == [part["x"].shape for _, part in batches]
    assert {part["x"].device for _, part in moved} == {META}
    assert all(a is b for a, b in zip(device_batches(iter(batches), HOST), batches, strict=True))


def test_an_error_of_the_batches_reaches_the_training() -> None:
    def batches() -> Iterator[Tensor]:
        yield torch.zeros(1)
        raise OSError("the file is gone")

    moved = device_batches(batches(), META)
    next(moved)
    with pytest.raises(OSError, match="the file is gone"):
        next(moved)


def test_reads_of_scalars() -> None:
    assert numbers([torch.tensor(0.5), torch.tensor(2.0)]) == [0.5, 2.0]
    assert numbers([torch.tensor(3)]) == [3.0]
    assert numbers([3, 4]) == [3.0, 4.0]
    assert all_finite([])
    assert all_finite([torch.ones(2), torch.zeros(1, 2)])
    assert not all_finite([torch.ones(2), torch.tensor([1.0, float("nan")])])


def test_the_device_of_a_module_is_that_of_its_tensors() -> None:
    assert device_of(nn.Linear(2, 2, device=META)) == META
    assert device_of(nn.BatchNorm1d(2, affine=False, device=META)) == META
    assert device_of(nn.ReLU()) == HOST
