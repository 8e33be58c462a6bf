"""Plug-in networks: what knowledge does to the first hidden layer of a running model.

After KEEP (arXiv 2208.10174). That a separate plug-in network brings knowledge into the downstream
model, and that this suits incremental training, is confirmed; all three forms, and that they begin
at nothing, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

PlugKind = Literal["add", "concat", "gate"]


class PartsLinear(nn.Module):
    """``b + Σ_p W_p k_p``: a linear layer on columns that lie apart.

    A part of one row counts for all rows, so that its product is made once.

    Args:
        widths: of each part.
        output_width: of the result.
        bias: whether there is a b.
    """

    def __init__(self, widths: Sequence[int], output_width: int, *, bias: bool = True) -> None:
        super().__init__()
        whole = nn.Linear(sum(widths), output_width, bias=bias)
        self.widths = tuple(widths)
        self.weight, self.bias = whole.weight, whole.bias

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """``[B, output_width]`` of ``[B or 1, width]`` each."""
        weights = self.weight.t().split(self.widths)
        products = [part @ weight for part, weight in zip(parts, weights, strict=True)]
        total: Tensor = products[0]
        for product in products[1:]:
            total = total + product
        if self.bias is not None:
            total = total + self.bias
        return total


class Plug(nn.Module):
    """What ``[B, H]``, a hidden layer, becomes beside knowledge k.

    With ``z = W x + b`` the layer's sums and σ its activation,

    - ``"add"``: ``σ(z) + W_2 prelu(W_1 k + b_1) + b_2``,
    - ``"concat"``: ``σ(z + W_k k)``: k as further inputs of the layer, its product by itself,
    - ``"gate"``: ``σ(z) ∘ 2 sigmoid(W_g k + b_g)``.

    ``W_2``, ``b_2``, ``W_k``, ``W_g`` and ``b_g`` begin at zero: the layer is then what it was, bit
    for bit, and so is every gradient of the weights that were there.

    Args:
        kind: of the three.
        widths: of the parts of k.
        layer_width: H.
        hidden: rows of W_1.

    Raises:
        ValueError: an unknown kind.
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
        """``[B, H]`` of the layer's input x and the parts of k."""
        read = self.read(k)
        out: Tensor
        if self.kind == "concat":
            out = activation(layer(x) + read)
            return out
        hidden: Tensor = activation(layer(x))
        if self.kind == "gate":
            out = hidden * (2 * torch.sigmoid(read))
            return out
        out = hidden + self.write(self.activation(read))
        return out


class PluggedHead(nn.Module):
    """An MLP whose first hidden layer has a plug beside it.

    Args:
        head: any module of a sequence in which the first linear layer is hidden, such as
            :class:`~recops_models.layers.mlp.MLP`; its layers become this one's, as they are.
        widths: of the parts of k, by name.
        kind: see :class:`Plug`.
        hidden: see :class:`Plug`.

    Raises:
        ValueError: no hidden layer.
    """

    def __init__(
        self, head: nn.Module, widths: Mapping[str, int], kind: PlugKind, *, hidden: int
    ) -> None:
        super().__init__()
        layers = list(head) if isinstance(head, nn.Sequential) else []
        linear = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        if len(linear) < 2:
            raise ValueError(
                "keep: base.hidden must name a layer, beside which the plug stands, got "
                f"a {type(head).__name__} with {max(len(linear) - 1, 0)}"
            )
        at = linear[0]
        self.before = nn.Sequential(*layers[:at])
        layer = layers[at]
        assert isinstance(layer, nn.Linear)
        self.layer, self.activation = layer, layers[at + 1]
        self.after = nn.Sequential(*layers[at + 2 :])
        self.widths = dict(widths)
        widths_of_parts = list(self.widths.values())
        self.plug = Plug(kind, widths_of_parts, layer.out_features, hidden=hidden)

    @property
    def knowledge_width(self) -> int:
        """Columns of k."""
        return sum(self.widths.values())

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 1]`` of the base's input and k, side by side."""
        split = x.split([x.shape[1] - self.knowledge_width, *self.widths.values()], -1)
        # Contiguous, as the base's own: of rows with gaps some BLAS sums in another order.
        return self.beside(split[0].contiguous(), split[1:])

    def beside(self, x: Tensor, k: Sequence[Tensor]) -> Tensor:
        """``[B, 1]`` of ``[B, output_dim]`` and the parts of k; one row of a part is for all."""
        hidden = self.plug(self.layer, self.activation, self.before(x), k)
        out: Tensor = self.after(hidden)
        return out
