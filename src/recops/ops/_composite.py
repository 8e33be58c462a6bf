"""Composites of torch ops, which run the ops of the library on devices without a dedicated kernel.

A composite is registered under ``CompositeExplicitAutograd``. The dispatcher prefers a kernel of
the device: the CPU keeps its kernels, and a CUDA kernel added later takes precedence.

Composites give identical results from run to run on one device. They avoid torch ops that are
nondeterministic on CUDA, and use float64 only for float64 inputs, because MPS lacks it. They read
contiguous copies, because the rounding of a matrix product depends on the strides of its factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey

from recops._debug import checks_data
from recops._dtypes import without_autocast
from recops._load import cuda_library, ops

COMPOSITES: dict[str, str] = {
    op: family
    for family, ops in {
        "balance_assignment": ["repair_assignment"],
        "coaction": [
            "coaction",
            "coaction_backward",
            "coaction_gather",
            "coaction_gather_backward",
            "coaction_gather_backward_sparse",
            "coaction_multi",
            "coaction_multi_backward",
        ],
        "codebook_overlap": ["codebook_overlap", "codebook_overlap_backward"],
        "dice": ["dice", "dice_backward"],
        "embedding": ["embedding_bags", "embedding_bags_backward", "embedding_bags_update_"],
        "memory": [
            "hpmn_scan",
            "hpmn_scan_backward",
            "hpmn_step_",
            "memory_rows",
            "mimn_read",
            "mimn_scan",
            "mimn_scan_backward",
            "mimn_step_",
        ],
        "next_event": ["next_event_loss", "next_event_loss_backward"],
        "recurrent": [
            "recurrent_layer",
            "recurrent_layer_backward",
            "recurrent_scan",
            "recurrent_scan_backward",
        ],
        "residual_quantization": [
            "accumulate_codes",
            "code_flips",
            "nearest_codes",
            "rq_decode",
            "rq_decode_backward",
            "rq_encode",
            "rq_encode_beams",
        ],
        "trie": [
            "trie_allowed_tokens",
            "trie_bans",
            "trie_beam_items",
            "trie_beam_step",
            "trie_build",
            "trie_find",
            "trie_items",
            "trie_mask",
            "trie_next_logits",
            "trie_next_logits_",
        ],
    }.items()
    for op in ops
}
"""Family of each op with a composite. ``recops.ops.<family>.composite`` has a function per op."""


def register_composites() -> None:
    """Register all composites. Their modules are imported at the first call.

    An op with a CUDA kernel also gets ``torch.ops.recops_composite.OP``, which the kernel calls for
    inputs beyond its limits.
    """
    for op in COMPOSITES:
        torch.library.impl(f"recops::{op}", "CompositeExplicitAutograd", composite(op))
    library = cuda_library()
    for op in library.ops if library else []:
        define_composite(op)


def define_composite(op: str) -> None:
    """Define ``torch.ops.recops_composite.OP``, the composite of an op with a CUDA kernel."""
    name = f"recops_composite::{op}"
    schema = str(getattr(ops, op)._schema).removeprefix(f"recops::{op}")
    torch.library.define(name, schema)
    torch.library.impl(name, "CompositeExplicitAutograd", composite(op))


def composite(op: str) -> Callable[..., Any]:
    """Return the composite of an op, without autocast: 16 bits would change its results."""

    def run(*arguments: Any) -> Any:
        tensors = list(tensors_of(arguments))
        if not tensors:
            raise TypeError(f"{op}: arguments must include a tensor, got none")
        for tensor in tensors:
            if tensor.layout != torch.strided:
                raise TypeError(f"{op}: tensors must be strided, got {tensor.layout}")
        if not op.endswith("_"):  # An op that writes to its arguments needs the tensors themselves.
            arguments = tuple(map(_contiguous, arguments))
        with without_autocast(tensors[0]):
            return _function(op)(*arguments)

    return run


def _contiguous(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return argument.contiguous()
    if isinstance(argument, list):
        return [_contiguous(each) for each in argument]
    return argument


@cache
def _function(op: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(
        import_module(f"recops.ops.{COMPOSITES[op]}.composite"), op
    )
    return function


def tensors_of(arguments: Sequence[Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of an op, also those in lists."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, list):
            yield from (each for each in argument if isinstance(each, Tensor))


def vector_jacobian(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    """Return the gradients of ``inputs``, which ``function`` maps to a sequence of outputs.

    The dispatcher calls composites below autograd, so this function enables autograd again.

    Args:
        function: differentiable torch ops. Only deterministic ones in the backward pass.
        inputs: floating-point tensors.
        grads: gradients of the outputs; None for zero.

    Returns:
        One gradient per input, zero for an input without influence.
    """
    if torch.compiler.is_compiling():
        return _traced_vector_jacobian(function, inputs, grads)
    exclude = torch._C._dispatch_tls_local_exclude_set()
    for key in (
        DispatchKey.AutogradFunctionality,
        DispatchKey.AutogradOther,
        DispatchKey.AutogradNestedTensor,
    ):
        exclude = exclude.remove(key)
    include = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(include, exclude), torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        outputs = function(*leaves)
        pairs = [
            (output, grad)
            for output, grad in zip(outputs, grads, strict=True)
            if grad is not None and output.requires_grad
        ]
        if not pairs:
            return [torch.zeros_like(leaf) for leaf in inputs]
        return list(
            torch.autograd.grad(
                [output for output, _ in pairs],
                leaves,
                [grad for _, grad in pairs],
                allow_unused=True,
                materialize_grads=True,
            )
        )


def _traced_vector_jacobian(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    """Compute :func:`vector_jacobian` in a form that torch.compile can trace."""
    result: tuple[Any, ...] = torch.func.vjp(lambda *leaves: tuple(function(*leaves)), *inputs)
    outputs, pullback = result
    cotangents = (
        torch.zeros_like(output) if grad is None else grad
        for output, grad in zip(outputs, grads, strict=True)
    )
    return list(pullback(tuple(cotangents)))


def sum_by_row(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """Return the sums ``[num_rows, D]`` of the ``values [N, D]`` of each row, in a fixed order.

    Entries of ``rows [N]`` outside 0 … num_rows − 1 are skipped. Takes log₂ N passes over sorted
    values. A dedicated kernel reads the values once, so this is much slower. ``index_add`` would be
    faster, but its order of additions varies on CUDA.
    """
    if len(values) == 0 or num_rows == 0:
        return values.new_zeros((num_rows, *values.shape[1:]))
    ordered, order = rows.long().sort(stable=True)
    sums = _running_sums(values[order], ordered)
    targets = torch.arange(num_rows, device=rows.device)
    last = (torch.searchsorted(ordered, targets, right=True) - 1).clamp(min=0)
    return sums[last].where((ordered[last] == targets)[:, None], 0)


def sum_by_occurrence(values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows ``[N]`` and the sum of the ``values [N, D]`` of each, in a fixed order.

    Every occurrence of a row has the row's sum. Entries with row −1 repeat another row, or are −1
    if there is none. N must be at least 1.
    """
    ordered, order = rows.sort(stable=True)
    sums = _running_sums(values[order], ordered)
    last = torch.searchsorted(ordered, ordered, right=True) - 1
    last = last.masked_fill(ordered < 0, len(rows) - 1)
    return ordered[last], sums[last]


