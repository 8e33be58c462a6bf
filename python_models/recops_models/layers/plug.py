"""Plug-in networks, which add knowledge to the first hidden layer of a trained model.

After KEEP (arXiv 2208.10174). Confirmed: a separate plug-in network brings knowledge into the
downstream model, which suits incremental training. The three forms and the zero start are the
project's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

PlugKind = Literal["add", "concat", "gate"]


class PartsLinear(nn.Module):
    """``b + Σ_p W_p k_p``: a linear layer on inputs that are not concatenated.

    A part with a single row applies to all rows; its product is computed once.

    Args:
        widths: widths of each part.
        output_width: width of the result.
        bias: whether there is a b.

    Example:
        >>> import torch
        >>> from recops_models.layers.plug import PartsLinear
        >>> linear = PartsLinear(widths=(4, 2), output_width=3)
        >>> user, items = torch.randn(1, 4), torch.randn(5, 2)  # one user, five items
        >>> linear([user, items]).shape
        torch.Size([5, 3])
    """

    def __init__(self, widths: Sequence[int], output_width: int, *, bias: bool = True) -> None:
        super().__init__()
        linear = nn.Linear(sum(widths), output_width, bias=bias)
        self.widths = tuple(widths)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Return ``[B, output_width]`` for parts ``[B or 1, width]``."""
        weights = self.weight.t().split(self.widths)
        products = [part @ weight for part, weight in zip(parts, weights, strict=True)]
        total: Tensor = products[0]
        for product in products[1:]:
            total = total + product
        if self.bias is not None:
            total = total + self.bias
        return total


class Plug(nn.Module):
    """Hidden layer ``[B, H]`` of an MLP, changed by knowledge k.

    With ``z = W x + b`` the layer's pre-activation and σ its activation,

    - ``"add"``: ``σ(z) + W_2 prelu(W_1 k + b_1) + b_2``,
    - ``"concat"``: ``σ(z + W_k k)``: k as further inputs of the layer,
    - ``"gate"``: ``σ(z) ∘ 2 sigmoid(W_g k + b_g)``.

    ``W_2``, ``b_2``, ``W_k``, ``W_g`` and ``b_g`` start at zero. The layer and the gradients of its
    existing weights then equal those without a plug, bit for bit.

    Args:
        kind: "add", "concat" or "gate".
        widths: widths of the parts of k.
        layer_width: H.
        hidden: number of rows of W_1.

    Raises:
        ValueError: an unknown kind.

    Example:
        >>> import torch
        >>> from recops_models.layers.plug import Plug
        >>> layer, x, knowledge = torch.nn.Linear(8, 16), torch.randn(3, 8), torch.randn(3, 4)
        >>> plug = Plug("gate", widths=[4], layer_width=16, hidden=8)
        >>> out = plug(layer, torch.relu, x, [knowledge])
        >>> torch.equal(out, layer(x).relu())  # no effect before training
        True
    """

    def __init__(
        self, kind: PlugKind, widths: Sequence[int], layer_width: int, *, hidden: int
    ) -> None:
        super().__init__()
        if kind not in get_args(PlugKind):
            raise ValueError(f"keep: plug must be add, concat or gate, got {kind!r}")
        self.kind = kind
        if kind == "add":
            self.read = PartsLinear(widths, hidden)
            self.activation = nn.PReLU(hidden)
            self.write = nn.Linear(hidden, layer_width)
            last: nn.Module = self.write
        else:
            self.read = PartsLinear(widths, layer_width, bias=kind == "gate")
            last = self.read
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, layer: nn.Module, activation: nn.Module, x: Tensor, k: Sequence[Tensor]
    ) -> Tensor:
        """Return ``[B, H]`` for the layer's input x and the parts of k."""
        update = self.read(k)
        out: Tensor
        if self.kind == "concat":
            out = activation(layer(x) + update)
            return out
        hidden: Tensor = activation(layer(x))
        if self.kind == "gate":
            out = hidden * (2 * torch.sigmoid(update))
            return out
        out = hidden + self.write(self.activation(update))
        return out


class PluggedHead(nn.Module):
    """MLP with a plug at its first hidden layer.

    Args:
        head: an ``nn.Sequential`` whose first linear layer is a hidden one, such as
            :class:`~recops_models.layers.mlp.MLP`. Its layers are shared, not copied.
        widths: widths of the parts of k, by name.
        kind: see :class:`Plug`.
        hidden: see :class:`Plug`.

    Raises:
        ValueError: ``head`` has no hidden layer.

    Example:
        >>> import torch
        >>> from recops_models.layers.mlp import MLP
        >>> from recops_models.layers.plug import PluggedHead
        >>> head = PluggedHead(MLP(8, (16,), 1).eval(), {"user": 4}, "add", hidden=8)
        >>> head(torch.randn(3, 8 + 4)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self, head: nn.Module, widths: Mapping[str, int], kind: PlugKind, *, hidden: int
    ) -> None:
        super().__init__()
        layers = list(head) if isinstance(head, nn.Sequential) else []
        linear = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        if len(linear) < 2:
            raise ValueError(
                "keep: base.hidden must have at least one layer for the plug, got "
                f"a {type(head).__name__} with {max(len(linear) - 1, 0)}"
            )
        first = linear[0]
        self.before = nn.Sequential(*layers[:first])
        layer = layers[first]
        assert isinstance(layer, nn.Linear)
        self.layer, self.activation = layer, layers[first + 1]
        self.after = nn.Sequential(*layers[first + 2 :])
        self.widths = dict(widths)
        widths_of_parts = list(self.widths.values())
        self.plug = Plug(kind, widths_of_parts, layer.out_features, hidden=hidden)

    @property
    def knowledge_width(self) -> int:
        """Total width of k."""
        return sum(self.widths.values())

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, 1]`` for the base's input and k, concatenated."""
        split = x.split([x.shape[1] - self.knowledge_width, *self.widths.values()], -1)
        # Contiguous as in the base model: some BLAS sum strided rows in another order.
        return self.from_parts(split[0].contiguous(), split[1:])

    def from_parts(self, x: Tensor, k: Sequence[Tensor]) -> Tensor:
        """Return ``[B, 1]`` for the base's input ``[B, output_dim]`` and the parts of k."""
        hidden = self.plug(self.layer, self.activation, self.before(x), k)
        out: Tensor = self.after(hidden)
        return out
