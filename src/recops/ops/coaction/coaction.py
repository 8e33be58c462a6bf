"""Co-action: each candidate's small network, applied to every event of a history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd
from recops.ops.coaction._options import (
    Inputs,
    check_dims,
    check_feed,
    check_options,
    check_params,
    check_users,
    no_gradients,
    save_call,
    saved_call,
)
from recops.state.coaction import Activation, CoactionOptions, Pool

__all__ = ["coaction"]


def coaction(
    feed: Tensor,
    params: Tensor,
    dims: Sequence[int],
    *,
    orders: int = 1,
    lengths: Tensor | None = None,
    feed_index: Tensor | None = None,
    bias: bool = False,
    activation: Activation = "tanh",
    activate_last: bool = False,
    concat_hidden: bool = True,
    pool: Pool = "sum",
    order_independent: bool = False,
) -> Tensor:
    """Apply each candidate's small network to every event of a history, and pool the results.

    A row of ``params`` holds a multilayer perceptron; a row of ``feed`` holds a history of vectors.
    For each order c = 1 … orders and each event t below the history's length::

        h_0 = feed[u, t] ** c                        element by element
        h_l = activation(h_{l−1} @ W_l + b_l)        W_l, b_l from params[b]
        out[b] = [Σ_t h_l for each c, for each l]    orders outer, layers inner

    The last layer has no activation unless ``activate_last`` is set. Powers are repeated products,
    so negative numbers are allowed. Linear layers after the last activation are applied to the sum
    over events, Σ_t (h W + b) = (Σ_t h) W + length · b, which is mathematically equal and cheaper.

    With ``pool="sum"`` results are additive in events: add ``coaction`` of the new events to an old
    result. A feature that is not a sequence has T = 1.

    Differentiable once in ``feed`` and ``params``. The backward pass keeps only the inputs and
    recomputes the other values.

    Args:
        feed: ``[U, T, d0]`` float32, bfloat16, float16 or float64, any strides.
        params: ``[B, P]`` of feed's dtype, or float32 if feed is 16-bit. A row holds, layer by
            layer, W row-major ``[d_in, d_out]``, then the bias if there is one; with
            ``order_independent`` one such set for each order.
        dims: (d0, d1, … dL), the width of the feed and of each layer.
        orders: number of powers of the feed, from 1 to 1,024; default 1.
        lengths: ``[U]`` int32 or int64, from 0 to T; None, the default, means T. Events past a
            length are never read.
        feed_index: ``[B]`` int32 or int64, the user of each row of ``params``; one history can
            serve many candidates. None, the default, means U = B, with one candidate per user.
        bias: whether layers have a bias; default False.
        activation: function between layers: "tanh" (the default), "selu", "relu" or "none".
        activate_last: whether the last layer has the activation too; default False.
        concat_hidden: whether to return the results of all layers (the default) or only the last.
        pool: "sum" over events (the default), or "mean": the sum divided by max(length, 1).
        order_independent: whether each order has its own parameters; default False.

    Returns:
        ``[B, orders · Σ dims[1:]]``, or ``[B, orders · dims[-1]]`` without ``concat_hidden``, of
        feed's dtype. It is computed in float32 (float64 for float64) and rounded once. Results and
        gradients are bit-identical at any thread count.

    Raises:
        TypeError: a tensor has an unsupported dtype, or an option does not exist.
        ValueError: shapes do not match, a length is out of range, or an option is unknown.
        IndexError: an entry of ``feed_index`` is not a user.

    On a CUDA GPU with Triton, data is checked only in :func:`recops.debug`. Otherwise a candidate
    with a length or a user out of range has the result NaN.

    Time is O(B · T · orders · Σ d_{l−1} d_l), without the layers after the last activation. Extra
    memory is O(P + T · d0).

    Source: Bian et al., "CAN: Feature co-action for click-through rate prediction", WSDM 2022,
    arXiv 2011.05625. Its released code has dims (16, 8, 4), three orders, no bias, tanh, a linear
    last layer and the outputs of both layers. Mean pooling is from ReChorus, and ``activate_last``
    from Monolith.

    Examples:
        >>> feed, params = torch.ones(4, 100, 16), torch.zeros(4, 160)
        >>> recops.coaction(feed, params, (16, 8, 4), orders=3).shape
        torch.Size([4, 36])
        >>> feed, params = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[100.0]])
        >>> recops.coaction(feed, params, (1, 1), orders=2)  # of 1 + 3, and of 1 + 9
        tensor([[ 400., 1000.]])
    """
    op = "coaction"
    sizes = check_dims(op, "dims", dims)
    options = CoactionOptions(
        orders,
        lengths,
        feed_index,
        bias,
        activation,
        activate_last,
        concat_hidden,
        pool,
        order_independent,
    )
    check_options(op, options)
    check_feed(op, "feed", feed, 3, sizes[0])
    check_params(op, "params", params, sizes, options, feed)
    check_users(op, options, feed.shape[0], params.shape[0], feed.device, "params")
    return ops.coaction(feed, params, sizes, *options)


def _fake_coaction(feed: Tensor, params: Tensor, dims: list[int], *options: Any) -> Tensor:
    return feed.new_empty((params.shape[0], CoactionOptions(*options).output_width(dims)))


def _fake_backward(
    grad: Tensor, feed: Tensor, params: Tensor, dims: list[int], *options: Any
) -> tuple[Tensor, Tensor]:
    return feed.new_empty(feed.shape), params.new_empty(params.shape)


def _save(ctx: Any, inputs: Inputs, output: Tensor) -> None:
    feed, params, ctx.dims, *options = inputs
    save_call(ctx, (feed, params), options)


def _grad(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (feed, params), options = saved_call(ctx)
    grads = ops.coaction_backward(grad, feed, params, ctx.dims, *options)
    return *grads, *no_gradients(1)


torch.library.register_fake("recops::coaction", _fake_coaction)
torch.library.register_fake("recops::coaction_backward", _fake_backward)
register_autograd("coaction", _grad, _save)
refuse_derivative("coaction_backward", "co-action has")
# Autocast computes in float32: in 16 bits the powers would underflow or overflow.
autocast_to_float32("coaction")
