"""Composites of memory networks: the reference's loops over time.

Much slower than a dedicated kernel: each step launches tens of torch ops. The scans keep a state
every ``checkpoint`` steps, and their backward passes recompute the steps in between, segment by
segment, as the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from recops._debug import checks_data
from recops._dtypes import widened
from recops.ops._composite import check_range, first_index, vector_jacobian
from recops.ops._shapes import check_dim, check_numel
from recops.ops.memory._checks import check_contiguous, check_finite
from recops.ops.memory._shapes import check_events, check_hpmn, check_mimn, mimn_fields
from recops.reference._padding import without_padding
from recops.reference.memory.hpmn import updated_memory
from recops.reference.memory.mimn import step as mimn_step
from recops.state.mimn import MimnParams, MimnState

States = list[Tensor]
"""Tensors of a state, ``[B, …]`` each."""

SegmentScan = Callable[[Tensor, States, list[Tensor], int], tuple[Tensor, States]]
"""Scan of a segment: inputs ``[B, s, D]``, states, parameters, first step → outputs, states."""

_MIMN_SAVED = (0, 1, 2, 3, 5)  # hidden, read, memory, usage and channels


def memory_rows(rows: Tensor, pool: int, op: str) -> Tensor:
    """Compute ``recops::memory_rows``: check rows and return a copy."""
    check_dim(op, "rows", rows, 1)
    check_range(op, "rows", rows, 0, pool - 1)
    return rows.clone()


def _segment_bounds(steps: int, every: int) -> list[int]:
    """Return the first step of each segment and the end."""
    return [*range(0, steps, every or max(steps, 1)), steps] if steps else [0]


def _scan_backward(
    scan: SegmentScan,
    x: Tensor,
    state_at: Callable[[int], States],
    params: list[Tensor],
    grad_outputs: Tensor | None,
    grad_state: States,
    bounds: Sequence[int],
) -> tuple[Tensor, States, list[Tensor]]:
    """Return the gradients of inputs, initial state and parameters, from the last segment on.

    ``state_at(i)`` is the state at the start of segment i.
    """
    count = len(grad_state)
    grad_inputs = [x[:, :0]]
    grad_params = [torch.zeros_like(param) for param in params]
    for i, (begin, end) in reversed(list(enumerate(pairwise(bounds)))):

        def segment(inputs: Tensor, *leaves: Tensor, first: int = begin) -> list[Tensor]:
            outputs, states = scan(inputs, list(leaves[:count]), list(leaves[count:]), first)
            return [outputs, *states]

        of_outputs = None if grad_outputs is None else grad_outputs[:, begin:end]
        of_input, *grads = vector_jacobian(
            segment, [x[:, begin:end], *state_at(i), *params], [of_outputs, *grad_state]
        )
        grad_inputs.insert(1, of_input)
        grad_state = grads[:count]
        pairs = zip(grad_params, grads[count:], strict=True)
        grad_params = [total + grad for total, grad in pairs]
    return torch.cat(grad_inputs, 1), grad_state, grad_params


def _check_lengths(op: str, lengths: Tensor | None, x: Tensor) -> Tensor:
    rows, steps, _ = x.shape
    if lengths is None:
        return torch.full((rows,), steps, device=x.device)
    check_numel(op, "lengths", lengths, rows)
    check_range(op, "lengths", lengths, 0, steps, error=ValueError)
    return lengths


def _rounds(rows: Tensor) -> list[Tensor]:
    """Split events into rounds with at most one event per row, in order of the events."""
    ordered, order = rows.sort(stable=True)
    rank = torch.arange(len(rows), device=rows.device) - torch.searchsorted(ordered, ordered)
    by_rank = order[rank.sort(stable=True).indices]
    most = int(rank.max()) + 1 if len(rows) else 0
    ends = torch.searchsorted(
        rank.sort().values, torch.arange(most, device=rows.device), right=True
    )
    bounds = [0, *ends.tolist()]
    return [by_rank[begin:end] for begin, end in pairwise(bounds)]


def _where(is_live: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(is_live.view(-1, *[1] * (new.ndim - 1)), new, old)


# ---- HPMN


def _hpmn_segment_scan(count: Tensor, lengths: Tensor, periods: Sequence[int]) -> SegmentScan:
    def scan(x: Tensor, states: States, params: list[Tensor], first: int) -> tuple[Tensor, States]:
        (memory,) = states
        *w_ih, w_hh, bias = params
        for t, event in enumerate(x.unbind(1), first):
            # A row counts all its earlier events, which are those below its length.
            now = count + lengths.clamp(max=t)
            memory = updated_memory(memory, now, event, t < lengths, w_ih, w_hh, bias, periods)
        return memory.new_zeros(0), [memory]

    return scan


def hpmn_scan(
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
    lengths: Tensor | None,
    checkpoint: int,
) -> tuple[Tensor, Tensor]:
    """Compute ``recops::hpmn_scan``."""
    check_dim("hpmn_scan", "x", x, 3)
    check_hpmn("hpmn_scan", w_ih, w_hh, bias, periods, x.shape[2])
    lengths = _check_lengths("hpmn_scan", lengths, x)
    if checks_data(count):
        _check_count("hpmn_scan", count, torch.arange(len(count), device=count.device))
    scan = _hpmn_segment_scan(count, lengths, periods)
    wide = without_padding(widened(x), lengths)
    states, saved = [memory.clone()], [memory[None][:0]]
    for begin, end in pairwise(_segment_bounds(x.shape[1], checkpoint)):
        if begin > 0:
            saved.append(states[0][None])
        _, states = scan(wide[:, begin:end], states, [*w_ih, w_hh, bias], begin)
    return states[0].contiguous(), torch.cat(saved)


def hpmn_scan_backward(
    grad_memory: Tensor,
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
    lengths: Tensor | None,
    checkpoint: int,
    saved: Tensor,
) -> list[Tensor]:
    """Compute the gradients of x, memory, each w_ih, w_hh and bias."""
    check_hpmn("hpmn_scan", w_ih, w_hh, bias, periods, x.shape[2])
    lengths = _check_lengths("hpmn_scan", lengths, x)
    scan = _hpmn_segment_scan(count, lengths, periods)
    grad_x, (grad_start,), grad_params = _scan_backward(
        scan,
        without_padding(widened(x), lengths),
        lambda i: [saved[i - 1] if i else memory],
        [*w_ih, w_hh, bias],
        None,
        [grad_memory],
        _segment_bounds(x.shape[1], checkpoint),
    )
    return [grad_x, grad_start, *grad_params]


def hpmn_step_(
    memory: Tensor,
    count: Tensor,
    rows: Tensor,
    x: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
) -> None:
    """Compute ``recops::hpmn_step_``, in rounds with one event per row. Reads the round sizes."""
    check_contiguous("hpmn_step_", memory, count)
    check_events("hpmn_step_", rows, len(x))
    check_hpmn("hpmn_step_", w_ih, w_hh, bias, periods, x.shape[1])
    check_range("hpmn_step_", "rows", rows, 0, len(count) - 1)
    check_finite("hpmn_step_", x)
    _check_count("hpmn_step_", count, rows)
    wide = x.to(memory.dtype)
    for events in _rounds(rows):
        row = rows[events]
        is_live = torch.ones_like(row, dtype=torch.bool)
        memory[row] = updated_memory(
            memory[row], count[row], wide[events], is_live, w_ih, w_hh, bias, periods
        )
        count[row] += 1


def _check_count(op: str, count: Tensor, rows: Tensor) -> None:
    """Check that the counts of ``rows`` are not negative."""
    wrong = first_index(count[rows] < 0)
    if wrong is not None:
        row = int(rows[wrong[0]])
        raise ValueError(f"{op}: count must not be negative, got count[{row}] = {int(count[row])}")


# ---- MIMN


def _mimn_params(
    params: Sequence[Tensor], key_memory: Tensor | None, usage_scale: float
) -> MimnParams:
    """Return the parameters of a step. The initial state, which no step reads, is zero."""
    slots, inputs = len(params[5]), params[0].shape[1] // 2
    names = [
        "controller_w_ih",
        "controller_w_hh",
        "controller_bias",
        "head_w",
        "head_b",
        "usage_w",
        "induction_w_ih",
        "induction_w_hh",
        "induction_bias",
        "out_w",
        "out_b",
    ]
    return MimnParams(
        **dict(zip(names, params, strict=True)),
        key_memory=key_memory,
        memory_init=params[0].new_zeros((slots, inputs)),
        read_init=params[0].new_zeros(inputs),
        usage_scale=usage_scale,
    )


def _mimn_state(tensors: Sequence[Tensor], count: Tensor) -> MimnState:
    hidden, read, memory, usage, added, channels, pooled = tensors
    return MimnState(hidden, read, memory, usage, added, channels, pooled, count)


def _mimn_segment_scan(
    lengths: Tensor, has_keys: bool, usage_scale: float, utilization: str, topk: int
) -> SegmentScan:
    """Return a scan whose states are the seven of a state and the read weights."""

    def scan(x: Tensor, states: States, params: list[Tensor], first: int) -> tuple[Tensor, States]:
        keys = params[-1] if has_keys else None
        of_step = _mimn_params(params[:11], keys, usage_scale)
        outputs = []
        for t, event in enumerate(x.unbind(1), first):
            is_live = t < lengths
            now = _mimn_state(states[:-1], lengths)  # the count has no effect
            new, out, weights = mimn_step(now, event, of_step, utilization, topk)
            pairs = zip([*new.floats(), weights], states, strict=True)
            states = [_where(is_live, one, other) for one, other in pairs]
            outputs.append(_where(is_live, out, torch.zeros_like(out)))
        return torch.stack(outputs, 1), states

    return scan


def mimn_scan(
    x: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    lengths: Tensor | None,
    utilization: str,
    induction_topk: int,
    checkpoint: int,
) -> tuple[Tensor, ...]:
    """Compute ``recops::mimn_scan``."""
    check_dim("mimn_scan", "x", x, 3)
    check_mimn("mimn_scan", params, key_memory, x.shape[2], induction_topk)
    state = mimn_fields("mimn_scan", state, params)
    lengths = _check_lengths("mimn_scan", lengths, x)
    leaves = [*params, *([] if key_memory is None else [key_memory])]
    scan = _mimn_segment_scan(
        lengths, key_memory is not None, usage_scale, utilization, induction_topk
    )
    states = [*(tensor.clone() for tensor in state), _no_weights(state)]
    wide, hidden = without_padding(widened(x), lengths), state[0].shape[1]
    outputs = [wide.new_zeros((len(x), 0, hidden))]
    width = sum(state[field].shape[1:].numel() for field in _MIMN_SAVED)
    saved = [wide.new_zeros((0, len(x), width))]
    for begin, end in pairwise(_segment_bounds(x.shape[1], checkpoint)):
        if begin > 0:
            saved.append(torch.cat([states[field].flatten(1) for field in _MIMN_SAVED], 1)[None])
        out, states = scan(wide[:, begin:end], states, leaves, begin)
        outputs.append(out)
    last = (tensor.contiguous() for tensor in states)
    return torch.cat(outputs, 1).to(x.dtype), *last, torch.cat(saved)


def mimn_scan_backward(
    grad_outputs: Tensor,
    grad_state: Sequence[Tensor],
    grad_read_weights: Tensor,
    x: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    lengths: Tensor | None,
    utilization: str,
    induction_topk: int,
    checkpoint: int,
    saved: Tensor,
) -> list[Tensor]:
    """Compute the gradients of x, hidden, read, memory, usage, channels and the parameters."""
    check_mimn("mimn_scan", params, key_memory, x.shape[2], induction_topk)
    state = mimn_fields("mimn_scan", state, params)
    grad_state = mimn_fields("mimn_scan", grad_state, params)
    lengths = _check_lengths("mimn_scan", lengths, x)
    leaves = [*params, *([] if key_memory is None else [key_memory])]
    scan = _mimn_segment_scan(
        lengths, key_memory is not None, usage_scale, utilization, induction_topk
    )

    def state_at(segment: int) -> States:
        if segment == 0:
            return [*state, _no_weights(state)]
        # Gradients do not depend on the other states, which are sums.
        states = [torch.zeros_like(tensor) for tensor in state]
        sizes = [state[field].shape[1:].numel() for field in _MIMN_SAVED]
        for field, part in zip(_MIMN_SAVED, saved[segment - 1].split(sizes, 1), strict=True):
            states[field] = part.view(state[field].shape)
        return [*states, _no_weights(state)]

    grad_x, of_state, of_params = _scan_backward(
        scan,
        without_padding(widened(x), lengths),
        state_at,
        leaves,
        widened(grad_outputs),
        [*grad_state, grad_read_weights],
        _segment_bounds(x.shape[1], checkpoint),
    )
    return [grad_x, *(of_state[field] for field in _MIMN_SAVED), *of_params]


def _no_weights(state: Sequence[Tensor]) -> Tensor:
    """Return the read weights before the first step: zeros ``[B, m]``."""
    return torch.zeros_like(state[3])


def mimn_step_(
    state: Sequence[Tensor],
    count: Tensor,
    rows: Tensor,
    x: Tensor,
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    utilization: str,
    induction_topk: int,
) -> None:
    """Compute ``recops::mimn_step_``, in rounds with one event per row. Reads the round sizes."""
    check_contiguous("mimn_step_", *state, count)
    check_events("mimn_step_", rows, len(x))
    check_mimn("mimn_step_", params, key_memory, x.shape[1], induction_topk)
    state = mimn_fields("mimn_step_", state, params)
    check_range("mimn_step_", "rows", rows, 0, len(count) - 1)
    check_finite("mimn_step_", x)
    of_step = _mimn_params(params, key_memory, usage_scale)
    wide = x.to(state[0].dtype)
    for events in _rounds(rows):
        row = rows[events]
        now = _mimn_state([tensor[row] for tensor in state], count[row])
        new, _, _ = mimn_step(now, wide[events], of_step, utilization, induction_topk)
        for tensor, value in zip(state, new.floats(), strict=True):
            tensor[row] = value
        count[row] += 1


def mimn_read(
    state: Sequence[Tensor],
    rows: Tensor,
    target: Tensor,
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    utilization: str,
    induction_topk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``recops::mimn_read``. Copies the state of each candidate's row."""
    check_events("mimn_read", rows, len(target))
    check_mimn("mimn_read", params, key_memory, target.shape[1], induction_topk)
    state = mimn_fields("mimn_read", state, params)
    check_range("mimn_read", "rows", rows, 0, len(state[0]) - 1)
    now = _mimn_state([tensor[rows] for tensor in state], rows)  # the count has no effect
    of_step = _mimn_params(params, key_memory, usage_scale)
    new, out, weights = mimn_step(
        now, target.to(state[0].dtype), of_step, utilization, induction_topk
    )
    return out.to(target.dtype), weights, new.channels