def running_sum_by_row(values: Tensor, rows: Tensor, *, inclusive: bool = True) -> Tensor:
    """Return for each entry the sum of the ``values [N, D]`` of its row up to that entry.

    Unlike ``cumsum``, the order of additions does not vary on CUDA.
    """
    ordered, order = rows.sort(stable=True)
    sums = _running_sums(values[order], ordered)
    if not inclusive:
        is_same = (ordered[1:] == ordered[:-1])[:, None]
        sums = torch.cat([torch.zeros_like(sums[:1]), sums[:-1].where(is_same, 0)])[: len(sums)]
    return sums[order.argsort()]


def _running_sums(values: Tensor, ordered: Tensor) -> Tensor:
    """Return the running sums of values whose rows ``ordered`` ascend.

    Pass i adds the sum of the 2ⁱ values before an entry, as far as they are of its row.
    """
    distance = 1
    while distance < len(values):
        is_same = (ordered[distance:] == ordered[:-distance])[:, None]
        added = values[distance:] + values[:-distance].where(is_same, 0)
        values = torch.cat([values[:distance], added])
        distance *= 2
    return values


def first_index(is_wrong: Tensor) -> list[int] | None:
    """Return the index of the first true entry, or None. Reads one value from the device."""
    return is_wrong.nonzero()[0].tolist() if bool(is_wrong.any()) else None


def check_range(
    op: str,
    name: str,
    values: Tensor,
    least: int,
    most: int,
    *,
    error: type[Exception] = IndexError,
) -> None:
    """Check that all values are from ``least`` to ``most``; see :func:`recops.debug`.

    Args:
        op: name of the function, for the message.
        name: name of the argument, for the message.
        values: integers.
        least: lower bound.
        most: upper bound.
        error: type of the exception.
    """
    if not checks_data(values):
        return
    index = first_index((values < least) | (values > most))
    if index is not None:
        entry = name.rpartition(" ")[2]
        raise error(
            f"{op}: {name} must be from {least} to {most}, got "
            f"{entry}{index} = {int(values[tuple(index)])}"
        )
