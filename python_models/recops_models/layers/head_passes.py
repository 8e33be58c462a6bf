"""Monte Carlo dropout and input gradients of a click model's head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from recops_models.layers.counter_random import drops, sixteenth_bits
from recops_models.layers.dice import Dice

_STREAMS = 64
"""Random streams per pass, an upper bound on the number of layers."""


class HeadPasses:
    """Evaluations of a head ``z = W_n σ(… σ(W_1 x + b_1) …) + b_n`` from ``[B, D]`` to ``[B]``.

    Args:
        head: the head of a click model in evaluation mode: a sequence with at least two linear
            layers, the last of width 1. It is not copied.

    Raises:
        ValueError: ``head`` is another module, or has a Dice with ``always_batch``, whose output
            for a row depends on the other rows.

    Example:
        >>> import torch
        >>> from recops_models.layers.counter_random import keys_of
        >>> from recops_models.layers.head_passes import HeadPasses
        >>> from recops_models.layers.mlp import MLP
        >>> passes, x = HeadPasses(MLP(4, (8,), 1).eval()), torch.randn(3, 4)
        >>> passes.logits(x).shape
        torch.Size([3])
        >>> logits, slope = passes.gradient(x)
        >>> slope.shape
        torch.Size([3, 4])
        >>> keys = keys_of(7, torch.arange(3))
        >>> [z.shape for z in passes.dropped(x, keys, p=0.1, passes=2)]
        [torch.Size([3]), torch.Size([3])]
    """

    def __init__(self, head: nn.Module) -> None:
        if not isinstance(head, nn.Sequential):
            raise ValueError(
                f"HeadPasses: head must be an nn.Sequential, got {type(head).__name__}"
            )
        if any(isinstance(module, Dice) and module.always_batch for module in head.modules()):
            raise ValueError(
                "HeadPasses: head must compute rows independently, got a Dice with always_batch"
            )
        self._head = head
        self._blocks = _blocks(head)
        if len(self._blocks) < 2:
            raise ValueError("HeadPasses: head must have two linear layers or more, got fewer")

    def logits(self, x: Tensor) -> Tensor:
        """Return the head's logits ``[B]``.

        Raises:
            ValueError: the head is in training mode.
        """
        self._check_mode()
        logits: Tensor = self._head(x)
        return logits.squeeze(-1)

    def dropped(self, x: Tensor, keys: Tensor, *, p: float, passes: int) -> Iterator[Tensor]:
        """Yield logits ``[B]`` of ``passes`` passes with random dropout (Monte Carlo dropout).

        A hidden unit is dropped with probability p; the others are divided by 1 − p. The inputs of
        all linear layers but the first are masked, as dropout follows an activation in training.
        The first layer is thus computed once; each pass costs O(B · Σ_{l ≥ 2} W_l). The masks of a
        row depend only on its key, the pass and the layer. Passes run one after the other, since
        all at once would not fit into the CPU's caches.

        Source: Gal and Ghahramani, Dropout as a Bayesian Approximation, ICML 2016.

        Args:
            x: ``[B, D]``.
            keys: ``[B]``, of :func:`~recops_models.layers.counter_random.keys_of`.
            p: in [0, 1), rounded to a multiple of 2⁻¹⁶.
            passes: n, the number of passes.

        Raises:
            ValueError: p is out of range, or the head is in training mode.
        """
        self._check_mode()
        p = sixteenth_bits(p)
        first, *others = self._blocks
        hidden = _apply(first, x)
        for number in range(passes):
            y = hidden
            for layer, block in enumerate(others):
                mask = drops(keys, y.shape[1], p, stream=number * _STREAMS + layer)
                y = _apply(block, y.masked_fill(mask, 0) / (1 - p))
            yield y.squeeze(-1)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits z ``[B]`` and ``∇_x z [B, D]``, per row and detached.

        Torch's autograd computes it without gradients of weights, which is faster than formulas
        written out in torch.

        Args:
            x: ``[B, D]``.

        Raises:
            ValueError: the head is in training mode.
        """
        self._check_mode()
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            z = self.logits(x)
            (gradient,) = torch.autograd.grad(z.sum(), x)
        return z.detach(), gradient

    def weight_gradient_norm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits z ``[B]`` and ``‖∇_θ z‖₂ [B]``, the norm of each row's gradient.

        θ are the weights and biases of the linear layers. With a_l the input of layer l and g_l the
        gradient of z by its output, ``‖∇_θ z‖² = Σ_l ‖g_l‖² (‖a_l‖² + 1)``; the 1 is left out for a
        layer without bias. No gradient ``[B, |θ|]`` is stored.

        Args:
            x: ``[B, D]``.

        Raises:
            ValueError: the head is in training mode.
        """
        self._check_mode()
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        biases: list[float] = []
        with torch.inference_mode(False), torch.enable_grad():
            y = x.detach().clone().requires_grad_()
            for layer in (layer for block in self._blocks for layer in block):
                if isinstance(layer, nn.Linear):
                    inputs.append(y.detach())
                    biases.append(float(layer.bias is not None))
                    y = layer(y)
                    outputs.append(y)
                else:
                    y = layer(y)
            z = y.squeeze(-1)
            slopes = torch.autograd.grad(z.sum(), outputs)
        square = torch.zeros_like(z)
        for a, slope, bias in zip(inputs, slopes, biases, strict=True):
            square = square + slope.square().sum(1) * (a.square().sum(1) + bias)
        return z.detach(), square.detach().sqrt()

    def _check_mode(self) -> None:
        if self._head.training:
            raise ValueError("HeadPasses: head must be in evaluation mode: call model.eval()")


def _blocks(head: nn.Sequential) -> list[list[nn.Module]]:
    """Split the layers before every linear layer but the first; leave out dropout layers."""
    blocks: list[list[nn.Module]] = [[]]
    linear = 0
    for layer in head:
        if isinstance(layer, nn.Dropout):
            continue
        if isinstance(layer, nn.Linear):
            linear += 1
            if linear > 1:
                blocks.append([])
        blocks[-1].append(layer)
    return blocks


def _apply(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x
