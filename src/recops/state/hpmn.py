"""Parameters and state of a hierarchical periodic memory network (HPMN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recops._checks import FLOATS, check_integer, check_list, check_tensor
from recops.state._memory import MAX_SIZE, MemoryHolder, check_kind, check_tensors, register_memory

MAX_SLOTS = 64  # periods usually double, and 2⁶⁴ events are never reached
_READER_WIDTHS = (80, 40)  # widths of the hidden layers of the reading network


@dataclass(frozen=True, eq=False)
class HpmnParams(MemoryHolder):
    """Parameters of an HPMN, checked at construction; see :func:`recops.hpmn_scan`.

    I is the width of inputs, H the width of a slot and m the number of slots. Weights of GRUs are
    in the order r, z, n, with one bias.

    Attributes:
        w_ih: m tensors, the first ``[3H, I]`` and the others ``[3H, H]``.
        w_hh: ``[m, 3H, H]``.
        bias: ``[m, 3H]``.
        query_w: ``[H, I]``.
        query_b: ``[H]``.
        w1: ``[hops, 80, 4H]``, for the input [q; slot; q − slot; q · slot].
        b1: ``[hops, 80]``.
        w2: ``[hops, 40, 80]``.
        b2: ``[hops, 40]``.
        w3: ``[hops, 40]``.
        b3: ``[hops]``.
        hop_map: ``[H, H]``.

    Raises:
        TypeError, ValueError: a tensor has another dtype, device or shape.
    """

    w_ih: tuple[Tensor, ...]
    w_hh: Tensor
    bias: Tensor
    query_w: Tensor
    query_b: Tensor
    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor
    hop_map: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "w_ih", tuple(check_list("HpmnParams", "w_ih", self.w_ih)))
        check_tensor("HpmnParams", "w_hh", self.w_hh, ndim=3, dtypes=FLOATS)
        check_tensor("HpmnParams", "query_w", self.query_w, ndim=2, dtypes=FLOATS)
        check_tensor("HpmnParams", "w1", self.w1, ndim=3, dtypes=FLOATS)
        h, i, m, hops = self.hidden_size, self.input_size, self.num_slots, self.w1.shape[0]
        if min(h, i, m, hops) < 1:
            raise ValueError(
                f"HpmnParams: sizes must be at least 1, got H={h}, I={i}, m={m}, hops={hops}"
            )
        if len(self.w_ih) != m:
            raise ValueError(f"HpmnParams: w_ih must hold {m} tensors, got {len(self.w_ih)}")
        wide, narrow = _READER_WIDTHS
        expected: dict[str, tuple[object, tuple[int, ...]]] = {
            "w_hh": (self.w_hh, (m, 3 * h, h)),
            "bias": (self.bias, (m, 3 * h)),
            "query_w": (self.query_w, (h, i)),
            "query_b": (self.query_b, (h,)),
            "w1": (self.w1, (hops, wide, 4 * h)),
            "b1": (self.b1, (hops, wide)),
            "w2": (self.w2, (hops, narrow, wide)),
            "b2": (self.b2, (hops, narrow)),
            "w3": (self.w3, (hops, narrow)),
            "b3": (self.b3, (hops,)),
            "hop_map": (self.hop_map, (h, h)),
        }
        for j, weights in enumerate(self.w_ih):
            expected[f"w_ih[{j}]"] = (weights, (3 * h, h if j else i))
        check_tensors("HpmnParams", self.w_hh, expected, dtypes=FLOATS)

    @property
    def input_size(self) -> int:
        """Width of inputs, I."""
        return self.query_w.shape[1]

    @property
    def hidden_size(self) -> int:
        """Width of a slot, H."""
        return self.w_hh.shape[2]

    @property
    def num_slots(self) -> int:
        """Number of slots, m."""
        return self.w_hh.shape[0]

    @staticmethod
    def random(
        *, input_size: int, hidden_size: int, num_slots: int, hops: int = 3, seed: int = 0
    ) -> HpmnParams:
        """Draw initial float32 parameters, identical for the same ``seed``.

        Weights are uniform within ±1/√inputs. Biases are 1 for gates and 0 otherwise.
        """
        for name, size, most in (
            ("input_size", input_size, MAX_SIZE),
            ("hidden_size", hidden_size, MAX_SIZE),
            ("num_slots", num_slots, MAX_SLOTS),
            ("hops", hops, MAX_SLOTS),
        ):
            check_integer("HpmnParams.random", name, size, least=1, most=most)
        check_integer("HpmnParams.random", "seed", seed, most=2**63 - 1)
        random = torch.Generator("cpu").manual_seed(int(seed))
        kind: Any = {"dtype": torch.float32, "device": "cpu"}

        def weights(*shape: int) -> Tensor:
            values = torch.rand(shape, generator=random, **kind)
            scaled: Tensor = (2 * values - 1) * shape[-1] ** -0.5
            return scaled

        i, h, m, hops = int(input_size), int(hidden_size), int(num_slots), int(hops)
        wide, narrow = _READER_WIDTHS
        bias = torch.cat([torch.ones(2 * h, **kind), torch.zeros(h, **kind)])
        return HpmnParams(
            w_ih=tuple(weights(3 * h, h if j else i) for j in range(m)),
            w_hh=weights(m, 3 * h, h),
            bias=bias.repeat(m, 1),
            query_w=weights(h, i),
            query_b=torch.zeros(h, **kind),
            w1=weights(hops, wide, 4 * h),
            b1=torch.zeros(hops, wide, **kind),
            w2=weights(hops, narrow, wide),
            b2=torch.zeros(hops, narrow, **kind),
            w3=weights(hops, narrow),
            b3=torch.zeros(hops, **kind),
            hop_map=weights(h, h),
        )


@dataclass(frozen=True, eq=False)
class HpmnState(MemoryHolder):
    """HPMN states of n users, one row per user, checked at construction.

    Attributes:
        memory: ``[n, m, H]`` float32 or float64.
        count: ``[n]`` int64, events so far; it determines which slots the next event updates.

    Raises:
        TypeError, ValueError: a tensor has another dtype, device or shape.
    """

    memory: Tensor
    count: Tensor

    def __post_init__(self) -> None:
        floats = (torch.float32, torch.float64)
        check_tensor("HpmnState", "memory", self.memory, ndim=3, dtypes=floats)
        counts = {"count": (self.count, (self.memory.shape[0],))}
        check_tensors("HpmnState", self.memory, {}, dtypes=floats, counts=counts)

    @property
    def num_rows(self) -> int:
        """Number of users, n."""
        return self.memory.shape[0]

    @staticmethod
    def zeros(params: HpmnParams, n: int) -> HpmnState:
        """Return the state of n users before any event; float64 for float64 parameters."""
        check_kind("HpmnState.zeros", "params", params, HpmnParams)
        check_integer("HpmnState.zeros", "n", n)
        dtype = torch.float64 if params.w_hh.dtype == torch.float64 else torch.float32
        memory = params.w_hh.new_zeros(n, params.num_slots, params.hidden_size, dtype=dtype)
        return HpmnState(memory, torch.zeros(n, dtype=torch.int64, device=memory.device))


register_memory(HpmnParams)
register_memory(HpmnState)
