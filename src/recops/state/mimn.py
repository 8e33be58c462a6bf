"""Parameters and state of a multi-channel user interest memory network (MIMN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, check_flag, check_integer, check_number, check_tensor
from recops.state._memory import MAX_SIZE, MemoryHolder, check_kind, check_tensors, register_memory


@dataclass(frozen=True, eq=False)
class MimnParams(MemoryHolder):
    """Parameters of a MIMN, checked at construction; see :func:`recops.mimn_scan`.

    D is the width of inputs and of the memory, H the hidden size, m the number of slots, and
    P = 4 D + 6. Weights of GRUs are in the order r, z, n, with one bias.

    Attributes:
        controller_w_ih: ``[3H, 2D]``, for the input [x, read].
        controller_w_hh: ``[3H, H]``.
        controller_bias: ``[3H]``.
        head_w: ``[P, H + m]``, for the input [hidden; usage / usage_scale]. The rows are read key
            D, read beta 1, write key D, write beta 1, shift 3, gamma 1, erase D, add D. For
            utilization "none" the columns of usage are ignored.
        head_b: ``[P]``.
        key_memory: ``[m, D]``, already through tanh, or None.
        usage_w: ``[m, m]``, for utilization "paper".
        induction_w_ih: ``[3D, 2D]``, for the input [x, slot].
        induction_w_hh: ``[3D, D]``.
        induction_bias: ``[3D]``.
        out_w: ``[H, H + D]``, for the input [hidden; read].
        out_b: ``[H]``.
        memory_init: ``[m, D]``.
        read_init: ``[D]``.
        usage_scale: divisor of usage, about the length of histories.

    Raises:
        TypeError, ValueError: a tensor has another dtype, device or shape, or ``usage_scale`` is
            not positive.
    """

    controller_w_ih: Tensor
    controller_w_hh: Tensor
    controller_bias: Tensor
    head_w: Tensor
    head_b: Tensor
    key_memory: Tensor | None
    usage_w: Tensor
    induction_w_ih: Tensor
    induction_w_hh: Tensor
    induction_bias: Tensor
    out_w: Tensor
    out_b: Tensor
    memory_init: Tensor
    read_init: Tensor
    usage_scale: float = 400.0

    def __post_init__(self) -> None:
        check_tensor("MimnParams", "memory_init", self.memory_init, ndim=2, dtypes=FLOATS)
        check_tensor("MimnParams", "controller_w_hh", self.controller_w_hh, ndim=2, dtypes=FLOATS)
        d, h, m = self.input_size, self.hidden_size, self.num_slots
        if min(d, h, m) < 1:
            raise ValueError(f"MimnParams: sizes must be at least 1, got D={d}, H={h}, m={m}")
        check_number("MimnParams", "usage_scale", self.usage_scale, least=1e-30, most=1e30)
        expected: dict[str, tuple[object, tuple[int, ...]]] = {
            "controller_w_ih": (self.controller_w_ih, (3 * h, 2 * d)),
            "controller_w_hh": (self.controller_w_hh, (3 * h, h)),
            "controller_bias": (self.controller_bias, (3 * h,)),
            "head_w": (self.head_w, (4 * d + 6, h + m)),
            "head_b": (self.head_b, (4 * d + 6,)),
            "usage_w": (self.usage_w, (m, m)),
            "induction_w_ih": (self.induction_w_ih, (3 * d, 2 * d)),
            "induction_w_hh": (self.induction_w_hh, (3 * d, d)),
            "induction_bias": (self.induction_bias, (3 * d,)),
            "out_w": (self.out_w, (h, h + d)),
            "out_b": (self.out_b, (h,)),
            "memory_init": (self.memory_init, (m, d)),
            "read_init": (self.read_init, (d,)),
        }
        if self.key_memory is not None:
            expected["key_memory"] = (self.key_memory, (m, d))
        check_tensors("MimnParams", self.memory_init, expected, dtypes=FLOATS)

    @property
    def input_size(self) -> int:
        """Width of inputs and of a slot, D."""
        return self.memory_init.shape[1]

    @property
    def hidden_size(self) -> int:
        """Width of the controller's state, H."""
        return self.controller_w_hh.shape[1]

    @property
    def num_slots(self) -> int:
        """Number of slots, m."""
        return self.memory_init.shape[0]

    @staticmethod
    def random(
        *, input_size: int, hidden_size: int, num_slots: int, seed: int = 0, key_memory: bool = True
    ) -> MimnParams:
        """Draw initial float32 parameters, identical for the same ``seed``.

        Weights are uniform within ±1/√inputs. Biases are 1 for gates and 0 otherwise. Static keys
        are tanh of normal values with standard deviation 0.5. Initial slots have standard deviation
        0.1: with the published value of about 1e-5 their cosines are noise.
        """
        for name, size in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_slots", num_slots),
        ):
            check_integer("MimnParams.random", name, size, least=1, most=MAX_SIZE)
        check_integer("MimnParams.random", "seed", seed, most=2**63 - 1)
        check_flag("MimnParams.random", "key_memory", key_memory)
        random = torch.Generator("cpu").manual_seed(int(seed))
        kind: Any = {"dtype": torch.float32, "device": "cpu"}

        def normal(scale: float, *shape: int) -> Tensor:
            return scale * torch.randn(shape, generator=random, **kind)

        def weights(rows: int, columns: int) -> Tensor:
            values = torch.rand(rows, columns, generator=random, **kind)
            scaled: Tensor = (2 * values - 1) * columns**-0.5
            return scaled

        def bias(size: int) -> Tensor:
            return torch.cat([torch.ones(2 * size, **kind), torch.zeros(size, **kind)])

        d, h, m = int(input_size), int(hidden_size), int(num_slots)
        return MimnParams(
            controller_w_ih=weights(3 * h, 2 * d),
            controller_w_hh=weights(3 * h, h),
            controller_bias=bias(h),
            head_w=weights(4 * d + 6, h + m),
            head_b=torch.zeros(4 * d + 6, **kind),
            key_memory=normal(0.5, m, d).tanh() if key_memory else None,
            usage_w=weights(m, m),
            induction_w_ih=weights(3 * d, 2 * d),
            induction_w_hh=weights(3 * d, d),
            induction_bias=bias(d),
            out_w=weights(h, h + d),
            out_b=torch.zeros(h, **kind),
            memory_init=normal(0.1, m, d).tanh(),
            read_init=normal(0.1, d).tanh(),
        )


