"""Reference of MIMN, step by step; see :mod:`recops.ops.memory.mimn_scan`."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from recops._dtypes import widened
from recops.reference._padding import without_padding
from recops.reference.memory.primitives import cosine, gru, memory_read, memory_write
from recops.state.mimn import MimnParams, MimnState

TINY = 1e-37  # lower bound of weights before sharpening


def mimn_scan(
    x: Tensor,
    params: MimnParams,
    state: MimnState | None = None,
    *,
    lengths: Tensor | None = None,
    utilization: str = "none",
    induction_topk: int = 1,
    checkpoint: int | None = None,  # ignored: autograd keeps all intermediate values
) -> tuple[Tensor, MimnState]:
    """Compute :func:`recops.mimn_scan` in PyTorch."""
    rows, steps, _ = x.shape
    wide = widened(x)
    params = params.to(wide.dtype)
    state = MimnState.zeros(params, rows) if state is None else state.to(wide.dtype)
    if lengths is None:
        lengths = torch.full((rows,), steps, device=x.device)
    wide = without_padding(wide, lengths)
    outputs = []
    for t in range(steps):
        new, out, _ = step(state, wide[:, t], params, utilization, induction_topk)
        live = t < lengths
        state = _where(live, new, state)
        outputs.append(torch.where(live[:, None], out, 0))
    empty = wide.new_zeros(rows, 0, params.hidden_size)
    return (torch.stack(outputs, 1) if outputs else empty).to(x.dtype), state


def mimn_step_(
    pool: MimnState,
    rows: Tensor,
    x: Tensor,
    params: MimnParams,
    *,
    utilization: str,
    induction_topk: int = 1,
) -> None:
    """Compute :func:`recops.mimn_step_` in PyTorch."""
    params, wide = params.to(pool.memory.dtype), x.to(pool.memory.dtype)
    for row, event in zip(rows.tolist(), wide, strict=True):
        new, _, _ = step(_rows(pool, row), event[None], params, utilization, induction_topk)
        for name, tensor in new.named_tensors():
            getattr(pool, name)[row] = tensor[0]


def mimn_read(
    pool: MimnState,
    rows: Tensor,
    target: Tensor,
    params: MimnParams,
    *,
    utilization: str,
    induction_topk: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute :func:`recops.mimn_read` in PyTorch."""
    params = params.to(pool.memory.dtype)
    x = target.to(pool.memory.dtype)
    new, out, weights = step(_rows(pool, rows), x, params, utilization, induction_topk)
    return out.to(target.dtype), weights, new.channels


def step(
    now: MimnState, x: Tensor, params: MimnParams, utilization: str, induction_topk: int
) -> tuple[MimnState, Tensor, Tensor]:
    """Return the next state, its output and the read weights."""
    p, d, h = params, params.input_size, params.hidden_size
    controller = (p.controller_w_ih, p.controller_w_hh, p.controller_bias)
    hidden = gru(torch.cat([x, now.read], 1), now.hidden, *controller)

    head_input = hidden
    head_w = p.head_w[:, :h]
    if utilization != "none":
        head_input = torch.cat([hidden, now.usage.detach() / p.usage_scale], 1)
        head_w = p.head_w
    heads = linear(head_input, head_w, p.head_b).clamp(-20, 20)
    read_key, read_beta, write_key, write_beta, shift, gamma, erase, add = heads.split(
        [d, 1, d, 1, 3, 1, d, d], 1
    )

    read_weights = _address(read_key, read_beta, now.memory, p.key_memory)
    content = _address(write_key, write_beta, now.memory, p.key_memory)
    if utilization == "code":
        write_weights = _shift_and_sharpen(content, shift, gamma)
        used = _shift_and_sharpen(content.detach(), shift, gamma)
    elif utilization == "paper":
        write_weights = used = content * torch.softmax(linear(now.usage, p.usage_w), 1)
    else:
        write_weights = used = content

    read = memory_read(read_weights, now.memory)
    added = torch.tanh(add)
    new = MimnState(
        hidden=hidden,
        read=read,
        memory=memory_write(now.memory, write_weights, torch.sigmoid(erase), added),
        usage=now.usage + used,
        added=now.added + write_weights.detach().mean(1, keepdim=True) * added,
        channels=_induce(now, x, read_weights, p, induction_topk),
        pooled=now.pooled + x,
        count=now.count + 1,
    )
    out = linear(torch.cat([hidden, read], 1), p.out_w, p.out_b).clamp(-20, 20)
    return new, out, read_weights


def _address(key: Tensor, beta: Tensor, memory: Tensor, key_memory: Tensor | None) -> Tensor:
    key = torch.tanh(key)
    similarity = cosine(key, memory)
    if key_memory is not None:
        similarity = (cosine(key, key_memory[None]) + similarity) / 2
    return torch.softmax(2 * (softplus(beta) + 1) * similarity, 1)


def _shift_and_sharpen(weights: Tensor, shift: Tensor, gamma: Tensor) -> Tensor:
    center, forward, backward = torch.softmax(shift, 1).split(1, 1)
    shifted = center * weights + forward * weights.roll(1, 1) + backward * weights.roll(-1, 1)
    return torch.softmax(4 * (softplus(gamma) + 1) * shifted.clamp_min(TINY).log(), 1)


def _induce(now: MimnState, x: Tensor, weights: Tensor, p: MimnParams, topk: int) -> Tensor:
    """Return the channels after updating those of the slots with the ``topk`` largest weights."""
    # The stable sort gives ties to the lowest slot.
    chosen = weights.argsort(dim=1, descending=True, stable=True)[:, :topk, None]
    chosen = chosen.expand(-1, -1, x.shape[1])
    slots = now.memory.detach().gather(1, chosen)
    inputs = torch.cat([x[:, None].expand_as(slots), slots], 2)
    unit = (p.induction_w_ih, p.induction_w_hh, p.induction_bias)
    return now.channels.scatter(1, chosen, gru(inputs, now.channels.gather(1, chosen), *unit))


def _rows(state: MimnState, rows: Tensor | int) -> MimnState:
    index = torch.as_tensor(rows, device=state.count.device).reshape(-1).long()
    return MimnState(**{name: tensor[index] for name, tensor in state.named_tensors()})


def _where(live: Tensor, new: MimnState, old: MimnState) -> MimnState:
    chosen = {}
    for field in fields(new):
        one, other = getattr(new, field.name), getattr(old, field.name)
        chosen[field.name] = torch.where(live.view(-1, *[1] * (one.ndim - 1)), one, other)
    return replace(new, **chosen)
