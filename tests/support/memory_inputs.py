"""Inputs for the tests of memory networks, and the papers' formulas for one event in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recops.state.hpmn import HpmnParams, HpmnState
from recops.state.mimn import MimnParams, MimnState

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
UTILIZATIONS = ["none", "paper", "code"]
Array = np.ndarray[Any, np.dtype[np.float64]]


def wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def map_tensors(holder: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return the holder with ``function`` applied to each floating-point tensor."""

    def mapped(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(mapped, value))
        return function(value) if isinstance(value, Tensor) and value.is_floating_point() else value

    return replace(holder, **{f.name: mapped(getattr(holder, f.name)) for f in fields(holder)})


def mimn_params(
    size: int = 5,
    hidden: int = 4,
    slots: int = 3,
    *,
    key_memory: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> MimnParams:
    """Return random parameters with nonzero biases and large head weights."""
    params = MimnParams.random(
        input_size=size, hidden_size=hidden, num_slots=slots, seed=seed, key_memory=key_memory
    )
    random = torch.Generator().manual_seed(seed + 1)
    params = map_tensors(params, lambda t: t + 0.3 * torch.randn(t.shape, generator=random))
    return replace(params, usage_scale=3.0).to(dtype)


def mimn_state(
    params: MimnParams, rows: int, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> MimnState:
    """Return the state of rows with earlier events."""
    random = torch.Generator().manual_seed(seed + 2)
    state = MimnState.zeros(params, rows)
    state = map_tensors(state, lambda t: t + 0.5 * torch.randn(t.shape, generator=random))
    state = replace(state, usage=state.usage.abs(), count=torch.arange(rows))
    return state.to(dtype)


def hpmn_params(
    size: int = 5,
    hidden: int = 4,
    slots: int = 3,
    *,
    hops: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> HpmnParams:
    params = HpmnParams.random(
        input_size=size, hidden_size=hidden, num_slots=slots, hops=hops, seed=seed
    )
    random = torch.Generator().manual_seed(seed + 1)
    params = map_tensors(params, lambda t: t + 0.3 * torch.randn(t.shape, generator=random))
    return params.to(dtype)


def hpmn_state(
    params: HpmnParams, rows: int, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> HpmnState:
    random = torch.Generator().manual_seed(seed + 2)
    shape = (rows, params.num_slots, params.hidden_size)
    memory = torch.randn(shape, generator=random, dtype=torch.float64)
    return HpmnState(memory.to(dtype), torch.randint(0, 9, (rows,), generator=random))


def own(holder: Any) -> Any:
    """Return a copy that shares no memory."""
    copies = {f.name: getattr(holder, f.name) for f in fields(holder)}
    return replace(holder, **{n: v.clone() for n, v in copies.items() if isinstance(v, Tensor)})


def shuffled_events(x: Tensor, lengths: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the events of all rows in calls of random size: rows shuffled, each row in order."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.repeat_interleave(torch.arange(len(x)), lengths)
    rows = rows[torch.randperm(len(rows), generator=random)]
    position = [0] * len(x)
    events = []
    for row in rows.tolist():
        events.append(x[row, position[row]])
        position[row] += 1
    begin = 0
    while begin < len(rows):
        end = begin + int(torch.randint(1, 90, (1,), generator=random))
        yield rows[begin:end], torch.stack(events[begin:end])
        begin = end


@dataclass
class MimnScan:
    """Arguments of ``mimn_scan``, with methods to call and differentiate it."""

    rows: int = 5
    steps: int = 6
    size: int = 5
    hidden: int = 4
    slots: int = 3
    utilization: str = "code"
    topk: int = 1
    key_memory: bool = True
    ragged: bool = True
    dtype: torch.dtype = torch.float32
    seed: int = 0
    x: Tensor = None  # type: ignore[assignment]
    state: MimnState = field(init=False)
    params: MimnParams = field(init=False)
    lengths: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed + 3)
        sizes = (self.size, self.hidden, self.slots)
        self.params = mimn_params(*sizes, key_memory=self.key_memory, seed=self.seed)
        self.params = self.params.to(wide(self.dtype))
        self.state = mimn_state(self.params, self.rows, seed=self.seed).to(wide(self.dtype))
        x = torch.randn(self.rows, self.steps, self.size, generator=random).to(self.dtype)
        self.x = x if self.x is None else self.x
        lengths = torch.randint(0, self.steps + 1, (self.rows,), generator=random)
        self.lengths = lengths if self.ragged else None

    def leaves(self, dtype: torch.dtype | None = None) -> tuple[Tensor, MimnState, MimnParams]:
        """Return the leaves of the gradients, converted to ``dtype`` if given."""

        def leaf(tensor: Tensor) -> Tensor:
            return tensor.detach().to(dtype or tensor.dtype).clone().requires_grad_()

        return leaf(self.x), map_tensors(self.state, leaf), map_tensors(self.params, leaf)

    def run(
        self,
        module: Any,
        x: Tensor | None = None,
        state: MimnState | None = None,
        params: MimnParams | None = None,
        **changes: Any,
    ) -> tuple[Tensor, MimnState]:
        keywords = {
            "lengths": self.lengths,
            "utilization": self.utilization,
            "induction_topk": self.topk,
        }
        result: tuple[Tensor, MimnState] = module.mimn_scan(
            self.x if x is None else x,
            self.params if params is None else params,
            self.state if state is None else state,
            **{**keywords, **changes},
        )
        return result

    def gradients(
        self,
        module: Any,
        dtype: torch.dtype | None = None,
        *,
        steps: int | None = None,
        **changes: Any,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return results by name, and gradients by name of a weighted sum of the results.

        The sum takes the first ``steps`` outputs.
        """
        x, state, params = self.leaves(dtype)
        outputs, last = self.run(module, x, state, params, **changes)
        results = {"outputs": outputs, **dict(last.named_tensors())}
        results.pop("count")
        weights = torch.Generator().manual_seed(self.seed + 4)
        loss = torch.zeros((), dtype=torch.float64)
        for name, value in results.items():
            part = value[:, :steps] if name == "outputs" else value
            loss = loss + (torch.randn(part.shape, generator=weights) * part).double().sum()
        leaves = {"x": x}
        leaves |= {f"state.{n}": t for n, t in state.named_tensors() if n != "count"}
        leaves |= dict(params.named_tensors())
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(leaf) if grad is None else grad
            for (name, leaf), grad in zip(leaves.items(), grads, strict=True)
        }
        return {name: value.detach() for name, value in results.items()}, gradients


def same_bits(one: Any, other: Any) -> bool:
    """Return whether two holders have bit-identical tensors."""
    pairs = zip(one.named_tensors(), other.named_tensors(), strict=True)
    return all(torch.equal(a, b) for (_, a), (_, b) in pairs)


# ---- The formulas of the papers, without torch.


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def gru(x: Iterable[float], h: Array, w_ih: Array, w_hh: Array, bias: Array) -> Array:
    size = len(h)
    x = np.asarray(list(x))
    r = sigmoid(w_ih[:size] @ x + w_hh[:size] @ h + bias[:size])
    z = sigmoid(w_ih[size : 2 * size] @ x + w_hh[size : 2 * size] @ h + bias[size : 2 * size])
    n = np.tanh(w_ih[2 * size :] @ x + w_hh[2 * size :] @ (r * h) + bias[2 * size :])
    return z * h + (1 - z) * n


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-8))


def mimn_by_formulas(
    state: dict[str, Array],
    x: Array,
    p: dict[str, Array],
    scale: float,
    utilization: str,
    topk: int,
) -> tuple[dict[str, Array], Array, Array]:
    """Return one user's next state, output and read weights (MIMN §3; paper or released code)."""
    d, h = len(x), len(state["hidden"])
    memory, m = state["memory"], len(state["memory"])
    hidden = gru(
        [*x, *state["read"]],
        state["hidden"],
        p["controller_w_ih"],
        p["controller_w_hh"],
        p["controller_bias"],
    )
    raw = p["head_w"][:, :h] @ hidden + p["head_b"]
    if utilization != "none":
        raw = raw + p["head_w"][:, h:] @ (state["usage"] / scale)
    raw = np.clip(raw, -20, 20)

    def address(key: Array, beta: float) -> Array:
        beta = 2 * (np.log1p(np.exp(beta)) + 1)
        scores = []
        for j in range(m):
            near = cosine(np.tanh(key), memory[j])
            if "key_memory" in p:
                near = (near + cosine(np.tanh(key), p["key_memory"][j])) / 2
            scores.append(beta * near)
        return softmax(np.array(scores))

    read_weights = address(raw[:d], raw[d])
    write = address(raw[d + 1 : 2 * d + 1], raw[2 * d + 1])
    if utilization == "code":
        a = softmax(raw[2 * d + 2 : 2 * d + 5])
        kernel = np.zeros(m)
        for offset, weight in zip((0, 1, -1), a, strict=True):
            kernel[offset % m] += weight
        moved = np.array([sum(write[j] * kernel[(i - j) % m] for j in range(m)) for i in range(m)])
        gamma = 4 * (np.log1p(np.exp(raw[2 * d + 5])) + 1)
        write = moved**gamma / (moved**gamma).sum()
    elif utilization == "paper":
        write = write * softmax(p["usage_w"] @ state["usage"])
    erase, add = sigmoid(raw[2 * d + 6 : 3 * d + 6]), np.tanh(raw[3 * d + 6 :])
    read = read_weights @ memory
    channels = state["channels"].copy()
    for slot in sorted(range(m), key=lambda j: (-read_weights[j], j))[:topk]:
        channels[slot] = gru(
            [*x, *memory[slot]],
            channels[slot],
            p["induction_w_ih"],
            p["induction_w_hh"],
            p["induction_bias"],
        )
    new = {
        "hidden": hidden,
        "read": read,
        "memory": memory * (1 - np.outer(write, erase)) + np.outer(write, add),
        "usage": state["usage"] + write,
        "added": state["added"] + np.outer(write, add).mean(0),
        "channels": channels,
        "pooled": state["pooled"] + x,
        "count": state["count"] + 1,
    }
    out = np.clip(p["out_w"] @ np.concatenate([hidden, read]) + p["out_b"], -20, 20)
    return new, out, read_weights


def hpmn_by_formulas(
    memory: Array, count: int, x: Array, p: dict[str, Array], periods: list[int]
) -> Array:
    """Return one user's memory after event number ``count + 1`` (HPMN §3.2)."""
    memory = memory.copy()
    below: Iterable[float] = x
    for j, period in enumerate(periods):
        if (count + 1) % period != 0:
            break
        memory[j] = gru(below, memory[j], p[f"w_ih.{j}"], p["w_hh"][j], p["bias"][j])
        below = memory[j]
    return memory


def arrays(holder: Any) -> dict[str, Array]:
    return {name: tensor.detach().numpy() for name, tensor in holder.named_tensors()}