@dataclass(frozen=True, eq=False)
class MimnState(MemoryHolder):
    """MIMN states of n users, one row per user, checked at construction.

    All tensors except ``count`` have the same dtype, float32 or float64.

    Attributes:
        hidden: ``[n, H]``, the controller's state.
        read: ``[n, D]``, the result of the last read.
        memory: ``[n, m, D]``.
        usage: ``[n, m]``, the sum of write weights.
        added: ``[n, D]``, the sum over events of the mean over slots of the added values.
        channels: ``[n, m, D]``, the states of the induction unit.
        pooled: ``[n, D]``, the sum of inputs.
        count: ``[n]`` int64, events so far.

    Raises:
        TypeError, ValueError: a tensor has another dtype, device or shape.
    """

    hidden: Tensor
    read: Tensor
    memory: Tensor
    usage: Tensor
    added: Tensor
    channels: Tensor
    pooled: Tensor
    count: Tensor

    def __post_init__(self) -> None:
        floats = (torch.float32, torch.float64)
        check_tensor("MimnState", "memory", self.memory, ndim=3, dtypes=floats)
        check_tensor("MimnState", "hidden", self.hidden, ndim=2, dtypes=floats)
        n, m, d = self.memory.shape
        expected = {
            "hidden": (self.hidden, (n, self.hidden.shape[1])),
            "read": (self.read, (n, d)),
            "usage": (self.usage, (n, m)),
            "added": (self.added, (n, d)),
            "channels": (self.channels, (n, m, d)),
            "pooled": (self.pooled, (n, d)),
        }
        counts = {"count": (self.count, (n,))}
        check_tensors("MimnState", self.memory, expected, dtypes=floats, counts=counts)

    @property
    def num_rows(self) -> int:
        """Number of users, n."""
        return self.memory.shape[0]

    def floats(self) -> list[Tensor]:
        """Return the floating tensors, in the order of the fields."""
        first = [self.hidden, self.read, self.memory, self.usage]
        return [*first, self.added, self.channels, self.pooled]

    @staticmethod
    def zeros(params: MimnParams, n: int) -> MimnState:
        """Return the state of n users before any event: initial memory and read, zero otherwise.

        The dtype is float64 for float64 parameters, else float32. Differentiable in the initial
        values.
        """
        check_kind("MimnState.zeros", "params", params, MimnParams)
        check_integer("MimnState.zeros", "n", n)
        init = params.memory_init
        init = init if init.dtype == torch.float64 else init.float()
        d, h, m = params.input_size, params.hidden_size, params.num_slots
        return MimnState(
            hidden=init.new_zeros(n, h),
            read=params.read_init.to(init.dtype).expand(n, d).contiguous(),
            memory=init.expand(n, m, d).contiguous(),
            usage=init.new_zeros(n, m),
            added=init.new_zeros(n, d),
            channels=init.new_zeros(n, m, d),
            pooled=init.new_zeros(n, d),
            count=torch.zeros(n, dtype=torch.int64, device=init.device),
        )


register_memory(MimnParams)
register_memory(MimnState)
