"""What compilers, autograd and autocast must know of residual quantization's ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._autograd import register_autograd
from recops.ops._codebooks import result_dtype


def _fake_rq_encode(
    x: Tensor, codewords: Tensor, sizes: list[int], bits: int = 0
) -> tuple[Tensor, Tensor]:
    rows = x.shape[0]
    return x.new_empty((rows, len(sizes)), dtype=torch.int32), x.new_empty(
        rows, dtype=result_dtype(x)
    )


def _fake_rq_encode_beams(
    x: Tensor, codewords: Tensor, sizes: list[int], beam: int, kept: int, bits: int = 0
) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], kept)
    return (
        x.new_empty((*shape, len(sizes)), dtype=torch.int32),
        x.new_empty(shape, dtype=result_dtype(x)),
    )


def _fake_rq_decode(codes: Tensor, codewords: Tensor, sizes: list[int]) -> Tensor:
    return codewords.new_empty((codes.shape[0], codewords.shape[1]))


def _fake_rq_decode_backward(grad: Tensor, codes: Tensor, sizes: list[int]) -> Tensor:
    return grad.new_empty((sum(sizes), grad.shape[1]))


def _fake_nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], k)
    return x.new_empty(shape, dtype=torch.int32), x.new_empty(shape, dtype=result_dtype(x))


def _fake_accumulate_codes(
    x: Tensor, index: Tensor, num_codes: int, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    dtype = result_dtype(x)
    return x.new_empty((num_codes, x.shape[1]), dtype=dtype), x.new_empty(num_codes, dtype=dtype)


_FAKES: dict[str, Callable[..., Any]] = {
    "rq_encode": _fake_rq_encode,
    "rq_encode_beams": _fake_rq_encode_beams,
    "rq_decode": _fake_rq_decode,
    "rq_decode_backward": _fake_rq_decode_backward,
    "nearest_codes": _fake_nearest_codes,
    "accumulate_codes": _fake_accumulate_codes,
}
for _op, _fake in _FAKES.items():
    torch.library.register_fake(f"recops::{_op}", _fake)


def _save_codes(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    first, second, ctx.sizes = inputs
    ctx.save_for_backward(first if not first.is_floating_point() else second)


def _decode_grad(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    (codes,) = ctx.saved_tensors
    return None, ops.rq_decode_backward(grad, codes, ctx.sizes), None


def _decode_backward_grad(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (codes,) = ctx.saved_tensors
    return ops.rq_decode(codes, grad, ctx.sizes), None, None


# Decoding is linear in the codewords, its backward in the gradient: each is the other's derivative.
register_autograd("rq_decode", _decode_grad, _save_codes)
torch.library.register_autograd(
    "recops::rq_decode_backward", _decode_backward_grad, setup_context=_save_codes
)

# Under autocast all run in float32: codes chosen in 16 bits would not be those chosen outside.
for _op in ("rq_encode", "rq_encode_beams", "rq_decode", "nearest_codes", "accumulate_codes"):
    torch.library.register_autocast(f"recops::{_op}", "cpu", torch.float32)
