"""Sum of gradients over worker processes.

Torch's ``DistributedDataParallel`` is not used. It averages over workers, so shares of unequal size
would count wrongly; it expects the same parameters to have a gradient on every worker; and its NCCL
path has no sparse gradients. Here the losses of the workers add up to the loss of the batch, so
their gradients only have to be added, parameter by parameter, in the optimizers' order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recops_models import workers

_NONE, _DENSE = -1, -2
"""Kinds of gradients in an exchange; 0 and more: number of rows of a sparse gradient."""
_BUCKET = 1 << 20
"""Largest number of entries of a gradient that is copied to a buffer with others."""


@torch.no_grad()
def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all workers.

    A parameter has no gradient afterwards only if it had none on every worker. A gradient stays
    sparse if no worker has a dense one. The results have the same bits on all workers. With one
    worker, nothing is done.

    Args:
        parameters: the same ones in the same order on all workers.
    """
    if not workers.several():
        return
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    kinds = workers.gathered([_kind(parameter.grad) for parameter in parameters])
    dense: list[Tensor] = []
    for parameter, kind in zip(parameters, kinds.T, strict=True):
        if (kind == _DENSE).any():
            parameter.grad = _dense(parameter)
            dense.append(parameter.grad)
        elif (kind != _NONE).any():
            parameter.grad = _sparse_sum(parameter, [max(int(rows), 0) for rows in kind])
    for bucket in _buckets(dense):
        _sum_bucket(bucket)


def _kind(gradient: Tensor | None) -> int:
    if gradient is None:
        return _NONE
    return gradient._nnz() if gradient.is_sparse else _DENSE


def _dense(parameter: nn.Parameter) -> Tensor:
    """Return the gradient as a contiguous tensor, zero if there is none."""
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros_like(parameter, memory_format=torch.contiguous_format)
    return (gradient.to_dense() if gradient.is_sparse else gradient).contiguous()


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Yield groups of small gradients of one dtype and device; large ones are alone."""
    bucket: list[Tensor] = []
    entries = 0
    for gradient in gradients:
        is_other = bucket and (gradient.dtype, gradient.device) != (
            bucket[0].dtype,
            bucket[0].device,
        )
        if bucket and (is_other or entries + gradient.numel() > _BUCKET):
            yield bucket
            bucket, entries = [], 0
        bucket.append(gradient)
        entries += gradient.numel()
    if bucket:
        yield bucket


def _sum_bucket(gradients: list[Tensor]) -> None:
    if len(gradients) == 1:
        workers.collective(dist.all_reduce, gradients[0])
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    workers.collective(dist.all_reduce, flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _sparse_sum(parameter: nn.Parameter, rows: list[int]) -> Tensor:
    """Return the sum of sparse gradients, of which worker r has ``rows[r]`` rows."""
    shape, gradient = parameter.shape, parameter.grad
    largest = max(rows)
    index = torch.zeros(largest, dtype=torch.int64, device=parameter.device)
    values = parameter.new_zeros(largest, *shape[1:])
    if gradient is not None:
        own = gradient._nnz()
        index[:own], values[:own] = gradient.indices()[0], gradient.values()
    indices = _parts(index, rows)
    total = torch.sparse_coo_tensor(
        torch.cat(indices)[None], torch.cat(_parts(values, rows)), shape, check_invariants=False
    )
    return total.coalesce()


def _parts(own: Tensor, rows: list[int]) -> list[Tensor]:
    """Return the first ``rows[r]`` rows of each worker r's tensor, in the order of ranks."""
    parts = [torch.empty_like(own) for _ in rows]
    workers.collective(dist.all_gather, parts, own)
    return [part[:number] for part, number in zip(parts, rows, strict=True)]
